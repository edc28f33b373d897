"""The oracle is worth something only while it shares nothing with what it judges."""

import ast
import sys
from datetime import UTC, datetime, timedelta
from decimal import Decimal, FloatOperation, Inexact
from fractions import Fraction
from pathlib import Path

import pytest

import oracle
from oracle import CaseError, numbers
from oracle.heat import Battery
from oracle.meters import distance_m
from oracle.readings import divided
from oracle.terms import terms
from tests.oracle.comparing import CHUNKS, PROMISED, SHARES
from tests.oracle.made import KINDS

FOLDER = Path(oracle.__file__).parent
NOON = datetime(2026, 7, 15, 12, tzinfo=UTC)


@pytest.mark.parametrize("path", sorted(FOLDER.rglob("*.py")), ids=lambda path: path.name)
def test_the_oracle_imports_itself_and_the_standard_library_only(path: Path):
    imported = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            imported |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0
            imported.add(str(node.module).partition(".")[0])

    assert imported <= sys.stdlib_module_names | {"oracle"}


def test_a_product_that_sixty_digits_do_not_hold_is_refused():
    with pytest.raises(Inexact):
        numbers.product(Decimal("1." + "1" * 40), Decimal("1." + "1" * 40))


def test_a_float_is_refused_wherever_it_comes_in():
    with pytest.raises(CaseError, match="not a decimal"):
        numbers.whole(0.1, 6, "somewhere")
    with pytest.raises(FloatOperation):
        numbers.EXACT.create_decimal(0.1)


@pytest.mark.parametrize(
    ("value", "mode", "rounded"),
    [
        ("0.125", "half_away", "0.13"),
        ("-0.125", "half_away", "-0.13"),
        ("0.125", "half_even", "0.12"),
        ("0.135", "half_even", "0.14"),
        ("-0.135", "half_even", "-0.14"),
        ("0.139", "down", "0.13"),
        ("-0.139", "down", "-0.13"),
    ],
)
def test_decimals_and_fractions_round_alike(value: str, mode: str, rounded: str):
    by_decimal = numbers.rounded(Decimal(value), 2, mode)
    by_fraction = Decimal(numbers.nearest(Fraction(value) * 100, mode)).scaleb(-2)

    assert by_decimal == by_fraction == Decimal(rounded)


def test_parts_sum_to_the_whole_and_the_remainder_goes_to_the_last():
    assert divided(1_000_001, [10, 20]) == [333_333, 666_668]
    assert divided(10, [1, 1, 1]) == [3, 3, 4]


def test_a_degree_of_latitude_is_as_long_as_geodesists_say():
    # the mean radius of the IUGG, 6371.0088 km, × π / 180
    assert distance_m(0.0, 0.0, 1.0, 0.0) == pytest.approx(111_195.08, abs=0.01)


@pytest.mark.parametrize(
    ("minutes", "standing"),
    [(9, False), (17, True), (25, True), (40, False)],
    ids=["before", "reached", "cooling above 45", "released"],
)
def test_the_thermal_limit_stands_from_where_the_filter_crosses_it_until_it_is_back(
    minutes: int, standing: bool
):
    # τ = 10: from 40 towards 60, 55 is crossed after 10·ln 4 = 13.9 min; at 20 min F is 57.3, and then
    # towards 30 it falls below 45 after another 10·ln(27.3/15) = 6.0 min
    body = {
        "program": "p", "version": 1, "currency": "USD", "product": "energy",
        "thermal": {
            "time_constant_min": 10, "fresh_min": 60,
            "curve_c": [["20", "1"], ["45", "1"], ["55", "0"]],
        },
    }  # fmt: skip
    samples = [(-1, "40"), (0, "60"), (20, "30")]
    rows = [
        {"measured_at": NOON + timedelta(minutes=at), "battery_c": Decimal(value)}
        for at, value in samples
    ]
    at = NOON + timedelta(minutes=minutes)
    thermal = terms(body).thermal
    assert thermal is not None

    _, reason = Battery(rows, thermal).factor(at, at + timedelta(seconds=30))

    assert (reason == "THERMAL_LIMIT_REACHED") is standing


def test_every_kind_of_case_has_its_share_of_the_lines_that_are_promised() -> None:
    # each chunk of each kind compares at least its part, or fails
    wanted = [-(-PROMISED * share // 100 // CHUNKS) for share in SHARES.values()]

    assert set(SHARES) == set(KINDS)
    assert sum(wanted) * CHUNKS >= PROMISED == 100_000
