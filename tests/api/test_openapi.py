"""The published document is what is served: walked (S18), fuzzed, and held against real answers."""

import json
from http import HTTPStatus
from typing import Any

import hypothesis
import jsonschema  # type: ignore[import-untyped]
import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, settings
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi import checks

from api import openapi, tokens
from api.operation import Operation, Who
from api.table import OPERATIONS
from tests.api.served import CSV, JOSE, ROOT, Served, problem
from tests.conftest import _fresh_database
from tests.packets import make_key
from tests.tasks.notices.receiver import TOKEN, Receiver

DOCUMENT = openapi.document()
SCHEMA = schemathesis.openapi.from_dict(DOCUMENT)
CHECKS = [
    not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_schema_conformance,
    checks.response_headers_conformance,
]
OPEN = {"health", "challenge", "prove"}
"""The first tells nothing; the others are authenticated by what stands in their bodies."""


@schemathesis.serializer(JOSE)
def jose(_context: Any, value: Any) -> bytes:
    """A text goes as it is."""
    return str(value).encode("utf-8", "replace")


def by_name(one: Operation) -> str:
    return one.name


@pytest.fixture(scope="module")
def receiver(tmp_path_factory):
    with Receiver(tmp_path_factory.mktemp("receiver")) as running:
        yield running


@pytest.fixture(scope="module")
def api(plain_postgres, receiver, tmp_path_factory):
    folder = tmp_path_factory.mktemp("api")
    with (
        _fresh_database(plain_postgres) as database,
        Served(folder, database, variables=receiver.files()) as running,
    ):
        running.tokens["omni"] = running.make_token("omni", *tokens.SCOPES)
        for scope in tokens.SCOPES:
            running.tokens[scope] = running.make_token(f"only {scope}", scope)
        yield running


def path_of(one: Operation) -> str:
    path = one.path
    for field in one.place:
        path = path.replace(f"{{{field.name}}}", "x")
    return path


def test_the_kept_document_is_the_one_that_is_generated():
    kept = (ROOT / "docs" / "openapi.json").read_text("utf-8")
    assert kept == openapi.as_text(), "run `make docs`"


def test_the_document_is_what_is_served_to_whoever_has_a_token(api):
    for scope in tokens.SCOPES:
        assert api.get("/openapi.json", by=scope) == DOCUMENT
    problem(api.send("GET", "/openapi.json", by=None), 401)


def test_every_operation_says_who_may_come_and_what_a_repetition_does():
    for one in OPERATIONS:
        told = DOCUMENT["paths"][one.path][one.method.lower()]
        assert one.repeats in told["description"]
        assert bool(told["security"]) is (one.who is Who.TOKEN)
        assert ("x-authentication" in told) is (one.who is Who.INVITED)
    assert {one.name for one in OPERATIONS if one.who is not Who.TOKEN} == OPEN
    assert len({one.name for one in OPERATIONS}) == len(OPERATIONS)


@pytest.mark.parametrize("operation", OPERATIONS, ids=by_name)
def test_s18_no_credentials_are_401_and_every_other_scope_is_403(api, operation):
    path = path_of(operation)
    if operation.who is not Who.TOKEN:
        # Not a token but the body opens these: with nothing in it, nothing is told.
        assert operation.name in OPEN
        assert api.send(operation.method, path, by=None).status_code in {200, 415, 422}
        return
    for token in (None, "wrong", "Bearer", api.tokens["omni"][:-1], f"{api.tokens['omni']}x"):
        answer = api.send(operation.method, path, by=None, token=token)
        assert problem(answer, 401)["error"] == "UNAUTHENTICATED"
        assert answer.headers["www-authenticate"].startswith("Bearer")
    for scope in tokens.SCOPES:
        answer = api.send(operation.method, path, by=scope)
        if operation.scope in {"", scope}:
            assert answer.status_code not in {401, 403}
        else:
            assert problem(answer, 403)["expected"] == operation.scope


def test_s18_a_path_that_is_not_declared_is_404_and_a_method_405_with_allow(api):
    for path in (
        "/",
        "/v1",
        "/v1/keys/",
        "/config",
        "/config/webhook/",
        "/docs",
        "/metrics",
        "//healthz",
    ):
        answer = api.send("GET", path, by="omni")
        assert problem(answer, 404)["instance"] == path
    for one in OPERATIONS:
        path = path_of(one)
        allowed = {o.method for o in OPERATIONS if path_of(o) == path}
        for method in {"GET", "POST", "PUT", "PATCH", "DELETE", "TRACE"} - allowed:
            answer = api.send(method, path, by="omni")
            if answer.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
                told = {name.strip() for name in answer.headers["allow"].split(",")}
                assert told - {"HEAD"} == allowed
                problem(answer, 405)
            else:
                # /v1/keys/import is a key's place, too, for who wants to look.
                assert (method, answer.status_code) == ("GET", 404)


def fuzz(api, operation: Operation, mode: GenerationMode, *, examples: int, token: str | None):
    """Send what the document allows, or does not, and hold each answer against it."""
    strategy = SCHEMA[operation.path][operation.method].as_strategy(generation_mode=mode)
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    with requests.Session() as session:
        session.trust_env = False

        @hypothesis.seed(7)
        @settings(
            max_examples=examples,
            deadline=None,
            database=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @hypothesis.given(case=strategy)
        def holds(case: Any) -> None:
            case.headers = {
                name: value
                for name, value in (case.headers or {}).items()
                if name.lower() != "authorization"
            }
            answer = case.call(base_url=api.url, session=session, headers=headers, timeout=20)
            if token is None and operation.name not in OPEN:
                assert answer.status_code in {401, 404, 405}
            case.validate_response(answer, checks=CHECKS)

        holds()


MODES = [GenerationMode.POSITIVE, GenerationMode.NEGATIVE]


def can_be_wrong(one: Operation) -> bool:
    """Whether there is anything that the document does not allow."""
    return bool(one.body or one.query)


CASES = [
    pytest.param(one, mode, id=f"{one.name}-{mode.value}")
    for one in OPERATIONS
    for mode in MODES
    if mode is GenerationMode.POSITIVE or can_be_wrong(one)
]


@pytest.mark.parametrize(("operation", "mode"), CASES)
def test_s18_what_the_document_allows_and_what_it_does_not_gets_a_documented_answer(
    api, operation, mode
):
    fuzz(api, operation, mode, examples=6, token=api.tokens["omni"])


@pytest.mark.parametrize("operation", OPERATIONS, ids=by_name)
def test_s18_nothing_is_told_without_a_token_whatever_is_sent(api, operation):
    fuzz(api, operation, GenerationMode.POSITIVE, examples=3, token=None)


@pytest.mark.slow
@pytest.mark.parametrize(("operation", "mode"), CASES)
def test_s18_for_longer(api, operation, mode):
    fuzz(api, operation, mode, examples=40, token=api.tokens["omni"])


def shape(path: str, method: str, status: int) -> Any:
    answers = DOCUMENT["paths"][path][method]["responses"]
    return answers[str(status)]["content"]["application/json"]["schema"]


def test_answers_that_change_something_look_as_they_are_published(api, receiver):
    # given a key's whole life, and a destination
    key, other, evse = make_key(), make_key(), "DE*V2G*E77"
    invited = api.post("/v1/keys/invitations", {"evse_id": evse}, status=201)
    nonce = api.post(
        "/v1/enrolments/challenge", {"invitation": invited["invitation"]}, by=None, status=201
    )
    proof = api.proof(key, invited["invitation"], evse)
    proven = api.post("/v1/enrolments", proof, by=None, media=JOSE, status=202)
    approved = api.post(f"/v1/keys/enrolments/{invited['enrolment_id']}/approve", by="bert")
    table = f"evse_id;public_key\nDE*V2G*E78;{other.public_key.hex()}\nX;nonsense\n".encode()
    imported = api.post("/v1/keys/import", table, media=CSV)
    revoked = api.post(f"/v1/keys/{key.key_id}/revoke", {"reason": "test"})
    body = {"url": receiver.url, "auth_token": TOKEN}
    configured = api.post("/config/webhook", body, by="wanda", status=201)

    # then every answer has the shape that is published
    for path, method, status, answer in (
        ("/v1/keys/invitations", "post", 201, invited),
        ("/v1/enrolments/challenge", "post", 201, nonce),
        ("/v1/enrolments", "post", 202, proven),
        ("/v1/keys/enrolments/{enrolment_id}/approve", "post", 200, approved),
        ("/v1/keys/import", "post", 200, imported),
        ("/v1/keys/{key_id}/revoke", "post", 200, revoked),
        ("/config/webhook", "post", 201, configured),
        ("/config/webhook", "get", 200, api.get("/config/webhook", by="wera")),
        ("/v1/keys", "get", 200, api.get("/v1/keys?limit=1")),
        ("/v1/keys/changes", "get", 200, api.get("/v1/keys/changes")),
        ("/v1/keys/enrolments", "get", 200, api.get("/v1/keys/enrolments")),
    ):
        jsonschema.validate(answer, shape(path, method, status))
        assert json.dumps(answer)
