"""`v2g quarantine`: what it prints, and how it ends."""

import json
from base64 import b64decode

import pytest
from typer.testing import CliRunner

from cli.main import app
from settlement.signatures import DeviceKey
from storage import judging
from storage.engine import Role, connect
from storage.keys import enrol_keys
from tests.packets import make_key
from tests.tasks.scene import HOUR, START, Scene, now, vehicle_of

KNOWN, STRANGER = "DE*V2G*E00001", "DE*V2G*E00002"


@pytest.fixture
def scene(plain_database: str) -> Scene:
    """Three packets of a charger whose key nobody has enrolled, and garbage."""
    made = Scene(plain_database)
    made.set_up(KNOWN)
    made.keys[STRANGER] = make_key()
    made.contract(STRANGER)
    made.deliver([*(made.packet(STRANGER, n) for n in range(3)), b"\0garbage"])
    return made


def enrol(scene: Scene) -> None:
    key = scene.keys[STRANGER]
    record = DeviceKey(key.key_id, STRANGER, key.public_key, START - 30 * 24 * HOUR)
    with connect(scene.dsn, Role.REGISTRY) as conn:
        enrol_keys(conn, [record], now=now())


def run(scene: Scene, *words: str, status: int = 0) -> str:
    """What a command prints."""
    result = CliRunner().invoke(
        app, ["quarantine", *words, "--database", scene.dsn], env={"COLUMNS": "200"}
    )
    assert result.exit_code == status, result.output
    return result.output if status else result.stdout


def test_what_is_quarantined_is_listed_and_counted(scene: Scene) -> None:
    listed = json.loads(run(scene, "list", "--json"))
    assert listed["by_reason"] == {"UNKNOWN_KEY": 3, "UNREADABLE": 1}
    assert len(listed["packets"]) == 4
    assert "UNKNOWN_KEY" in run(scene, "list")
    # and it can be narrowed
    for words, expected in (
        (("--reason", "UNREADABLE"), 1),
        (("--reason", "UNREADABLE", "--reason", "UNKNOWN_KEY"), 4),
        (("--evse", STRANGER), 3),
        (("--since", "2100-01-01T00:00:00Z"), 0),
        (("--limit", "2"), 2),
    ):
        assert len(json.loads(run(scene, "list", *words, "--json"))["packets"]) == expected


def test_a_packet_is_shown_with_its_evidence(scene: Scene) -> None:
    # given one that is text, and one that is not
    signed, garbage = (
        json.loads(run(scene, "list", "--reason", reason, "--limit", "1", "--json"))["packets"][0]
        for reason in ("UNKNOWN_KEY", "UNREADABLE")
    )
    # when
    shown = json.loads(run(scene, "show", signed["packet_digest"][:12], "--json"))
    other = json.loads(run(scene, "show", garbage["packet_digest"], "--json"))
    # then
    assert shown["packet_text"].count(".") == 2
    assert (shown["vehicle_id"], shown["source"]) == (vehicle_of(STRANGER), "mqtt")
    assert "not enrolled" in shown["detail"]
    assert b64decode(other["packet_base64"]) == b"\0garbage"
    printed = run(scene, "show", signed["packet_digest"])
    assert shown["packet_text"] in printed.replace("\n", "")
    assert STRANGER in printed


def test_a_retry_says_what_it_released_and_what_books_it(scene: Scene) -> None:
    # given
    first = run(scene, "retry", "--reason", "UNKNOWN_KEY", "--by", "anna")
    assert "still UNKNOWN_KEY" in first
    enrol(scene)
    # when
    printed = run(scene, "retry", "--reason", "UNKNOWN_KEY", "--by", "anna")
    # then
    assert "3 new readings, 90000 mWh exported" in printed
    assert "v2g true-up" in printed
    assert json.loads(run(scene, "list", "--json"))["by_reason"] == {"UNREADABLE": 1}
    assert json.loads(run(scene, "retry", "--json"))["refused"] == {"UNREADABLE": 1}


def test_one_packet_alone_is_judged_again(scene: Scene) -> None:
    enrol(scene)
    (one, *_) = json.loads(run(scene, "list", "--evse", STRANGER, "--json"))["packets"]
    done = json.loads(run(scene, "retry", one["packet_digest"][:16], "--json"))
    assert (done["packets"], done["released"]) == (1, 1)


def test_what_cannot_be_used_is_refused_with_a_word_on_what_to_do(scene: Scene) -> None:
    assert "expected the SHA-256" in run(scene, "show", "12345678", status=1)
    assert "expected the SHA-256" in run(scene, "retry", "12345678", status=1)
    assert "expected a time with its zone" in run(scene, "list", "--since", "today", status=2)
    assert "NOT_A_REASON" in run(scene, "list", "--reason", "NOT_A_REASON", status=2)
    with connect(scene.dsn, Role.SETTLE) as conn:
        assert judging.lock(conn)
        assert "run again when it has ended" in run(scene, "retry", status=1)
