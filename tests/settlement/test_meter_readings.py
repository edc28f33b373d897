"""From a meter's records to intervals: between its points, and from one record to the next."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import permutations

import pytest

from settlement import packets
from settlement.meter_readings import StandingRecord, between, joined, within
from settlement.packets import MeterPoint, MeterRecord
from settlement.verdicts import fault
from tests.ocmf import make_meter, make_record

START = datetime(2026, 7, 1, 17, tzinfo=UTC)
STEP = timedelta(minutes=15)
EVSE = "DE*V2G*E00001"


def point(
    step: float, wh: int | None = 0, import_wh: int | None = 0, kind: str = "C", **more: str
) -> MeterPoint:
    registers = {
        "export_register": "" if wh is None else "2.8.0",
        "import_register": "" if import_wh is None else "1.8.0",
    } | more
    exported, imported = (None if value is None else value * 1000 for value in (wh, import_wh))
    return MeterPoint(START + step * STEP, exported, imported, kind, "S", "", **registers)


def record(number: int, *points: MeterPoint, vehicle: str = "") -> MeterRecord:
    return MeterRecord("METER-1", "", vehicle, "T", number, points)


def stands(
    number: int, first: MeterPoint, last: MeterPoint, *, evse: str = EVSE, vehicle: str = ""
) -> StandingRecord:
    return StandingRecord(
        evse, vehicle, "METER-1", "T", number, first, last, b"%d" % number, "key", START
    )


def test_between_the_points_of_a_record_lie_its_intervals() -> None:
    # given three points
    one = record(7, point(0, 100, 50, "B"), point(1, 400, 50), point(2, 900, 51, "E"))
    # when
    first, second = within(one, EVSE)
    # then
    assert (first.sequence, second.sequence) == (7 * 64 + 1, 7 * 64 + 2)
    assert (first.started_at, first.ended_at) == (START, START + STEP)
    assert (second.export_start_milliwh, second.export_end_milliwh) == (400_000, 900_000)
    assert (second.import_start_milliwh, second.import_end_milliwh) == (50_000, 51_000)
    assert {first.session_id, second.session_id} == {"METER-1:T7"}
    # and nothing is made up
    assert first.power_start_w is first.soc_start_ppm is first.latitude_microdeg is None
    assert first.clock_offset_us is None
    assert first.problem == ""


def test_its_stream_is_the_one_that_landing_gave_it() -> None:
    # given a signed record
    envelope = packets.split(make_record(make_meter(), number=7))
    said = packets.read(envelope)
    assert isinstance(said, MeterRecord)
    # when
    identity, (content, *_) = packets.identify(envelope), within(said, EVSE)
    # then
    assert content.stream_epoch == identity.stream_epoch
    assert content.sequence == identity.sequence + 1


def test_a_record_of_nobodys_is_the_evses_own() -> None:
    (named,) = within(record(1, point(0), point(1), vehicle="VIN-1"), EVSE)
    (unnamed,) = within(record(1, point(0), point(1)), EVSE)
    assert (named.vehicle_id, unnamed.vehicle_id) == ("VIN-1", f"EVSE:{EVSE}")


def test_an_export_that_is_stated_nowhere_is_none() -> None:
    (content,) = within(record(1, point(0, None, 5), point(1, None, 6)), EVSE)
    assert (content.export_start_milliwh, content.export_end_milliwh) == (0, 0)
    assert fault(content) is None


def test_an_export_without_any_import_cannot_be_billed() -> None:
    # given a meter that says what it gave and not what it took
    (content,) = within(record(1, point(0, 5, None), point(1, 6, None)), EVSE)
    # when
    found = fault(content)
    # then
    assert found is not None
    assert found[0] == "NOT_BILLABLE"
    assert "import register: stated nowhere" in found[1]


@pytest.mark.parametrize(
    ("start", "end", "says"),
    [
        (point(0, 5, 1), point(1, 6, None), "import: stated only at 2026-07-01T17:00:00"),
        (point(0, None, 1), point(1, 6, 1), "export: stated only at 2026-07-01T17:15:00"),
        (point(0, 5, export_register="C2"), point(1, 6), "export: register C2, then 2.8.0"),
        (replace(point(0, 5), problem="clock unknown"), point(1, 6), "clock unknown"),
        (point(0, 5), replace(point(1, 6), problem="error flag E"), "error flag E"),
    ],
)
def test_what_cannot_be_billed_says_why(start: MeterPoint, end: MeterPoint, says: str) -> None:
    (content,) = within(record(1, start, end), EVSE)
    assert says in content.problem
    # and no energy is claimed from one end alone
    assert content.export_end_milliwh - content.export_start_milliwh in (0, 1000)


def test_the_next_record_continues_where_the_last_one_ended() -> None:
    # given two records of one transaction, a quarter of an hour apart
    earlier = stands(7, point(0, 100, kind="B"), point(1, 400))
    later = stands(8, point(2, 600), point(3, 900, kind="E"), vehicle="VIN-1")
    # when
    content = between(earlier, later)
    # then
    assert content is not None
    assert (content.sequence, content.session_id) == (8 * 64, "METER-1:T8")
    assert (content.started_at, content.ended_at) == (START + STEP, START + 2 * STEP)
    assert (content.export_start_milliwh, content.export_end_milliwh) == (400_000, 600_000)
    assert content.vehicle_id == "VIN-1"
    assert fault(content) is None


EARLIER = stands(7, point(0, 100), point(1, 400))
NOT_JOINED = {
    "a new transaction begins": (EARLIER, stands(8, point(2, 600, kind="B"), point(3, 900))),
    "the old one had ended": (
        stands(7, point(0, 1), point(1, 4, kind="E")),
        stands(8, point(2, 6), point(3, 9)),
    ),
    "it takes up at the very time": (EARLIER, stands(8, point(1, 400), point(2, 900))),
    "a number is missing": (EARLIER, stands(9, point(2, 600), point(3, 900))),
    "the wrong way round": (stands(8, point(2, 600), point(3, 900)), EARLIER),
    "another context": (EARLIER, replace(stands(8, point(2, 6), point(3, 9)), context="F")),
    "another meter": (EARLIER, replace(stands(8, point(2, 6), point(3, 9)), meter_id="M-2")),
}


@pytest.mark.parametrize(("earlier", "later"), NOT_JOINED.values(), ids=NOT_JOINED)
def test_nothing_lies_between_records_that_do_not_follow(
    earlier: StandingRecord, later: StandingRecord
) -> None:
    assert between(earlier, later) is None


@pytest.mark.parametrize(
    ("later", "reason", "says"),
    [
        (stands(8, point(2, 6), point(3, 9), evse="OTHER"), "NOT_BILLABLE", "of EVSE"),
        (stands(8, point(2, 300), point(3, 900)), "VALUE_OUT_OF_RANGE", "register went by -100000"),
        (stands(8, point(6, 600), point(7, 900)), "VALUE_OUT_OF_RANGE", "1:15:00 after"),
        (stands(8, point(0.5, 600), point(3, 900)), "VALUE_OUT_OF_RANGE", "after started_at"),
        (stands(8, point(2, 600), point(3, 900), vehicle="VIN-2"), "NOT_BILLABLE", "names VIN-1"),
    ],
)
def test_what_lies_between_and_can_be_no_reading_has_a_reason(
    later: StandingRecord, reason: str, says: str
) -> None:
    content = between(replace(EARLIER, vehicle_id="VIN-1"), later)
    assert content is not None
    found = fault(content)
    assert found is not None
    assert found[0] == reason
    assert says in found[1]


def test_records_join_alike_in_whatever_order_they_came() -> None:
    # given four records, of which the third is missing
    records = [stands(n, point(2 * n, 100 * n), point(2 * n + 1, 100 * n + 50)) for n in (1, 2, 4)]
    # when they come in any order
    found = {
        tuple((content.sequence, earlier.number) for content, earlier, _ in joined(order))
        for order in permutations(records)
    }
    # then only those that follow each other are joined
    assert found == {((2 * 64, 1),)}
