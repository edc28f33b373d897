"""`v2g keys`, as a shell sees it: enrolled, imported, rotated and revoked in a real database."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import NameOID
from typer.testing import CliRunner, Result

from cli.main import app
from settlement.packets.keys import key_id_of
from storage import enrolments
from tests.packets import Key, make_key
from tests.storage.keyed import EVSE, Registry

OTHER = "DE*V2G*E00002"


class Shell:
    """Commands against one database."""

    def __init__(self, dsn: str) -> None:
        self.dsn = dsn

    def run(self, *words: str) -> Result:
        return CliRunner().invoke(app, ["keys", *words], env={"V2G_DATABASE_URL": self.dsn})

    def told(self, *words: str, status: int = 0) -> Any:
        """What a command prints as JSON."""
        done = self.run(*words, "--json")
        assert done.exit_code == status, done.output
        return json.loads(done.stdout)

    def refused(self, *words: str, status: int = 1) -> str:
        done = self.run(*words)
        assert done.exit_code == status, done.output
        return done.stderr


@pytest.fixture
def shell(plain_database) -> Shell:
    return Shell(plain_database)


def pem(key: Key | ec.EllipticCurvePublicKey, path: Path) -> Path:
    content = (
        key.private.as_pem(private=False)
        if isinstance(key, Key)
        else key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    )
    path.write_bytes(content)
    return path


def certificate(key: ec.EllipticCurvePrivateKey, name: str, path: Path, days: int = 100) -> Path:
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    start = datetime(2026, 1, 1, tzinfo=UTC)
    made = x509.CertificateBuilder(
        subject, subject, key.public_key(), 7, start, start + timedelta(days)
    )
    path.write_bytes(made.sign(key, SHA256()).public_bytes(Encoding.PEM))
    return path


def test_a_key_is_invited_proven_and_approved_by_another(shell, tmp_path):
    invited = shell.told("invite", EVSE, "--by", "anna", "--client", "c-7")
    registry, key = Registry(shell.dsn), make_key()
    registry.now = datetime.now(UTC)
    registry.do(enrolments.prove, registry.proof(key, invited["invitation"]))
    [pending] = shell.told("enrolments", "--state", "pending")["enrolments"]

    assert "a second person" in shell.refused("approve", pending["enrolment_id"], "--by", "Anna")
    other = make_key().key_id
    shell.refused("approve", pending["enrolment_id"], "--by", "bert", "--key", other, status=2)
    shown = shell.run("approve", pending["enrolment_id"], "--by", "bert", "--key", key.key_id)

    assert shown.stdout == f"key {key.key_id} is enrolled for EVSE {EVSE}\n"
    [listed] = shell.told("list", "--evse", EVSE)["keys"]
    assert (listed["key_id"], listed["client_id"], listed["state"]) == (key.key_id, "c-7", "valid")
    assert shell.told("list", "--evse", OTHER)["keys"] == []
    told = [
        (c["change"], c["changed_by"]) for c in shell.told("history", "--evse", EVSE)["changes"]
    ]
    assert told[0] == ("approved", "bert")
    assert told[-1] == ("invited", "anna")


def test_an_invitation_is_the_only_thing_on_standard_output(shell):
    done = shell.run("invite", EVSE, "--by", "anna")

    assert len(done.stdout.split()) == 1
    assert "shown only now" in done.stderr
    [enrolment] = shell.told("enrolments")["enrolments"]
    assert done.stdout.strip() not in json.dumps(enrolment)
    shell.told("reject", enrolment["enrolment_id"], "--by", "anna", "--reason", "a trial")
    assert [e["state"] for e in shell.told("enrolments")["enrolments"]] == ["rejected"]


def test_a_table_of_keys_is_imported_and_every_bad_row_is_named(shell, tmp_path):
    good, meter, k1 = make_key(), make_key(), ec.generate_private_key(ec.SECP256K1()).public_key()
    table = tmp_path / "fleet.csv"
    raw = k1.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint).hex()
    table.write_text(
        "evse_id,public_key,meter_id,valid_from,curve\n"
        f"{EVSE},{good.public_key.hex()},,2026-01-01T00:00:00Z,\n"
        f"{EVSE},{meter.public_key.hex()},1EMH1,,\n"
        "\n"
        f"{OTHER},{raw},1EMH2,,\n"
        f"{OTHER},{raw},1EMH2,,secp256k1\n"
        f'{OTHER},"{good.public_key.hex()},,,\n'
        f"{OTHER},{good.public_key.hex()},,,\n"
        f"{OTHER},{make_key().public_key.hex()},,2026-01-01,\n"
    )

    dry = shell.told("import", str(table), "--by", "anna", "--dry-run", status=1)
    assert shell.told("list")["keys"] == []
    real = shell.told("import", str(table), "--by", "anna", status=1)

    assert dry["rows"] == real["rows"]
    assert {r["place"]: r["outcome"] for r in real["rows"]} == {
        "fleet.csv line 2": "new", "fleet.csv line 3": "new", "fleet.csv line 5": "refused",
        "fleet.csv line 6": "new", "fleet.csv line 7": "refused", "fleet.csv line 8": "refused",
        "fleet.csv line 9": "refused",
    }  # fmt: skip
    refused = [r for r in real["rows"] if r["outcome"] == "refused"]
    assert [r["where"] for r in refused] == [
        "public_key",
        "row",
        f"key {good.key_id}",
        "valid_from",
    ]
    assert "secp256k1" in refused[0]["found"]
    assert EVSE in refused[2]["found"]
    kept = {k["key_id"]: k for k in shell.told("list")["keys"]}
    assert kept[key_id_of(k1)]["algorithm"] == "ECDSA-secp256k1-SHA256"
    again = shell.run("import", str(table), "--by", "anna")
    assert "0 enrolled, 3 stood already, 4 refused" in again.stdout
    assert "fleet.csv line 9" in again.stdout


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (b"evse,public_key\nE,00\n", "evse, public_key"),
        (b"evse_id,public_key,valid_til\n", "valid_til"),
        (b"", "nothing"),
        (b"evse_id,public_key\n\xff\xff", "byte 19 is no UTF-8"),
        (b"evse_id,public_key\n" + b"E,00\n" * 10_001, "10003 lines"),
        (b"x" * (8 * 2**20 + 1), "8388609 bytes"),
    ],
    ids=["no evse_id", "an unknown column", "empty", "no UTF-8", "too many rows", "too long"],
)
def test_a_table_that_cannot_be_read_is_refused_as_a_whole(shell, tmp_path, content, found):
    table = tmp_path / "fleet.csv"
    table.write_bytes(content)

    [row] = shell.told("import", str(table), "--by", "anna", status=1)["rows"]

    assert row["outcome"] == "refused"
    assert found in row["found"]
    assert row["expected"]


def test_a_folder_of_certificates_and_keys_is_imported(shell, tmp_path):
    first, second = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    certificate(first, EVSE, tmp_path / "a.crt")
    pem(second.public_key(), tmp_path / f"{OTHER}.pem")
    certificate(ec.generate_private_key(ec.SECP384R1()), "DE*V2G*E3", tmp_path / "b.crt")
    (tmp_path / "c.crt").write_bytes(
        b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"
    )
    (tmp_path / "notes.txt").write_text("no key")

    report = shell.told("import", str(tmp_path), "--by", "anna", status=1)

    assert [(r["place"], r["outcome"]) for r in report["rows"]] == [
        (f"{OTHER}.pem", "new"), ("a.crt", "new"), ("b.crt", "refused"), ("c.crt", "refused"),
    ]  # fmt: skip
    keys = {k["evse_id"]: k for k in shell.told("list")["keys"]}
    assert (keys[EVSE]["valid_from"], keys[EVSE]["valid_to"]) == (
        "2026-01-01T00:00:00Z", "2026-04-11T00:00:00Z",
    )  # fmt: skip
    assert keys[EVSE]["key_id"] == key_id_of(first.public_key())
    allowed = shell.told(
        "import", str(tmp_path / "b.crt"), "--by", "anna", "--allow-curve", "secp384r1"
    )
    assert allowed["new"] == 1


def test_a_bare_key_needs_to_be_told_whose_it_is(shell, tmp_path):
    path = pem(make_key(), tmp_path / "key.pem")

    [row] = shell.told("import", str(path), "--by", "anna", status=1)["rows"]
    assert (row["where"], row["found"]) == ("evse_id", "nothing")
    assert shell.told("import", str(path), "--by", "anna", "--evse", EVSE)["new"] == 1
    assert shell.told("import", str(path), "--by", "anna", "--evse", EVSE)["already"] == 1
    shell.refused("import", str(path), "--by", " ", "--evse", EVSE, status=2)
    shell.refused("import", str(tmp_path / "none.pem"), "--by", "anna", status=2)


def test_a_key_is_rotated_shortened_and_revoked(shell, tmp_path):
    old, new = make_key(), make_key()
    shell.told("import", str(pem(old, tmp_path / "old.pem")), "--by", "anna", "--evse", EVSE)
    rotate = (
        "rotate",
        old.key_id,
        str(pem(new, tmp_path / "new.pem")),
        "--by",
        "anna",
        "--overlap",
        "7d",
    )

    assert shell.told(*rotate)["changed"]
    assert not shell.told(*rotate)["changed"]
    keys = {k["key_id"]: k for k in shell.told("list")["keys"]}
    end, begin = keys[old.key_id]["valid_to"], keys[new.key_id]["valid_from"]
    assert datetime.fromisoformat(end) - datetime.fromisoformat(begin) == timedelta(days=7)
    soon = (datetime.now(UTC) + timedelta(days=1)).isoformat()
    why = ("--by", "bert", "--reason", "taken down")
    assert "ends at" in shell.run("shorten", old.key_id, "--to", soon, *why).stdout
    shell.refused("shorten", old.key_id, "--to", end, *why, status=2)
    shell.refused("shorten", old.key_id, "--to", "tomorrow", *why, status=2)
    shell.refused("revoke", new.key_id, "--at", "2026-01-01T00:00:00Z", *why, status=2)
    assert shell.told("revoke", new.key_id, *why)["state"] == "revoked"
    assert "it was so already" in shell.run("revoke", new.key_id, *why).stdout
    shell.refused("revoke", "no-such-key", *why)
    shell.refused(
        "rotate", old.key_id, str(tmp_path / "new.pem"), "--by", "a", "--overlap", "week", status=2
    )
    [latest, *_] = shell.told("history", new.key_id)["changes"]
    assert (latest["change"], latest["changed_by"], latest["reason"]) == (
        "revoked",
        "bert",
        "taken down",
    )
    assert latest["before"]["revoked_at"] is None
    assert "revoked_at: none →" in shell.run("history", new.key_id).stdout
    assert shell.told("show", new.key_id)["state"] == "revoked"
    assert "revoked" in shell.run("show", new.key_id).stdout


def test_a_token_is_shown_once_and_kept_as_its_hash(shell, tmp_path):
    file = tmp_path / "tokens.json"
    make = ("token", "anna", "--file", str(file), "--scope", "keys:read")

    made = shell.run(*make)

    token = made.stdout.strip()
    assert len(token) == 43
    assert token not in file.read_text()
    assert file.stat().st_mode & 0o777 == 0o600
    assert "has a token" in shell.refused(*make, status=2)
    shell.refused("token", "bert", "--file", str(file), "--scope", "keys:all", status=2)
    shell.refused("token", "bert", "--file", str(file), status=2)
    assert shell.told("token", "anna", "--file", str(file), "--remove") == {"removed": "anna"}
    file.chmod(0o640)
    assert "chmod 600" in shell.refused(*make, status=2)


def test_a_database_that_is_not_there_is_said_so(tmp_path):
    done = Shell(f"host={tmp_path}").run("list")

    assert done.exit_code == 1
    assert "connecting as v2g_registry" in done.stderr
