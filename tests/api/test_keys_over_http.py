"""The registry over HTTP: a real service on a socket, a real database, a real agent.

One service serves all of these tests; each has EVSEs of its own.
"""

import json
import socket
import uuid
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta

import httpx
import pytest
from starlette.routing import Route

from api.__main__ import CONNECTIONS_MAX
from api.app import application
from api.service import Service
from api.tokens import TokenFile
from settlement import packets
from settlement.signatures import DeviceKey, stands
from tasks.notices.settings import NoticeSettings
from tests.api.served import CSV, JOSE, Served, problem
from tests.conftest import _fresh_database
from tests.packets import make_key, make_packet
from tests.proofs import jwk_of, make_proof
from tests.settlement.substitution import second_key


@pytest.fixture(scope="module")
def database(plain_postgres):
    with _fresh_database(plain_postgres) as dsn:
        yield dsn


@pytest.fixture(scope="module")
def api(database, tmp_path_factory):
    with Served(tmp_path_factory.mktemp("api"), database) as running:
        yield running


@pytest.fixture
def evse():
    return f"E-{uuid.uuid4().hex[:12]}"


def pem(key) -> str:
    return str(key.private.as_pem(private=False).decode())


def test_a_device_is_enrolled_by_two_people_and_its_own_proof(api, evse):
    key = make_key()
    invited = api.post("/v1/keys/invitations", {"evse_id": evse, "client_id": "c-7"}, status=201)
    proof = api.proof(key, invited["invitation"], evse)

    first = api.post("/v1/enrolments", proof, by=None, media=JOSE, status=202)
    again = api.post("/v1/enrolments", proof, by=None, media=JOSE, status=202)
    waiting = [
        e["enrolment_id"] for e in api.get("/v1/keys/enrolments?state=pending")["enrolments"]
    ]
    approve = f"/v1/keys/enrolments/{first['enrolment_id']}/approve"
    myself = problem(api.send("POST", approve, {}, by="anna"), 403)
    api.post(approve, {"key_id": key.key_id}, by="bert")
    after = api.post("/v1/enrolments", proof, by=None, media=JOSE)

    assert first == again
    assert (first["state"], first["key_id"]) == ("pending", key.key_id)
    assert first["enrolment_id"] in waiting
    assert myself["error"] == "SAME_PERSON"
    assert after["state"] == "approved"
    shown = api.get(f"/v1/keys/{key.key_id}")
    assert (shown["evse_id"], shown["client_id"], shown["state"]) == (evse, "c-7", "valid")
    assert bytes.fromhex(shown["public_key"]) == key.public_key
    told = api.get(f"/v1/keys/changes?evse_id={evse}")["changes"]
    assert [(c["change"], c["changed_by"]) for c in told] == [
        ("approved", "bert"), ("enrolled", "bert"), ("proven", f"EVSE {evse}"), ("invited", "anna"),
    ]  # fmt: skip


def test_the_agent_enrols_its_key_here(api, evse, tmp_path):
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    from evse_agent.enrol import enrol
    from evse_agent.key import load_file

    private = ec.generate_private_key(ec.SECP256R1())
    path = tmp_path / "key.pem"
    path.write_bytes(
        private.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    path.chmod(0o600)
    invited = api.post("/v1/keys/invitations", {"evse_id": evse}, status=201)

    answer = enrol(api.url, invitation=invited["invitation"], evse_id=evse, signer=load_file(path))

    assert answer["state"] == "pending"
    assert answer["evse_id"] == evse


def routes(api):
    service = Service(
        "", TokenFile(api.token_file), lambda: datetime.now(UTC), 1, 1.0, NoticeSettings()
    )
    for route in application(service).routes:
        assert isinstance(route, Route)
        assert route.methods is not None
        for method in sorted(route.methods - {"HEAD"}):
            yield method, route.path.replace("{key_id}", "k").replace("{enrolment_id}", "e")


def test_every_operators_route_asks_for_a_token_of_its_scope(api):
    seen = 0
    expired = api.make_token(f"t-{uuid.uuid4().hex}", "keys:read", "keys:write")
    document = json.loads(api.token_file.read_text())
    document["tokens"][-1]["expires_at"] = "2020-01-01T00:00:00Z"
    api.token_file.write_text(json.dumps(document))
    for method, path in routes(api):
        if not path.startswith("/v1/keys"):
            continue
        seen += 1
        for token in ("wrong", api.tokens["anna"][:-1], expired):
            answer = api.send(method, path, token=token)
            assert problem(answer, 401)["error"] == "UNAUTHENTICATED"
        answer = api.send(method, path, by=None)
        assert problem(answer, 401)["found"] == "none"
        assert answer.headers["www-authenticate"].startswith("Bearer")
        unproven = path.endswith(("/import", "/rotate"))
        own = "rita" if method == "GET" else "ivan" if unproven else "walt"
        for other in {"rita", "walt", "ivan"} - {own}:
            assert problem(api.send(method, path, by=other), 403)["error"] == "FORBIDDEN"
    assert seen == 11


def test_what_is_open_is_health_and_the_two_routes_of_devices(api):
    open_ = {
        path for method, path in routes(api) if api.send(method, path, by=None).status_code != 401
    }

    assert open_ == {"/healthz", "/v1/enrolments", "/v1/enrolments/challenge"}
    assert api.get("/healthz", by=None) == {"state": "alive"}
    problem(api.send("GET", "/v1/nothing"), 404)
    assert problem(api.send("DELETE", "/v1/keys"), 405)["error"] == "NO_SUCH_ROUTE"


def test_a_token_that_is_taken_away_opens_nothing_any_more(api):
    from api import tokens

    name = f"t-{uuid.uuid4().hex}"
    token = api.make_token(name, "keys:read")
    assert api.send("GET", "/v1/keys", token=token).status_code == 200

    tokens.remove(api.token_file, name)
    assert api.send("GET", "/v1/keys", token=token).status_code == 401
    api.token_file.chmod(0o644)
    assert problem(api.send("GET", "/v1/keys"), 503)["found"] == "the tokens cannot be read"
    api.token_file.chmod(0o600)
    assert api.send("GET", "/v1/keys").status_code == 200


def test_keys_are_imported_row_by_row(api, evse):
    good, meter = make_key(), make_key()
    table = "\n".join(
        [
            "evse_id;public_key;meter_id;valid_from;valid_to",
            f"{evse};{good.public_key.hex()};;2026-01-01T00:00:00Z;",
            f"{evse};{meter.public_key.hex()};1EMH-{evse};;",
            f"{evse};nonsense;;;",
            f"{evse};{make_key().public_key.hex()};;yesterday;",
            f"{evse};{make_key().public_key.hex()};;;",
        ]
    ).encode()

    dry = api.post("/v1/keys/import?dry_run=true", table, media=CSV)
    real = api.post("/v1/keys/import", table, media=CSV)
    again = api.post("/v1/keys/import", table, media=CSV)

    assert [dry[n] for n in ("new", "already", "refused")] == [2, 0, 3]
    assert real["rows"] == dry["rows"]
    assert [again[n] for n in ("new", "already", "refused")] == [0, 2, 3]
    assert [(r["place"], r["where"]) for r in real["rows"] if r["outcome"] == "refused"] == [
        ("import.csv line 4", "public_key"),
        ("import.csv line 5", "valid_from"),
        ("import.csv line 6", real["rows"][4]["where"]),
    ]
    assert len(api.get(f"/v1/keys?evse_id={evse}")["keys"]) == 2
    assert [k["key_id"] for k in api.get(f"/v1/keys?meter_id=1EMH-{evse}")["keys"]] == [
        meter.key_id
    ]


def test_a_key_is_rotated_shortened_and_revoked(api, evse):
    old, new = make_key(), make_key()
    api.enrol(old, evse)
    change = {"public_key": pem(new), "overlap_s": 7 * 86_400}

    first = api.post(f"/v1/keys/{old.key_id}/rotate", change)
    again = api.post(f"/v1/keys/{old.key_id}/rotate", change)
    end = datetime.fromisoformat(api.get(f"/v1/keys/{old.key_id}")["valid_to"])
    sooner = (end - timedelta(days=1)).isoformat()
    shortened = api.post(f"/v1/keys/{old.key_id}/shorten", {"to": sooner, "reason": "sooner"})
    longer = api.send(
        "POST", f"/v1/keys/{old.key_id}/shorten", {"to": end.isoformat(), "reason": "later"}
    )
    revoked = api.post(f"/v1/keys/{new.key_id}/revoke", {"reason": "stolen"}, by="bert")
    twice = api.post(f"/v1/keys/{new.key_id}/revoke", {"reason": "stolen"}, by="anna")

    assert (first["changed"], again["changed"], first["key_id"]) == (True, False, new.key_id)
    assert shortened["valid_to"] == sooner.replace("+00:00", "Z")
    problem(longer, 422)
    assert (revoked["state"], revoked["changed"], twice["changed"]) == ("revoked", True, False)
    [latest] = api.get(f"/v1/keys/changes?key_id={new.key_id}&limit=1")["changes"]
    assert (latest["changed_by"], latest["reason"]) == ("bert", "stolen")


def test_a_second_key_that_verifies_a_victims_packet_is_refused(api, evse):
    """Duplicate-signature key selection against the running service (ACME had this, in 2015)."""
    victim = make_key()
    api.enrol(victim, evse)
    packet = make_packet(victim, evse_id=evse)
    envelope = packets.split(packet)
    made = second_key(
        envelope, DeviceKey(victim.key_id, evse, victim.public_key, datetime.now(UTC))
    )
    assert stands(made, envelope)
    mallory = f"{evse}-m"
    invited = api.post("/v1/keys/invitations", {"evse_id": mallory}, by="bert", status=201)

    claim = api.proof(
        make_key(),
        invited["invitation"],
        mallory,
        header={"jwk": jwk_of(made.public_key)},
        thumbprint=made.key_id,
    )
    refused = problem(api.send("POST", "/v1/enrolments", claim, by=None, media=JOSE), 422)
    stolen = api.send("POST", "/v1/enrolments", packet, by=None, media=JOSE)

    assert (refused["error"], refused["where"]) == ("NOT_PROVEN", "signature")
    problem(stolen, 422)
    problem(api.send("GET", f"/v1/keys/{made.key_id}"), 404)
    [enrolment] = [
        e for e in api.get("/v1/keys/enrolments")["enrolments"] if e["evse_id"] == mallory
    ]
    assert enrolment["state"] == "invited"


@pytest.mark.parametrize(
    ("path", "body", "where"),
    [
        ("/v1/keys/invitations", {}, "body.evse_id"),
        ("/v1/keys/invitations", {"evse_id": 1}, "body.evse_id"),
        ("/v1/keys/invitations", {"evse_id": "E", "overlap": 1}, "body"),
        ("/v1/keys/invitations", {"evse_id": "E\0"}, "body.evse_id"),
        ("/v1/keys/invitations", {"evse_id": "E", "overlap_s": -1}, "body.overlap_s"),
        ("/v1/keys/invitations", {"evse_id": "E", "overlap_s": True}, "body.overlap_s"),
        ("/v1/keys/invitations", {"evse_id": "E", "curve": "secp521r1"}, "curve"),
        ("/v1/keys/k/rotate", {"public_key": "nonsense"}, "body.public_key"),
        ("/v1/keys/k/shorten", {"reason": "x", "to": "2026-07-01T00:00:00"}, "body.to"),
        ("/v1/keys/k/shorten", {"reason": "x"}, "body.to"),
    ],
)
def test_a_field_that_cannot_be_used_is_named(api, path, body, where):
    assert problem(api.send("POST", path, body), 422)["where"] == where


def test_bodies_are_bounded_typed_and_json(api):
    path = "/v1/keys/invitations"
    problem(api.send("POST", path, b"[]"), 400)
    problem(api.send("POST", path, b"{" * 20_000), 400)
    problem(api.send("POST", path, b"{}", media="text/plain"), 415)
    problem(api.send("POST", path, b" " * 40_000), 413)
    problem(api.send("POST", "/v1/enrolments", b"x" * 5_000, by=None, media=JOSE), 413)
    problem(api.send("POST", "/v1/enrolments", b"{}", by=None), 415)
    problem(api.send("POST", "/v1/keys/import", b"x" * (3 * 2**20), media=CSV), 413)
    problem(api.send("GET", "/v1/keys?limit=1000000"), 422)
    problem(api.send("GET", "/v1/keys?evse=1"), 422)
    problem(api.send("GET", "/v1/keys/%00"), 404)
    problem(api.send("GET", "/v1/keys?evse_id=%00"), 422)


def test_secrets_do_not_appear_in_the_log(api, evse):
    invited = api.post("/v1/keys/invitations", {"evse_id": evse}, status=201)
    proof = api.proof(make_key(), invited["invitation"], evse)
    api.post("/v1/enrolments", proof, by=None, media=JOSE, status=202)
    api.send("POST", "/v1/enrolments/challenge", {"invitation": "canary-invitation"}, by=None)
    api.send("GET", "/v1/keys", token="canary-token")
    old = make_proof(make_key(), "canary-nonce", evse_id=evse, invitation=invited["invitation"])
    problem(api.send("POST", "/v1/enrolments", old, by=None, media=JOSE), 409)

    for secret in (*api.tokens.values(), invited["invitation"], proof.decode()[-40:], "canary"):
        assert secret not in api.log


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/keys/invitations", b'{"evse_id":"E-1","replaces":"\\ud800"}'),
        ("/v1/keys/invitations", b'{"evse_id":"E-1","\\ud800":"x"}'),
        ("/v1/keys/enrolments/none/reject", b'{"reason":"\\ud800"}'),
        ("/v1/enrolments/challenge", b'{"invitation":"\\ud800"}'),
    ],
)
def test_half_a_character_is_refused_in_words(api, path, body):
    """JSON can write a lone surrogate, which no UTF-8 can."""
    answer = api.send("POST", path, body)

    assert answer.status_code in {404, 422}
    assert problem(answer, answer.status_code)["expected"]


def test_a_name_given_twice_is_refused(api, evse):
    body = f'{{"evse_id": "{evse}", "evse_id": "{evse}2"}}'.encode()
    problem(api.send("POST", "/v1/keys/invitations", body), 400)


def test_too_many_connections_get_a_problem_document(api):
    at = httpx.URL(api.url)
    with ExitStack() as opened:
        for _ in range(CONNECTIONS_MAX):
            opened.enter_context(socket.create_connection((at.host, at.port)))
        with httpx.Client(trust_env=False) as client:
            refused = client.get(f"{api.url}/healthz")
    assert problem(refused, 503)["error"] == "UNAVAILABLE"
    assert refused.headers["retry-after"]
