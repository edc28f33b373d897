"""What a case says is read exactly, whatever the dialect of its files."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

import cases
from cases.evidence import READINGS as READING_FIELDS
from cases.fields import decimal_column, moments
from settlement.decimals import decimal_text
from tests.cases.folders import CONTRACTS, EVENTS, PRICES, READINGS, SITES, folder


def at(clock: str) -> datetime:
    return datetime.fromisoformat(f"2026-07-01T{clock}").replace(tzinfo=UTC)


def test_quantities_become_integers_of_their_unit(tmp_path: Path):
    # given a reading with every value, and terms with decimals
    reading = (
        "E1,V1,S1,1,2026-07-01T10:00:00.000001-07:00,2026-07-01 17:30+00:00,"
        "1000.125,4600.5,0.001,0,7200.0,-7100,80.5,80.4999,52.520008,-13.4,2026-07-01T17:31:00Z"
    )
    case = cases.read(
        folder(
            tmp_path / "case",
            {
                "readings.csv": f"{READINGS.splitlines()[0]}\n{reading}\n",
                "contracts.csv": CONTRACTS.replace("E1,,", "E1,home,"),
                "sites.csv": SITES,
            },
        )
    )

    # then
    (row,) = case.readings.to_dicts()
    assert row["started_at"] == at("17:00:00.000001")
    assert row["ended_at"] == at("17:30")
    assert (row["export_start_milliwh"], row["export_end_milliwh"]) == (1_000_125, 4_600_500)
    assert (row["import_start_milliwh"], row["import_end_milliwh"]) == (1, 0)
    assert (row["power_start_w"], row["power_end_w"]) == (7200, -7100)
    assert (row["soc_start_ppm"], row["soc_end_ppm"]) == (805_000, 804_999)
    assert (row["latitude_microdeg"], row["longitude_microdeg"]) == (52_520_008, -13_400_000)
    (contract,) = case.facts.contracts.to_dicts()
    assert (contract["incentive_rate_ppm"], contract["rated_w"]) == (850_000, 11_000)
    assert contract["capacity_milliwh"] == 60_000_000
    assert contract["valid_to"] is None
    assert [p.price_micros_per_kwh for p in case.facts.prices] == [420_000, 615_000]
    assert case.facts.sites is not None
    assert case.facts.sites["site_group"].to_list() == ["north"]


DIALECTS = {
    "a byte order mark": lambda text: "\ufeff" + text,
    "CRLF": lambda text: text.replace("\n", "\r\n"),
    "no newline at its end": lambda text: text.rstrip("\n"),
    "empty lines at its end": lambda text: text + "\n\n",
    "every field quoted": lambda text: "".join(
        ",".join(f'"{field}"' for field in line.split(",")) + "\n" for line in text.splitlines()
    ),
    "columns in another order": lambda text: "".join(
        ",".join(reversed(line.split(","))) + "\n" for line in text.splitlines()
    ),
}


@pytest.mark.parametrize("dialect", DIALECTS.values(), ids=DIALECTS.keys())
def test_the_dialect_of_a_file_changes_nothing(dialect, tmp_path: Path):
    plain = cases.read(folder(tmp_path / "plain"))
    other = cases.read(folder(tmp_path / "other", {"readings.csv": dialect(READINGS)}))
    assert other.readings.equals(plain.readings)


def test_columns_that_may_be_blank_may_be_left_out(tmp_path: Path):
    # given only what is required
    required = [field.name for field in READING_FIELDS if not field.blank]
    names = READINGS.splitlines()[0].split(",")
    kept = [names.index(name) for name in required]
    text = "".join(
        ",".join(line.split(",")[place] for place in kept) + "\n" for line in READINGS.splitlines()
    )

    # when
    readings = cases.read(folder(tmp_path / "case", {"readings.csv": text})).readings

    # then powers are unknown, import is none, and a reading was known when it was over
    assert readings["power_start_w"].null_count() == 2
    assert readings["import_end_milliwh"].to_list() == [0, 0]
    assert (readings["received_at"] == readings["ended_at"]).all()


def test_the_same_reading_again_is_one_and_another_content_makes_both_conflicted(tmp_path: Path):
    # given a reading three times, the third with another register
    line = READINGS.splitlines()[1]
    again = line.replace("17:30:01Z", "17:45:00Z")
    other = line.replace("4600", "4700")

    # when
    readings = cases.read(
        folder(tmp_path / "case", {"readings.csv": f"{READINGS}{again}\n{other}\n"})
    ).readings

    # then
    first = readings.filter(pl.col("sequence") == 1)
    assert sorted(first["export_end_milliwh"]) == [4_600_000, 4_700_000]
    assert first["conflicted"].to_list() == [True, True]
    assert first["received_at"].max() == at("17:30:01")
    assert readings.filter(pl.col("sequence") == 2)["conflicted"].to_list() == [False]


def test_a_sequence_begins_anew_in_each_session(tmp_path: Path):
    # given the second reading in a session of its own, with the first one's sequence
    text = READINGS.replace("S1,2,", "S0,1,")

    # when
    readings = cases.read(folder(tmp_path / "case", {"readings.csv": text})).readings

    # then
    assert readings["conflicted"].to_list() == [False, False]
    assert readings["stream_epoch"].to_list() == [1, 2]


def test_only_what_was_known_counts(tmp_path: Path):
    # given prices revised at noon, and an event cancelled at a quarter past five
    prices = PRICES.replace("currency", "currency,received_at").replace(
        "USD", "USD,2026-07-01T08:00:00Z"
    )
    revised = "2026-07-01T17:00:00Z,2026-07-01T17:30:00Z,0.5,USD,2026-07-01T12:00:00Z\n"
    events = EVENTS.replace("scheduled,0,,", "cancelled,0,,2026-07-01T17:15:00Z")
    changes: dict[str, str | bytes | None] = {"prices.csv": prices + revised, "events.csv": events}

    def known(moment: str) -> tuple[int, int, int, bool]:
        case = cases.read(folder(tmp_path / moment.replace(":", ""), {**changes, "as_of": moment}))
        windows = case.facts.windows
        cancelled = any(w.cancelled_at is not None for w in windows)
        return len(case.facts.prices), case.readings.height, len(windows), cancelled

    # then each time knows what had come by then, its own moment included
    assert known("2026-07-01T07:59:59Z") == (0, 0, 0, False)
    assert known("2026-07-01T09:00:00Z") == (2, 0, 1, False)
    assert known("2026-07-01T12:00:00Z") == (3, 0, 1, False)
    assert known("2026-07-01T17:15:00Z") == (3, 0, 1, True)
    assert known("2026-07-01T17:30:01Z\n") == (3, 1, 1, True)
    assert known("2026-07-01T18:00:01+00:00") == (3, 2, 1, True)


def test_of_an_events_versions_the_last_one_known_counts(tmp_path: Path):
    # given a version that is created at ten and ends an hour later
    version = (
        EVENTS.splitlines()[1].replace("18:00:00", "19:00:00").replace("09:00:00", "10:00:00")
        + "\n"
    )
    changes: dict[str, str | bytes | None] = {"events.csv": EVENTS + version}

    # when it is read with all, and as of half past nine
    (last,) = cases.read(folder(tmp_path / "a", changes)).facts.windows
    (first,) = cases.read(
        folder(tmp_path / "b", {**changes, "as_of": "2026-07-01T09:30:00Z"})
    ).facts.windows

    # then
    assert (last.ended_at, first.ended_at) == (at("19:00"), at("18:00"))


@pytest.mark.parametrize(
    ("approval", "end"),
    [("", "18:00"), ("rejected", "18:00"), ("approved", "19:00")],
    ids=["nobody was asked", "rejected", "approved"],
)
def test_a_version_created_after_the_event_had_ended_counts_if_it_was_approved(
    tmp_path: Path, approval: str, end: str
):
    # given an event that is said on the evening to have been longer
    head, row = EVENTS.splitlines()
    later = row.replace("18:00:00", "19:00:00").replace("09:00:00", "20:00:00")
    text = f"{head},approval\n{row},\n{later},{approval}\n"

    # when
    (window,) = cases.read(folder(tmp_path / "case", {"events.csv": text})).facts.windows

    # then
    assert window.ended_at == at(end)
    assert window.certain is not None
    assert window.certain.started_at == at("17:00")


def test_all_that_decides_where_an_event_is_in_force_is_read(tmp_path: Path):
    # given
    columns = "modes,randomize_start_s,randomize_duration_s,resumes"
    head, row = EVENTS.splitlines()
    said = row.replace("scheduled,0,,", "3,4,north,2026-07-01T17:30:00Z")
    text = f"{head},{columns}\n{said},opModFixedW csipaus:opModExpLimW,60,-30,no\n"

    # when
    (window,) = cases.read(folder(tmp_path / "case", {"events.csv": text})).facts.windows

    # then
    assert window.modes == ("csipaus:opModExpLimW", "opModFixedW")
    assert (window.randomize_start_s, window.randomize_duration_s) == (60, -30)
    assert (window.resumes, window.cancelled_randomly) == (False, True)
    assert (window.primacy, window.group, window.cancelled_at) == (4, "north", at("17:30"))


def test_readings_are_given_out_for_any_stretch_of_time(tmp_path: Path):
    case = cases.read(folder(tmp_path / "case"))
    for start, end, count in (
        ("16:00", "17:00", 0),
        ("16:00", "17:00:01", 1),
        ("17:15", "17:45", 2),
        ("17:30", "17:31", 1),
        ("18:00", "19:00", 0),
    ):
        period = type(cases.PERIOD)(at(start), at(end))
        assert case.readings_in(period).height == count


def test_several_versions_of_a_program_are_in_the_order_of_their_versions(tmp_path: Path):
    from tests.cases.folders import PROGRAM

    # given a second version, in a file that is read first
    second = PROGRAM.replace("version: 1", "version: 2") + "valid_from: 2026-07-01T00:00:00Z\n"

    # when
    case = cases.read(
        folder(
            tmp_path / "case",
            {"program.yaml": None, "programs/a.yaml": second, "programs/b.yaml": PROGRAM},
        )
    )

    # then
    versions = case.facts.programs["evening"]
    assert [v.version for v in versions] == [1, 2]
    assert versions[1].valid_from == at("00:00")


def test_a_computed_baseline_rests_on_the_cases_own_readings(tmp_path: Path):
    from tests.cases.folders import PROGRAM

    # given a program that takes the hour before the event, told of at nine, in which 2 kW were drawn
    before = (
        "E1,V1,S0,1,2026-07-01T08:00:00Z,2026-07-01T09:00:00Z,1000,1000,0,2000,,,,,,,"
        "2026-07-01T09:00:00Z\n"
    )
    program = PROGRAM.replace("export_only", "against_baseline")

    # when
    case = cases.read(
        folder(
            tmp_path / "case",
            {
                "program.yaml": program + "baseline: {method: before_event, before_min: 60}\n",
                "readings.csv": READINGS + before,
            },
        )
    )

    # then
    assert case.facts.baselines.rows() == [("V1", at("17:00"), at("18:00"), 2000)]


numbers = st.one_of(
    st.decimals(-(10**9), 10**9, places=4).map(str),
    st.from_regex(r"-?[0-9]{0,16}\.?[0-9]{0,6}", fullmatch=True),
    st.text(alphabet="0123456789.-+eE ٣,_", max_size=12),
)


@given(st.lists(numbers, min_size=1, max_size=30), st.sampled_from([0, 3, 4, 6]))
def test_decimals_of_a_column_are_those_of_the_one_reader_of_digits(texts, places):
    # when
    column = pl.DataFrame({"a": texts}).select(decimal_column(pl.col("a"), places)).to_series()

    # then each is what decimal_text says; zeros beyond the places lose nothing
    for text, found in zip(texts, column, strict=True):
        whole, _, fraction = text.partition(".")
        kept = fraction[:places] + fraction[places:].rstrip("0")
        short = f"{whole}.{kept}" if kept else (whole if fraction else text)
        try:
            expected = decimal_text(short, places)
        except ValueError:
            expected = None
        if expected is not None and abs(expected) >= 2**63:
            expected = None
        assert found == expected, text


EARLIEST, LATEST = (datetime.fromisoformat(f"20{year}-01-02") for year in (20, 99))
times = st.one_of(
    st.datetimes(EARLIEST, LATEST).map(lambda d: d.isoformat()),
    st.from_regex(
        r"20[0-9]{2}-[01][0-9]-[0-3][0-9][T ][0-2][0-9]:[0-6][0-9](:[0-6][0-9])?", fullmatch=True
    ),
)
offsets = st.sampled_from(
    ["", "Z", "+00:00", "-07:00", "+0530", "+25:00", "z", " +01:00", "-00:60"]
)


@given(st.lists(st.tuples(times, offsets), min_size=1, max_size=20))
def test_times_are_those_of_the_standard_library(parts):
    # given times that are some, and some that are none
    texts = [time + offset for time, offset in parts]

    # then what is read is what the standard library reads; what is no ISO 8601 is refused
    for text, (_, offset), found in zip(texts, parts, moments(texts), strict=True):
        try:
            expected = datetime.fromisoformat(text)
        except ValueError:
            expected = None
        if expected and expected.tzinfo and not 2020 <= expected.astimezone(UTC).year < 2100:
            expected = None
        if expected is None or expected.tzinfo is None or offset in {"z", " +01:00", "-00:60"}:
            assert found is None, text
        else:
            assert found == expected, text
            assert found.utcoffset() == timedelta(0)
