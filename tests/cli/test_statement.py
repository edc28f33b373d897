"""`v2g statement` as a shell sees it."""

import json
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from statements.packing import write
from tasks.ledger import close_period
from tests.cli.test_commands import EVSE, v2g
from tests.statements.packed import make_pack
from tests.tasks.scene import Scene, now, vehicle_of

VEHICLE = vehicle_of(EVSE)


@pytest.fixture(autouse=True)
def wide(monkeypatch: pytest.MonkeyPatch) -> None:
    """A terminal that no table has to be folded for."""
    monkeypatch.setenv("COLUMNS", "250")


@pytest.fixture
def settled(plain_database: str) -> Scene:
    scene = Scene(plain_database)
    scene.set_up(EVSE)
    scene.deliver(scene.packet(EVSE, n) for n in range(360))
    scene.settle()
    return scene


def test_a_person_exports_a_pack_and_verifies_it_without_the_database(
    settled: Scene, tmp_path: Path
) -> None:
    # given
    kept, file = tmp_path / "seals.ndjson", tmp_path / "pack.json"
    close_period(settled.dsn, clock=now, out=kept)
    # when
    exported = v2g(
        "statement", "export", "--vehicle", VEHICLE, "--format", "json", "--out", str(file),
        database=settled.dsn,
    )  # fmt: skip
    verified = v2g("statement", "verify", str(file), "--against", str(kept), "--json")
    # then
    assert exported.returncode == 0, exported.stderr
    assert verified.returncode == 0, verified.stderr
    found = json.loads(verified.stdout)
    assert found["stands"]
    again = v2g(
        "statement", "export", "--vehicle", VEHICLE, "--format", "json", "--out", str(file), "--force",
        "--json", database=settled.dsn,
    )  # fmt: skip
    said = json.loads(again.stdout)
    assert (said["file"], said["stands"]) == (str(file), True)
    assert {check["state"] for check in found["checks"]} == {"holds"}
    # and when an amount is changed in the file
    text = file.read_text()
    document = json.loads(text)
    document["bookings"][0]["lines"][0]["amount_micros"] = "99000000"
    file.write_text(json.dumps(document))
    tampered = v2g("statement", "verify", str(file))
    # then the first difference is named with both figures
    assert tampered.returncode == 1
    assert "amount_micros: stated 99000000, recomputed 3251556" in tampered.stderr
    assert "broken" in tampered.stdout


def test_every_format_is_written_and_none_is_overwritten(settled: Scene, tmp_path: Path) -> None:
    # when
    written = {}
    for form in ("html", "csv", "espi"):
        out = tmp_path / f"statement.{form}"
        done = v2g(
            "statement", "export", "--event", "peak", "--format", form, "--out", str(out),
            database=settled.dsn,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        written[form] = out.read_text()
    again = v2g(
        "statement", "export", "--event", "peak", "--format", "csv",
        "--out", str(tmp_path / "statement.csv"), database=settled.dsn,
    )  # fmt: skip
    # then
    assert "<svg" in written["html"]
    assert written["csv"].startswith("record,vehicle_id")
    assert ET.fromstring(written["espi"]).tag == "{http://www.w3.org/2005/Atom}feed"  # noqa: S314 - our own
    assert again.returncode == 2
    assert "--force" in again.stderr


def test_show_prints_factors_reasons_and_money(settled: Scene) -> None:
    # when
    shown = v2g("statement", "show", "--owner", f"a-{VEHICLE}", database=settled.dsn)
    as_json = v2g("statement", "show", "--vehicle", VEHICLE, "--json", database=settled.dsn)
    # then
    assert shown.returncode == 0, shown.stderr
    for said in ("OUTSIDE_WINDOW", "payable", "not sealed yet", "rate"):
        assert said in shown.stdout
    document = json.loads(as_json.stdout)
    assert document["settlements"][0]["amount_minor"] > 0
    assert document["unpaid"][0]["reason"] == "OUTSIDE_WINDOW"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "nothing asked for"),
        (("--from", "2026-07-01T00:00:00Z"), "--from and --to go together"),
        (("--from", "yesterday", "--to", "today"), "expected a time with its zone"),
    ],
    ids=["nothing", "half a period", "no time"],
)
def test_what_cannot_be_asked_is_refused(arguments: tuple[str, ...], said: str) -> None:
    done = v2g("statement", "show", *arguments, database="host=/nowhere")
    assert done.returncode == 2
    assert said in done.stderr


def test_nobody_has_no_statement(settled: Scene) -> None:
    done = v2g("statement", "show", "--vehicle", "NOBODY", database=settled.dsn)
    assert done.returncode == 2
    assert "NOBODY" in done.stderr


def test_a_pack_needs_nothing_but_itself(tmp_path: Path) -> None:
    # given
    pack = make_pack()
    file = tmp_path / "pack.json"
    file.write_bytes(write(pack))
    # when
    done = v2g("statement", "verify", str(file), "--root", pack.seals[0].root.hex())
    other = v2g("statement", "verify", str(file), "--root", "00" * 32)
    # then
    assert done.returncode == 0, done.stderr
    assert "vouches for packets" in done.stdout
    assert other.returncode == 1
    assert "seals: seal 1: root" in other.stderr


@pytest.mark.parametrize(
    ("content", "arguments", "said"),
    [
        (b"{}", (), "expected an evidence pack"),
        (b"%PDF", (), "no JSON"),
        (None, (), "No such file"),
        (b"{}", ("--root", "abc"), "expected"),
    ],
    ids=["no pack", "no JSON", "no file", "no root"],
)
def test_files_that_cannot_be_used_are_refused(
    tmp_path: Path, content: bytes | None, arguments: tuple[str, ...], said: str
) -> None:
    # given
    file = tmp_path / "pack.json"
    if content is not None:
        file.write_bytes(content)
    # when
    done = v2g("statement", "verify", str(file), *arguments)
    # then
    assert done.returncode == 2
    assert said in done.stderr
