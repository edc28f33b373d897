"""Prices from a CSV file, events and prices from a JSON file: read whole, refused line by line."""

import os
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path

import pytest

from grid.config import FileConfig
from grid.errors import FeedUnavailableError, FeedUnreadableError
from grid.feeds import FeedReading
from grid.file_feed import FILE_MAX_BYTES, open_feed
from storage import secrets

NOW = datetime(2026, 7, 1, 16, tzinfo=UTC)
HEADER = "started_at,ended_at,price_per_kwh,currency\n"
LINE = "2026-07-01T17:00:00Z,2026-07-01T17:30:00Z,0.42000,USD\n"


def read(folder: Path, text: str | bytes, *, name: str = "prices.csv", **words) -> FeedReading:
    path = folder / name
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    config = FileConfig(name="day-file", kind="file", path=path, **{"program": "p"} | words)
    return open_feed(config, secrets).read(lambda: NOW)


def test_a_line_is_a_price_and_the_file_stands_behind_it(tmp_path):
    found = read(tmp_path, HEADER + LINE)

    (price,) = found.prices
    assert (price.program, price.price_micros_per_kwh, price.currency) == ("p", 420_000, "USD")
    assert (price.started_at, price.ended_at - price.started_at) == (
        datetime(2026, 7, 1, 17, tzinfo=UTC),
        timedelta(minutes=30),
    )
    assert (price.feed, price.received_at) == ("day-file", NOW)
    (document,) = found.documents
    assert document.body == (HEADER + LINE).encode()
    assert price.digest == sha256(document.body).digest()
    assert (document.href, document.media_type) == (str(tmp_path / "prices.csv"), "text/csv")
    assert (found.refused, found.next_in) == ([], timedelta(minutes=1))


@pytest.mark.parametrize(
    "text",
    [
        "\ufeff" + HEADER + LINE,
        (HEADER + LINE).replace("\n", "\r\n"),
        HEADER + "\n" + LINE + "\n\n",
        HEADER + LINE.replace("USD", '"USD"'),
        HEADER.replace(",", " , ") + LINE.replace(",", " , "),
        (
            "currency,price_per_mwh,ended_at,started_at\n"
            "USD,420.00,2026-07-01T17:30:00Z,2026-07-01T17:00:00Z\n"
        ),
        "program," + HEADER + "p," + LINE,
        HEADER.replace("\n", ",created_at\n") + LINE.replace("\n", ",2026-07-01T10:00:00Z\n"),
    ],
    ids=["BOM", "CRLF", "empty lines", "quotes", "blanks", "per MWh", "program", "created"],
)
def test_the_same_is_said_in_many_ways(tmp_path, text):
    found = read(tmp_path, text)

    assert [str(one) for one in found.refused] == []
    assert [(one.program, one.price_micros_per_kwh) for one in found.prices] == [("p", 420_000)]


def test_a_bad_line_never_stops_the_good_ones(tmp_path):
    # given a file of good lines, and between them one of each kind of trouble
    good = [
        f"2026-07-01T{hour:02}:00:00Z,2026-07-01T{hour + 1:02}:00:00Z,0.{hour},USD\n"
        for hour in range(14)
    ]
    bad = [
        (
            "2026-07-02T00:00:00Z,2026-07-02T01:00:00Z,0,42,USD\n",
            "a price has a point, not a comma",
        ),
        ('2026-07-02T00:00:00Z,2026-07-02T01:00:00Z,"0,42",USD\n', "a decimal as text"),
        ("2026-07-02T00:00:00Z,2026-07-02T01:00:00Z,0.42\n", "3 fields; expected 4"),
        ("2026-07-02T00:00:00Z,2026-07-02T00:00:00Z,0.42,USD\n", "a time after started_at"),
        (
            "2026-07-02 00:00,2026-07-02T01:00:00Z,0.42,USD\n",
            "a time with its offset, or timezone:",
        ),
        ("soon,2026-07-02T01:00:00Z,0.42,USD\n", "a time such as"),
        (",2026-07-02T01:00:00Z,0.42,USD\n", "started_at: nothing; expected a time such as"),
        ("2026-07-02T00:00:00Z,2026-07-02T01:00:00Z,,USD\n", "price_per_kwh: nothing; expected"),
        ("2026-07-02T00:00:00Z,2026-07-02T01:00:00Z,0.42,Dollar\n", "an ISO 4217 code"),
        ("2026-07-02T00:00:00Z,2026-07-02T01:00:00Z,1e9,USD\n", "a decimal as text"),
        ("2026-07-02T00:00:00Z,2026-07-02T01:00:00Z,999,USD\n", "at most 100 per kWh"),
        ('"2026-07-02T00:00:00Z,2026-07-02T01:00:00Z,0.42,USD\n', "one line of CSV"),
        ("\0,2026-07-02T01:00:00Z,0.42,USD\n", "a time such as"),
    ]
    lines = [line for pair in zip(good, [one for one, _ in bad], strict=False) for line in pair]

    # when it is read
    found = read(tmp_path, HEADER + "".join(lines) + good[-1])

    # then every good line counts, and each bad one is named with its place
    assert len(found.prices) == len(good)
    assert len(found.refused) == len(bad)
    for number, (refusal, (_, expected)) in enumerate(zip(found.refused, bad, strict=True)):
        assert refusal.where.split(".csv:")[1].split(".")[0] == str(2 * number + 3)
        assert expected in str(refusal)


def test_a_last_line_without_its_end_may_be_half_a_line(tmp_path):
    found = read(tmp_path, HEADER + LINE + LINE[:-6].replace("T17", "T18"))

    assert len(found.prices) == 1
    (refusal,) = found.refused
    assert refusal.where == "prices.csv:3"
    assert "it may be half written" in refusal.expected


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "prices.csv:1: columns ''; expected a header with started_at, ended_at, currency and"),
        (LINE, "prices.csv:1: columns '2026-07-01T17:00:00Z'"),
        (HEADER.replace(",", ";"), "prices.csv:1: columns 'started_at;ended_at;"),
        (HEADER.replace("currency", "curency"), "prices.csv:1: columns 'curency'; expected"),
        ("started_at,ended_at,currency\n", "prices.csv:1: columns started_at, ended_at, currency;"),
        (HEADER.replace("\n", ",price_per_mwh\n"), "prices.csv:1: columns started_at"),
        (HEADER.replace("\n", ",currency\n"), "prices.csv:1: columns started_at"),
        (b"\xff\xfe" + HEADER.encode("utf-16-le"), "prices.csv: no UTF-8"),
    ],
    ids=["empty", "no header", "semicolons", "misspelt", "no price", "two", "twice", "UTF-16"],
)
def test_a_file_whose_columns_are_not_known_is_refused_as_a_whole(tmp_path, text, complaint):
    with pytest.raises(FeedUnreadableError) as caught:
        read(tmp_path, text)

    assert str(caught.value).startswith(complaint)


def test_a_line_without_a_program_needs_one_in_the_configuration(tmp_path):
    found = read(tmp_path, HEADER + LINE, program=None)

    assert found.prices == []
    assert "program: in the feed's configuration" in str(found.refused[0])


def test_the_local_day_on_which_clocks_go_back_has_25_hours(tmp_path):
    # given a file of local hours, with the fold of each time where it is ambiguous
    header = HEADER.replace("\n", ",started_fold,ended_fold\n")
    hours = ["00:00,", "01:00,0", "01:00,1", *(f"{hour:02}:00," for hour in range(2, 24))]
    ends = [*hours[1:], "00:00,"]
    lines = []
    for number, (start, end) in enumerate(zip(hours, ends, strict=True)):
        (began, fold), (ended, ended_fold) = start.split(","), end.split(",")
        day = "2026-11-02" if number == 24 else "2026-11-01"
        lines.append(f"2026-11-01 {began},{day} {ended},0.{number:02},USD,{fold},{ended_fold}\n")

    # when it is read, with and without the folds
    zone = "America/New_York"
    whole = read(tmp_path, header + "".join(lines), timezone=zone)
    without = [line.rsplit(",", 2)[0] + "\n" for line in lines]
    part = read(tmp_path, HEADER + "".join(without), timezone=zone)

    # then 25 hours follow each other, and without the folds the ambiguous ones are refused by name
    assert [one.price_micros_per_kwh for one in whole.prices] == [n * 10_000 for n in range(25)]
    assert {one.ended_at - one.started_at for one in whole.prices} == {timedelta(hours=1)}
    assert [one.started_at for one in whole.prices[1:]] == [
        one.ended_at for one in whole.prices[:-1]
    ]
    assert [one.where for one in part.refused] == [
        "prices.csv:2.ended_at",
        "prices.csv:3.started_at",
        "prices.csv:4.started_at",
    ]
    assert len(part.prices) == 22


def test_one_interval_twice_counts_once_and_not_at_all_where_it_contradicts_itself(tmp_path):
    other = LINE.replace("17:", "18:")
    found = read(tmp_path, HEADER + LINE + LINE + other + other.replace("0.42", "0.43"))

    assert [one.started_at.hour for one in found.prices] == [17]
    assert [one.where for one in found.refused] == ["prices.csv:4", "prices.csv:5"]


def test_a_json_file_says_events_and_prices_or_one_of_them(tmp_path):
    event = (
        '{"event_id": "e", "started_at": "2026-07-01T17:00:00Z", "ended_at": "2026-07-01T18:00:00Z",'
        ' "created_at": "2026-07-01T10:00:00Z", "status": "scheduled"}'
    )
    price = (
        '{"started_at": "2026-07-01T17:00:00Z", "ended_at": "2026-07-01T18:00:00Z",'
        ' "price_per_kwh": "0.42", "currency": "USD"}'
    )
    both = read(tmp_path, f'{{"events": [{event}], "prices": [{price}]}}', name="feed.json")
    one = read(tmp_path, f'{{"prices": [{price}]}}', name="feed.json")

    assert [(len(found.events), len(found.prices)) for found in (both, one)] == [(1, 1), (0, 1)]
    assert both.events[0].source == sha256(both.documents[0].body).digest()
    with pytest.raises(FeedUnreadableError, match="dict without a list 'events'"):
        read(tmp_path, "{}", name="feed.json")


def test_a_file_that_is_not_there_is_waited_for(tmp_path):
    config = FileConfig(name="day-file", kind="file", path=tmp_path / "none.csv")

    with pytest.raises(FeedUnavailableError, match="cannot be opened"):
        open_feed(config, secrets).read(lambda: NOW)


def test_neither_a_pipe_nor_a_folder_nor_a_huge_file_is_read(tmp_path):
    os.mkfifo(tmp_path / "pipe.csv")
    (tmp_path / "folder.csv").mkdir()
    (tmp_path / "huge.csv").write_bytes(b" " * (FILE_MAX_BYTES + 1))

    for name, expected in (
        ("pipe", "no regular"),
        ("folder", "regular"),
        ("huge", "a longer file"),
    ):
        config = FileConfig(name="day-file", kind="file", path=tmp_path / f"{name}.csv")
        with pytest.raises((FeedUnreadableError, FeedUnavailableError), match=expected):
            open_feed(config, secrets).read(lambda: NOW)
