"""`v2g webhook`: the same as over HTTP, from a file with the token, and in exit statuses."""

import json

import pytest
from typer.testing import CliRunner

from cli.webhook import app
from tests.tasks.notices.receiver import TOKEN, Receiver, status


@pytest.fixture
def receiver(tmp_path):
    with Receiver(tmp_path / "receiver") as running:
        yield running


@pytest.fixture
def v2g(receiver, plain_database, tmp_path):
    token = tmp_path / "partner.token"
    token.write_text(f"{TOKEN}\n")
    token.chmod(0o600)
    environment = receiver.files() | {"V2G_DATABASE_URL": plain_database}

    def run(*arguments: str, code: int = 0):
        done = CliRunner().invoke(app, [*arguments], env=environment)
        assert done.exit_code == code, done.output
        assert TOKEN not in done.output
        return done

    def configure(url: str = "", *, code: int = 0):
        options = ("--token-file", str(token), "--by", "anna", "--json")
        return run("set", url or receiver.url, *options, code=code)

    run.configure = configure  # type: ignore[attr-defined]
    return run


def test_a_destination_is_set_shown_tested_and_delivered_to(v2g, receiver):
    # given nothing yet
    assert "nobody has said" in v2g("deliver").output
    v2g("show", code=1)
    v2g("test", code=1)

    # when one is set
    made = json.loads(v2g.configure().output)

    # then it is shown without its secret, and takes what it is sent
    shown = v2g("show", "--json").output
    assert made["secret"] not in shown
    assert json.loads(shown)["destination"]["url"] == receiver.url
    assert receiver.url in v2g("show").output
    assert json.loads(v2g("test", "--json").output)["delivered"] is True
    assert [one.verified(made["secret"])["type"] for one in receiver.seen] == ["webhook.test"] * 2
    assert json.loads(v2g("notices", "--json").output) == {"notices": []}
    assert json.loads(v2g("deliver", "--json").output)["destination"] == receiver.url


def test_what_is_refused_or_fails_ends_in_words_and_a_status(v2g, receiver):
    v2g.configure("https://evil.example/", code=2)
    v2g.configure("http://localhost/", code=2)
    receiver.answers(status(500))
    assert "500" in v2g.configure(code=1).output
    v2g("notices", "--state", "lost", code=2)
    (receiver.folder / "hosts").chmod(0o666)
    refused = v2g.configure(code=2)
    assert "chmod go-w" in refused.output
