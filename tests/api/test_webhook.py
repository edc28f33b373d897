"""S17: /config/webhook of the running service, with a real receiver behind TLS."""

import json

import psycopg
import pytest

from tests.api.served import Served, problem
from tests.conftest import _fresh_database
from tests.tasks.notices.receiver import TOKEN, Receiver, status
from tests.tasks.notices.test_urls import BYPASSES

PATH = "/config/webhook"


@pytest.fixture(scope="module")
def database(plain_postgres):
    with _fresh_database(plain_postgres) as dsn:
        yield dsn


@pytest.fixture(scope="module")
def receiver(tmp_path_factory):
    with Receiver(tmp_path_factory.mktemp("receiver")) as running:
        yield running


@pytest.fixture(scope="module")
def api(database, receiver, tmp_path_factory):
    folder = tmp_path_factory.mktemp("api")
    with Served(folder, database, variables=receiver.files()) as running:
        yield running


@pytest.fixture(autouse=True)
def kind(receiver):
    """The receiver takes what it is sent, unless a test says otherwise."""
    receiver.answers(status(204))


def configure(api, receiver, path="", **more):
    body = {"url": receiver.url + path, "auth_token": TOKEN}
    return api.send("POST", PATH, body, by="wanda", **more)


def test_s17_an_administrator_configures_it_and_sees_where_notices_go(api, receiver):
    before = len(receiver.seen)

    made = configure(api, receiver)

    assert made.status_code == 201
    document = made.json()
    call = receiver.seen[before]
    assert call.verified(document["secret"])["type"] == "webhook.test"
    assert call.headers["authorization"] == f"Bearer {TOKEN}"
    shown = api.get(PATH, by="wera")
    assert shown["destination"] == {n: v for n, v in document.items() if n != "secret"}
    assert shown["history"][0]["changed_by"] == "wanda"
    assert shown["destination"]["addresses"][0] == "127.0.0.1"


def test_s17_without_credentials_or_with_another_scope_nothing_is_told_or_changed(api, receiver):
    calls = len(receiver.seen)
    body = {"url": receiver.url, "auth_token": TOKEN}

    for method, given in (("GET", None), ("POST", body)):
        problem(api.send(method, PATH, given, by=None), 401)
        problem(api.send(method, PATH, given, token="wrong"), 401)
        for other in ("anna", "rita", "walt", "ivan", "vera"):
            assert problem(api.send(method, PATH, given, by=other), 403)["error"] == "FORBIDDEN"
    problem(api.send("POST", PATH, body, by="wera"), 403)

    assert len(receiver.seen) == calls


@pytest.mark.parametrize("url", BYPASSES)
def test_s17_a_way_around_the_list_of_hosts_is_refused(api, receiver, url):
    calls = len(receiver.seen)

    refused = problem(api.send("POST", PATH, {"url": url, "auth_token": TOKEN}, by="wanda"), 422)

    assert refused["where"] == "body.url"
    assert "password" not in json.dumps(refused)
    assert len(receiver.seen) == calls


@pytest.mark.parametrize("code", [301, 302, 307, 308, 401, 500])
def test_s17_a_failed_test_call_leaves_the_old_destination_and_no_redirect_is_followed(
    api, receiver, code
):
    configure(api, receiver)
    before = api.get(PATH, by="wera")
    calls = len(receiver.seen)

    receiver.answers(status(code, Location=f"{receiver.url}/target"))
    refused = problem(configure(api, receiver, "/new"), 422)

    after = api.get(PATH, by="wera")
    assert refused["error"] == "TEST_FAILED"
    assert [one.path for one in receiver.seen[calls:]] == ["/v2g/new"]
    assert after["destination"] == before["destination"]
    assert (after["history"][0]["outcome"], after["history"][0]["url"]) == (
        "test_failed", f"{receiver.url}/new",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("body", "where"),
    [
        ({}, "body.url"),
        ({"url": "x"}, "body.auth_token"),
        ({"url": 1, "auth_token": TOKEN}, "body.url"),
        ({"url": "https://localhost/", "auth_token": [TOKEN]}, "body.auth_token"),
        ({"url": "https://localhost/", "auth_token": {"canary": TOKEN}}, "body.auth_token"),
        ({"url": "https://localhost/", "auth_token": TOKEN, "more": 1}, "body"),
        ({"url": "https://localhost/", "auth_token": f"{TOKEN}\0"}, "body.auth_token"),
        ({"url": "https://localhost/", "auth_token": f"{TOKEN} {TOKEN}"}, "body.url"),
    ],
)
def test_s17_what_is_wrong_is_named_and_the_token_is_not_quoted(api, body, where):
    answer = api.send("POST", PATH, body, by="wanda")

    assert problem(answer, 422)["where"] == where
    assert TOKEN not in answer.text


def test_s17_the_token_is_in_no_log_line_answer_or_table_in_the_clear(api, receiver, database):
    made = configure(api, receiver)
    receiver.answers(status(500, Canary=TOKEN))
    failed = configure(api, receiver)
    api.send(
        "POST", PATH, {"url": f"https://u:{TOKEN}@localhost/", "auth_token": TOKEN}, by="wanda"
    )
    api.send("POST", f"{PATH}?auth_token=x", {"auth_token": TOKEN}, by="wanda")
    api.send("POST", PATH, json.dumps({"auth_token": TOKEN}).encode()[:-1], by="wanda")
    shown = api.send("GET", PATH, by="wera")

    with psycopg.connect(database, user="v2g") as conn:
        rows = str(conn.execute("select t::text from webhook_destination t").fetchall())
    for secret in (TOKEN, TOKEN.encode().hex(), made.json()["secret"], *api.tokens.values()):
        for place in (api.log, rows, shown.text, failed.text):
            assert secret not in place
    assert TOKEN not in made.text
    assert "event=webhook_changed" in api.log


def test_files_that_cannot_be_used_are_told_to_who_runs_it_and_not_to_who_asks(api, receiver):
    allow = receiver.folder / "hosts"
    try:
        allow.chmod(0o666)
        refused = configure(api, receiver)
        assert problem(refused, 503)["do"]
        assert str(allow) not in refused.text
        assert str(allow) in api.log
    finally:
        allow.chmod(0o644)
    assert configure(api, receiver).status_code == 201
