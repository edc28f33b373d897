"""Whatever lies in a case's folder, reading it ends in a case or in the one error."""

from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import cases
from cases import CaseError
from tests.cases.folders import BASELINES, FILES, KEYS, ORDERS, SITES, THERMAL, folder

XML = (
    '<DERControlList xmlns="urn:ieee:std:2030.5:ns" all="1"><DERControl><mRID>0A</mRID>'
    "<creationTime>1782900000</creationTime><EventStatus><currentStatus>0</currentStatus>"
    "<dateTime>1782900000</dateTime></EventStatus><interval><duration>1800</duration>"
    "<start>1782925200</start></interval></DERControl></DERControlList>"
)
SEEDS = {
    **FILES,
    "thermal.csv": THERMAL,
    "baselines.csv": BASELINES,
    "orders.csv": ORDERS,
    "sites.csv": SITES,
    "as_of": "2026-07-02T00:00:00Z",
    "events/a.xml": XML,
    "keys.csv": KEYS,
    "packets/a.ndjson": '{"packet": "eyJ.eyJ.x", "received_at": "2026-07-01T17:00:00Z"}\n',
    "packets/b": "eyJhbGciOiJFUzI1NiJ9.e30.x",
}
PIECES = [
    b"", b",", b'"', b"\n", b"\r", b"\0", b"\xff", b"\xef\xbb\xbf", b"-", b".", b"9" * 40, b"1e999",
    b"<!DOCTYPE a [<!ENTITY b 'c'>]>", b"&b;", b"{", b"}", b"[" * 50, b": ", b"&a *a", b"!!python/name:os.system",
    b"2026-07-01T17:00:00Z", b"nan", b"=1+1", "٣".encode(), "\u202e".encode(), b"<", b"]]>", b"0x10", b"null", b"~",
]  # fmt: skip

edits = st.lists(
    st.tuples(st.floats(0, 1), st.integers(0, 12), st.sampled_from(PIECES) | st.binary(max_size=6)),
    min_size=1,
    max_size=4,
)


def damaged(content: bytes, changes: list[tuple[float, int, bytes]]) -> bytes:
    for where, cut, piece in changes:
        place = int(where * len(content))
        content = content[:place] + piece + content[place + cut :]
    return content


def refusal(case: Path) -> str:
    """What the one error says; empty where the case can be read."""
    try:
        cases.read(case)
    except CaseError as error:
        return str(error)
    return ""


def read(changes: dict[str, str | bytes | None]) -> None:
    with TemporaryDirectory() as place:
        case = folder(Path(place) / "case", changes)
        assert refusal(case).isprintable()


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@pytest.mark.parametrize("name", SEEDS)
@given(changes=edits)
def test_a_damaged_file_is_read_or_refused(name: str, changes: list[tuple[float, int, bytes]]):
    others: dict[str, str | bytes | None] = {}
    if name.startswith("events/"):
        others["events.csv"] = None
    if name.startswith(("packets/", "keys")):
        others |= {"readings.csv": None, "keys.csv": KEYS.splitlines()[0] + "\n", "packets/c": "x"}
    read({**others, name: damaged(SEEDS[name].encode(), changes)})


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(sorted(SEEDS)), st.binary(max_size=200) | st.text(max_size=200))
def test_any_bytes_are_read_or_refused(name: str, content: bytes | str):
    others: dict[str, str | bytes | None] = {"events.csv": None} if "xml" in name else {}
    if name.startswith(("packets/", "keys")):
        others |= {"readings.csv": None, "keys.csv": KEYS.splitlines()[0] + "\n", "packets/c": "x"}
    read({**others, name: content.encode() if isinstance(content, str) else content})
