"""Contracts and programs: who is paid, by which rules, as it was known at a time."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import polars as pl
import psycopg
import pytest
from polars.testing import assert_frame_equal

from settlement import units
from settlement.booking import Share
from settlement.programs import ProgramError
from settlement.schemas import CONTRACT
from storage.engine import Role, connect
from storage.registry import (
    Contract,
    UnusableContractError,
    contract_versions,
    load_contracts,
    load_programs,
    load_shares,
    put_contracts,
    put_program,
)
from storage.versions import RepeatedKeyError
from tests.storage.made import NOON

HOUR = timedelta(hours=1)
FIRST, SECOND = NOON, NOON + 10 * HOUR
PLAIN = Contract("c", "car", "p", 850_000, "acc", NOON)
SHARED = Contract(
    "c", "car", "p", 900_000, "", NOON, NOON + 100 * HOUR, "DE*V2G*E1", "site", 60_000_000, 11_000,
    (Share("site_host", "host", 250_000), Share("owner", "mine", 750_000)),
)  # fmt: skip
PROGRAM = {"program": "p", "version": 1, "currency": "USD", "product": "energy"}


def put(dsn: str, *contracts: Contract, at: datetime) -> int:
    with connect(dsn, Role.SETTLE) as conn:
        return put_contracts(conn, contracts, now=at)


def known(dsn: str, at: datetime) -> tuple[pl.DataFrame, dict[str, tuple[Share, ...]]]:
    with connect(dsn, Role.READ) as conn:
        return load_contracts(conn, known_at=at), load_shares(conn, known_at=at)


def frame(*rows: tuple[Any, ...]) -> pl.DataFrame:
    return pl.DataFrame(list(rows), schema=CONTRACT.schema, orient="row")


def test_a_contract_that_changes_later_is_read_as_it_was_known(database: str) -> None:
    # given a contract, and later the same one at another rate, for other accounts, with an end
    assert put(database, PLAIN, at=FIRST) == 1
    assert put(database, SHARED, at=SECOND) == 1
    # when it is read as of three times
    before, then, now = (known(database, at) for at in (FIRST - HOUR, SECOND - HOUR, SECOND))
    # then each shows what was known by then
    assert_frame_equal(before[0], frame())
    assert before[1] == {}
    assert_frame_equal(then[0], frame(("c", "car", "", "", "p", 850_000, NOON, None, None, None)))
    assert then[1] == {"c": (Share("owner", "acc", 1_000_000),)}
    assert_frame_equal(
        now[0],
        frame(
            ("c", "car", "DE*V2G*E1", "site", "p", 900_000, NOON, NOON + 100 * HOUR, 60_000_000, 11_000)
        ),
    )  # fmt: skip
    assert now[1] == {"c": (Share("owner", "mine", 750_000), Share("site_host", "host", 250_000))}
    with connect(database, Role.READ) as conn:
        versions = [contract_versions(conn, known_at=at) for at in (FIRST - HOUR, FIRST, SECOND)]
    assert versions == [{}, {"c": 1}, {"c": 2}]


def test_a_contract_said_again_is_no_version_in_whatever_order_its_shares_stand(
    database: str,
) -> None:
    # given
    put(database, SHARED, at=FIRST)
    # when
    again = put(database, replace(SHARED, shares=tuple(reversed(SHARED.shares))), at=SECOND)
    moved = put(
        database,
        replace(
            SHARED, shares=(Share("owner", "mine", 750_000), Share("site_host", "h2", 250_000))
        ),
        at=SECOND,
    )
    # then
    assert (again, moved) == (0, 1)


def test_contracts_are_read_in_the_order_of_their_names(plain_database: str) -> None:
    # given contracts stored in any order
    names = ["c-2", "a", "c-10", "b"]
    put(plain_database, *(replace(PLAIN, contract_id=name) for name in names), at=FIRST)
    # when
    contracts, shares = known(plain_database, FIRST)
    # then
    assert contracts["contract_id"].to_list() == sorted(names)
    assert list(shares) == sorted(names)


def test_one_call_cannot_say_two_things_of_a_contract(plain_database: str) -> None:
    with pytest.raises(RepeatedKeyError, match=r"\(contract_id\)=\(c\)"):
        put(plain_database, PLAIN, SHARED, at=FIRST)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"account": ""}, "a sum of 0 ppm; expected 1000000 ppm"),
        ({"shares": (Share("owner", "other", 1_000_000),)}, "an account beside shares"),
        ({"account": "", "shares": (Share("owner", "", 1_000_000),)}, "a share without account"),
        ({"account": "", "shares": (Share("bank", "a", 1_000_000),)}, "a role 'bank'"),
        ({"account": "", "shares": (Share("owner", "a", 999_999),)}, "a sum of 999999 ppm"),
        (
            {"account": "", "shares": (Share("owner", "a", 500_000),) * 2},
            "an account twice in one role",
        ),
    ],
    ids=["no account", "two answers", "nameless", "unknown role", "not the whole", "twice"],
)
def test_a_contract_that_nothing_can_be_paid_by_is_refused(changes: Any, message: str) -> None:
    with pytest.raises(UnusableContractError, match=f"contract c: {message}"):
        replace(PLAIN, **({"shares": ()} | changes))


def test_a_rate_beyond_its_range_is_not_kept(plain_database: str) -> None:
    with pytest.raises(psycopg.errors.CheckViolation):
        put(plain_database, replace(PLAIN, incentive_rate_ppm=4_000_001), at=FIRST)


def test_programs_are_read_as_they_were_known_with_the_time_from_which_they_count(
    database: str,
) -> None:
    # given two versions, known one after the other; the second says itself from when it counts
    with connect(database, Role.SETTLE) as conn:
        put_program(conn, PROGRAM, valid_from=NOON - HOUR, source="test", now=FIRST)
        body = PROGRAM | {"version": 2, "valid_from": "2026-08-01T00:00:00-07:00"}
        put_program(conn, body, valid_from=NOON, source="test", now=SECOND)
        # when
        before, then, now = (
            load_programs(conn, known_at=at) for at in (FIRST - HOUR, FIRST, SECOND)
        )
    # then
    assert before == {}
    assert [(v.version, v.valid_from) for v in then["p"]] == [(1, NOON - HOUR)]
    assert [(v.version, v.valid_from) for v in now["p"]] == [
        (1, NOON - HOUR),
        (2, datetime(2026, 8, 1, 7, tzinfo=UTC)),
    ]


def test_a_program_that_says_no_time_counts_from_ever(plain_database: str) -> None:
    with connect(plain_database, Role.SETTLE) as conn:
        put_program(conn, PROGRAM, source="test", now=FIRST)
        [version] = load_programs(conn, known_at=FIRST)["p"]
    assert version.valid_from == units.EARLIEST


def test_dates_that_a_yaml_reader_has_made_are_kept(plain_database: str) -> None:
    # given a program as PyYAML gives it
    body = PROGRAM | {"valid_from": NOON, "season": {"holidays": [date(2026, 7, 3)]}}
    # when
    with connect(plain_database, Role.SETTLE) as conn:
        put_program(conn, body, source="test", now=FIRST)
        [version] = load_programs(conn, known_at=FIRST)["p"]
    # then
    assert version.valid_from == NOON
    assert version.season.holidays == {date(2026, 7, 3)}


def test_a_stored_version_of_a_program_stays_as_it_is(plain_database: str) -> None:
    # given
    with connect(plain_database, Role.SETTLE) as conn:
        first = put_program(conn, PROGRAM, source="test", now=FIRST)
        # when the same version comes with other rules
        again = put_program(conn, PROGRAM | {"currency": "EUR"}, source="test", now=SECOND)
        [version] = load_programs(conn, known_at=SECOND)["p"]
    # then
    assert (first, again, version.currency) == (1, 0, "USD")


def test_a_program_that_cannot_be_used_is_not_kept(plain_database: str) -> None:
    with connect(plain_database, Role.SETTLE) as conn:
        with pytest.raises(ProgramError, match=r"test: tarif"):
            put_program(conn, PROGRAM | {"tarif": 1}, source="test", now=FIRST)
        assert load_programs(conn, known_at=SECOND) == {}
