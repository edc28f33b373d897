"""`v2g grid read`, as a shell sees it."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from cli.grid import app
from grid.sep2.documents import BODY_MAX_BYTES
from tests.grid.sep2 import test_tariffs as pieces
from tests.grid.sep2 import written
from tests.grid.sep2.written import element, power

REAL = Path(__file__).parents[3] / "shared" / "data" / "sep2"
SECONDS = 60

PROGRAM = element(
    "DERProgram",
    element("mRID", "20"),
    element("description", "Grid stress"),
    '<DERControlListLink href="/derp/1/derc" all="2"/>',
    element("primacy", 5),
    href="/derp/1",
)
SETTINGS = element(
    "DERSettings",
    element("setMaxChargeRateW", power(7_400)),
    element("setMaxW", power(11_000)),
    element("updatedTime", written.CREATED),
)


def read(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, ["read", *map(str, arguments)])


def shown(*arguments: str | Path, status: int = 0) -> dict[str, Any]:
    done = read(*arguments)
    assert done.exit_code == status, done.output
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two pages of one list, their program, its device's settings, and a price's five documents."""
    later = {"mRID": "0B", "creationTime": written.CREATED + 60, "start": written.START + 600}
    documents = {
        "a.xml": PROGRAM,
        "b.xml": written.control_list(
            written.control({"mRID": "0A"}, href="/derp/1/derc/1"), all=2
        ),
        "c.xml": written.control_list(
            written.control(later | {"duration": 600}, href="/derp/1/derc/2"), all=2
        ),
        "d.xml": SETTINGS,
    }
    for name, text in documents.items():
        (tmp_path / name).write_bytes(written.document(text))
    for name, body in {
        "tp.xml": pieces.profile(),
        "rc.xml": pieces.component(),
        "rt.xml": pieces.reading(),
        "tti.xml": pieces.interval(),
        "cti.xml": pieces.steps(pieces.step(-2145)),
    }.items():
        (tmp_path / name).write_bytes(body)
    return tmp_path


def test_its_help_teaches():
    text = read("--help").stdout
    for word in ("windows", "prices", "missing", "refused", "--edition", "--validate", "Exit 0"):
        assert word in text


def test_controls_come_with_their_program_their_watts_and_their_digest(folder: Path):
    # when
    found = shown(folder)

    # then
    assert found["refused"] == found["missing"] == []
    assert [(one["kind"], one["addresses"]) for one in found["documents"]][:2] == [
        ("DERProgram", ["/derp"]),
        ("DERControlList", ["/derp/1/derc"]),
    ]
    assert [(one["mrid"], one["primacy"]) for one in found["programs"]] == [("20", 5)]
    first, _ = found["controls"]
    assert (first["mrid"], first["program"], first["status"]) == ("0a", "20", "scheduled")
    assert (first["started_at"], first["ended_at"]) == (
        "2026-11-23T02:43:16Z",
        "2026-11-23T03:13:16Z",
    )
    assert first["setpoints"] == [
        {"mode": "opModFixedW", "value": "100", "unit": "%", "watts": "11000"}
    ]
    assert len(first["sha256"]) == 64


def test_effective_windows_follow_from_the_controls_and_the_edition(folder: Path):
    # given an event in the middle of another one, of the same program and controls
    then = [
        ("0a", "2026-11-23T02:43:16Z", "2026-11-23T02:53:16Z", "start", "superseded by 0b"),
        ("0b", "2026-11-23T02:53:16Z", "2026-11-23T03:03:16Z", "start", "end"),
    ]
    again = ("0a", "2026-11-23T03:03:16Z", "2026-11-23T03:13:16Z", "after 0b", "end")

    # then in the first edition it is over for good, in the second it goes on
    assert windows(shown(folder)) == then
    assert windows(shown(folder, "--edition", "2023")) == [*then, again]


def windows(found: dict[str, Any]) -> list[tuple[str, ...]]:
    names = ("event_id", "started_at", "ended_at", "began", "ended")
    assert {one["program"] for one in found["windows"]} == {"20"}
    return [tuple(one[name] for name in names) for one in found["windows"]]


def test_a_price_is_decimal_text_with_its_currency_and_its_time(folder: Path):
    (price,) = shown(folder)["prices"]
    assert price["direction"] == "export"
    assert (price["price_per_kwh"], price["currency"]) == ("-0.2145", "USD")
    assert (price["started_at"], price["ended_at"]) == (
        "2026-11-23T02:43:16Z",
        "2026-11-23T02:48:16Z",
    )
    assert price["file"].endswith("tti.xml")


def test_what_is_refused_is_listed_and_the_rest_is_shown(folder: Path):
    (folder / "b.xml").write_bytes(
        written.controls(written.control({"mRID": "0A", "duration": "soon"}))
    )
    (folder / "e.xml").write_bytes(b"<!DOCTYPE a><a/>")
    found = shown(folder, folder / "absent.xml", status=1)
    assert [
        (Path(one["where"].partition(",")[0]).name, one["found"]) for one in found["refused"]
    ] == [
        ("b.xml", "'soon'"),
        ("e.xml", "a document type declaration"),
        ("absent.xml", "No such file or directory"),
    ]
    assert [one["mrid"] for one in found["controls"]] == ["0b"]
    assert len(found["prices"]) == 1


def test_what_is_missing_is_listed_and_no_refusal(folder: Path):
    (folder / "c.xml").unlink()
    (folder / "cti.xml").unlink()
    found = shown(folder)
    assert [one["found"] for one in found["missing"]] == [
        "1 of the 2 items of /derp/1/derc",
        "a link to /cti/1",
    ]


def test_a_control_without_its_program_says_so(folder: Path):
    (folder / "a.xml").unlink()
    found = shown(folder)
    assert len(found["windows"]) == 2
    assert [one["found"] for one in found["missing"]] == [
        "control 0a of no program among the files",
        "control 0b of no program among the files",
    ]


def test_of_a_share_the_watts_are_said_only_where_one_device_is_known(folder: Path):
    (folder / "e.xml").write_bytes(written.document(SETTINGS.replace("11000", "5000")))
    found = shown(folder)
    assert len(found["settings"]) == 2
    assert "watts" not in found["controls"][0]["setpoints"][0]


def test_no_file_that_can_be_used_is_an_error_of_its_own(tmp_path: Path):
    (tmp_path / "a.xml").write_bytes(b"no XML")
    done = read(tmp_path / "a.xml")
    assert done.exit_code == 2
    assert json.loads(done.stdout)["refused"][0]["found"].startswith("no well-formed XML")
    assert "none of 1 files could be used" in done.stderr
    empty = tmp_path / "empty"
    empty.mkdir()
    assert read(empty).exit_code == 2
    assert read(tmp_path / "a.xml", "--edition", "2013").exit_code == 2


def test_what_a_schema_does_not_allow_is_shown_on_request(folder: Path):
    assert "schema" not in shown(folder)
    found = shown(folder / "d.xml", "--validate")
    # the settings lack what both editions demand
    assert [one["edition"] for one in found["schema"]] == [2018, 2023]
    assert all("setMaxChargeRateW" in one["text"] for one in found["schema"])
    assert shown(folder / "rt.xml", "--validate")["schema"] == []


def test_a_file_of_100_mb_is_not_held(folder: Path):
    # given one that takes no space itself
    with (folder / "big.xml").open("wb") as stream:
        stream.truncate(100_000_000)
    # when, in a process that may not hold it
    code = (
        "import resource, sys; from cli.grid_read import _bodies; from pathlib import Path;"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss;"
        "(_, body), = _bodies([Path(sys.argv[1])])[0];"
        "print(len(body), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)"
    )
    done = subprocess.run(
        (sys.executable, "-c", code, str(folder / "big.xml")),
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=True,
    )
    size, grown_kib = map(int, done.stdout.split())
    # then
    assert size == BODY_MAX_BYTES + 1
    assert grown_kib < 40 * 1024
    assert shown(folder, status=1)["refused"][0]["found"] == "more than 4194304 bytes"


@pytest.mark.skipif(not REAL.is_dir(), reason="no documents of a real server here")
def test_the_documents_of_a_running_server_are_read():
    found = shown(REAL)
    assert found["refused"] == []
    assert len(found["documents"]) >= 20
    assert [one["primacy"] for one in found["programs"]] == [0, 1]
    assert [one["price_per_kwh"] for one in found["prices"]] == ["0.2145"]
    # its status 4 is no reason not to be paid: the event was marked before anything overlapped
    (marked,) = [one for one in found["controls"] if one["status"] == "superseded"]
    assert marked["mrid"] in {one["event_id"] for one in found["windows"]}
