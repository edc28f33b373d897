"""Events as IEEE 2030.5 documents: what counts is taken, and nothing else that XML can do."""

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

import cases
from cases import CaseError
from cases.der_controls import read_controls
from tests.cases.folders import EVENTS, PROGRAM, folder, settled

REAL = Path(__file__).parents[3] / "shared" / "data" / "sep2"


def control(mrid: str, **changes: object) -> str:
    said: dict[str, object] = {
        "version": 1,
        "created": int(datetime(2026, 7, 1, 9, tzinfo=UTC).timestamp()),
        "status": 0,
        "status_at": int(datetime(2026, 7, 1, 9, tzinfo=UTC).timestamp()),
        "start": int(datetime(2026, 7, 1, 17, tzinfo=UTC).timestamp()),
        "duration": 3600,
    }
    said |= changes
    return (
        f"<DERControl><mRID>{mrid}</mRID><description>x &amp; y</description>"
        f"<version>{said['version']}</version><creationTime>{said['created']}</creationTime>"
        f"<EventStatus><currentStatus>{said['status']}</currentStatus>"
        f"<dateTime>{said['status_at']}</dateTime></EventStatus>"
        f"<interval><duration>{said['duration']}</duration><start>{said['start']}</start></interval>"
        "<DERControlBase><opModFixedW>10000</opModFixedW></DERControlBase></DERControl>"
    )


def document(*controls: str, count: int | None = None, href: str = "/derc") -> str:
    every = len(controls) if count is None else count
    return (
        '<?xml version="1.0"?><!-- as served -->'
        f'<DERControlList xmlns="urn:ieee:std:2030.5:ns" href="{href}" all="{every}"'
        f' results="{len(controls)}">{"".join(controls)}</DERControlList>'
    )


def test_events_as_documents_settle_like_events_in_a_table(tmp_path: Path):
    # given the same event in both ways
    table = cases.read(folder(tmp_path / "table", {"events.csv": EVENTS.replace("EV1", "e1")}))
    documents = cases.read(
        folder(tmp_path / "xml", {"events.csv": None, "events/a.xml": document(control("E1"))})
    )

    # then windows and settlements are the same, but for the control that only a document names
    named = [replace(w, modes=("opModFixedW",)) for w in table.facts.windows]
    assert documents.facts.windows == named
    assert settled(documents).settlements.equals(settled(table).settlements)


def test_a_cancellation_counts_from_its_time_and_a_supersession_is_evidence_only(tmp_path: Path):
    # given
    at = int(datetime(2026, 7, 1, 17, 15, tzinfo=UTC).timestamp())
    text = document(
        control("0A", status=2, status_at=at),
        control("0B", status=3, status_at=at),
        control("0C", status=4, status_at=at),
    )

    # when
    case = cases.read(folder(tmp_path / "case", {"events.csv": None, "events/a.xml": text}))

    # then
    moment = datetime(2026, 7, 1, 17, 15, tzinfo=UTC)
    assert [w.cancelled_at for w in case.facts.windows] == [moment, moment, None]
    assert [w.cancelled_randomly for w in case.facts.windows] == [False, True, False]


def test_what_a_control_sets_and_randomises_is_taken_over(tmp_path: Path):
    # given
    text = control("0A", status=3).replace(
        "<DERControlBase>",
        "<randomizeDuration>-60</randomizeDuration><randomizeStart>300</randomizeStart>"
        "<DERControlBase><opModConnect>true</opModConnect>",
    )

    # when
    case = cases.read(
        folder(tmp_path / "case", {"events.csv": None, "events/a.xml": document(text)})
    )

    # then
    (window,) = case.facts.windows
    assert window.modes == ("opModConnect", "opModFixedW")
    assert (window.randomize_start_s, window.randomize_duration_s) == (300, -60)
    assert window.cancelled_randomly


def test_of_a_control_in_several_documents_the_latest_version_counts(tmp_path: Path):
    # given three answers of the server, in any order of files
    texts = {
        "events/b.xml": document(control("0A", version=2, duration=1800)),
        "events/a.xml": document(control("0A", version=2, duration=1800)),
        "events/c.xml": document(control("0A", version=1)),
    }

    # when
    case = cases.read(folder(tmp_path / "case", {"events.csv": None, **texts}))

    # then
    (window,) = case.facts.windows
    assert window.ended_at == datetime(2026, 7, 1, 17, 30, tzinfo=UTC)


def test_where_there_are_several_programs_the_files_name_says_which(tmp_path: Path):
    # given
    changes: dict[str, str | bytes | None] = {
        "program.yaml": None,
        "programs/a.yaml": PROGRAM,
        "programs/b.yaml": PROGRAM.replace("program: evening", "program: evening.late"),
        "events.csv": None,
        "events/evening.2026-07.xml": document(control("0A")),
        "events/evening.late.xml": document(control("0B")),
    }

    # when
    case = cases.read(folder(tmp_path / "case", changes))

    # then
    assert {w.event_id: w.program for w in case.facts.windows} == {
        "0a": "evening",
        "0b": "evening.late",
    }


BAD = {
    "a document type": (
        '<!DOCTYPE a [<!ENTITY b "c">]>' + document(control("0A")).partition("-->")[2],
        "a document type declaration",
    ),
    "entities that multiply": (
        '<!DOCTYPE a [<!ENTITY b "c"><!ENTITY d "&b;&b;&b;&b;">]><a>&d;</a>',
        "a document type declaration",
    ),
    "a file of the machine": (
        '<!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]><a>&b;</a>',
        "a document type declaration",
    ),
    "another root": ("<a/>", "'a'; expected a document in urn:ieee:std:2030.5:ns"),
    "another namespace": (
        document(control("0A")).replace("std:2030.5", "x"),
        "expected a document in",
    ),
    "another document": (
        '<Time xmlns="urn:ieee:std:2030.5:ns"/>',
        "'Time'; expected a DERControlList or DERControl in",
    ),
    "no XML": ("event_id,program\n", "no well-formed XML"),
    "cut off": (document(control("0A"))[:-10], "no well-formed XML"),
    "an unknown encoding": (
        document(control("0A")).replace('version="1.0"', 'version="1.0" encoding="x-none"'),
        "the encoding 'x-none'; expected UTF-8",
    ),
    "no identity": (document(control("")), "mRID: nothing"),
    "an identity that is none": (document(control("EV1")), "mRID: 'EV1'; expected up to 16 bytes"),
    "no time": (document(control("0A", start="soon")), "interval/start: 'soon'"),
    "a time of milliseconds": (
        document(control("0A", created=1782896400000)),
        "seconds since 1970",
    ),
    "no duration": (
        document(control("0A", duration=0)),
        "interval/duration: 0; expected a whole number from 1 to",
    ),
    "no end": (
        document(control("0A", duration=10**14)),
        "interval/duration: 100000000000000; expected",
    ),
    "an unknown status": (document(control("0A", status=6)), "EventStatus/currentStatus: 6"),
    "an element twice": (
        document(control("0A").replace("<version>", "<version>1</version><version>")),
        "version twice",
    ),
    "pages missing": (document(control("0A"), count=3), "1 of the 3 controls of '/derc'"),
    "a control of two contents": (
        document(control("0A"), control("0A", duration=60), count=1),
        "another content of '0a'",
    ),
    "too deep": (
        document("<a>" * 100 + "</a>" * 100),
        "elements more than 64 deep",
    ),
}


@pytest.mark.parametrize(("text", "said"), BAD.values(), ids=BAD.keys())
def test_a_document_that_cannot_be_used_is_refused_on_one_line(text, said, tmp_path: Path):
    case = folder(tmp_path / "case", {"events.csv": None, "events/a.xml": text})
    with pytest.raises(CaseError) as caught:
        cases.read(case)
    assert str(caught.value).startswith("events/a.xml")
    assert said in str(caught.value)
    assert str(caught.value).isprintable()


@pytest.mark.skipif(not REAL.is_dir(), reason="no documents of a real server here")
def test_the_documents_of_a_real_server_are_read():
    # given its lists, which carry extensions of their own
    lists = [
        read_controls(path.read_bytes(), path.name)
        for path in sorted(REAL.glob("*DERControlList*"))
    ]

    # then every control has a time, and the pages are whole
    assert len(lists) >= 3
    for one in lists:
        assert len(one.controls) == one.all
        for made in one.controls:
            assert made.started_at < made.ended_at


@pytest.mark.skipif(not REAL.is_dir(), reason="no documents of a real server here")
@pytest.mark.parametrize(
    "name", [p.name for p in sorted(REAL.glob("*.xml")) if "DERControlList" not in p.name]
)
def test_other_documents_of_a_real_server_are_refused(name: str):
    with pytest.raises(CaseError, match="expected a DERControlList"):
        read_controls((REAL / name).read_bytes(), name)


def test_an_event_in_a_table_may_leave_its_only_program_out(tmp_path: Path):
    case = cases.read(
        folder(tmp_path / "case", {"events.csv": EVENTS.replace("EV1,evening", "EV1,")})
    )
    assert [w.program for w in case.facts.windows] == ["evening"]
