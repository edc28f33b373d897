"""Events never stand in the way of what they tell of: no server, a dead server, a strange payload."""

import json
import os
import subprocess
import sys
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prefect.settings import PREFECT_API_URL, temporary_settings

from tasks.prefect_tasks import telling
from tasks.prefect_tasks.telling import DEPTH_MAX, ITEMS_MAX, TEXT_MAX, Fact, exact, tell

TOLD = """
import time
from tasks.prefect_tasks.telling import Fact, tell
began = time.monotonic()
for number in range(100):
    tell(Fact.PERIOD_HELD, "v2g.period.x", {"number": number})
print(int(time.monotonic() - began))
"""


def test_with_a_server_that_does_not_answer_nobody_waits_and_the_process_ends(tmp_path):
    # given an address at which nobody listens; when a process tells a hundred events
    done = subprocess.run(
        [sys.executable, "-c", TOLD],
        env=os.environ
        | {
            "PREFECT_API_URL": "http://127.0.0.1:1/api",
            "PREFECT_HOME": str(tmp_path),
            "PYTHONPATH": str(Path(__file__).parents[2]),
        },
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )

    # then it has told them in no time, and ended well
    assert (done.returncode, int(done.stdout) < 5) == (0, True), done.stderr


def test_without_a_server_it_is_said_once_that_nobody_listens(caplog):
    telling._say_that_nobody_listens.cache_clear()
    with temporary_settings({PREFECT_API_URL: None}), caplog.at_level("INFO", telling.__name__):
        for _ in range(3):
            tell(Fact.PERIOD_SETTLED, "v2g.period.x", {})

    assert [one.message for one in caplog.records] == [
        "PREFECT_API_URL is not set: events such as v2g.period.settled go nowhere"
    ]


class Unprintable:
    def __str__(self) -> str:
        raise RuntimeError("not even text")


def test_a_payload_that_cannot_be_told_is_logged_and_raises_nothing(caplog):
    with temporary_settings({PREFECT_API_URL: "http://127.0.0.1:1/api"}):
        tell(Fact.PERIOD_SETTLED, "v2g.period.x", {"odd": Unprintable()})

    assert "v2g.period.settled of v2g.period.x was not told to Prefect" in caplog.text


def test_times_and_decimals_become_text_and_what_is_long_is_cut():
    given_ = {
        "at": datetime(2026, 7, 1, tzinfo=UTC),
        "money": Decimal("3.25"),
        "minor": 325,
        "fact": Fact.PERIOD_HELD,
        "many": list(range(ITEMS_MAX + 7)),
        "by": {f"key-{number}": number for number in range(ITEMS_MAX + 1)},
        "long": "x" * 10_000,
    }

    told = exact(given_)
    by = told["by"]

    assert (told["at"], told["money"], told["minor"]) == ("2026-07-01T00:00:00+00:00", "3.25", 325)
    assert told["fact"] == "v2g.period.held"
    assert told["many"] == [*range(ITEMS_MAX), "7 more"]
    assert isinstance(by, dict)
    assert (len(by), by["more"]) == (ITEMS_MAX + 1, "1 more")
    assert told["long"] == "x" * (TEXT_MAX - 1) + "…"


scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(2**62), 2**62)
    | st.floats()
    | st.text()
    | st.decimals()
)
nested = st.recursive(
    scalars, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=20
)


@settings(max_examples=50)
@given(st.dictionaries(st.text(), nested, max_size=10))
def test_whatever_is_told_no_number_in_it_is_a_float_and_json_holds_it(payload):
    again = json.loads(json.dumps(exact(payload)), parse_float=pytest.fail)

    assert _depth(again) <= DEPTH_MAX + 1


def _depth(value) -> int:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return 1 + max(map(_depth, inner), default=0) if isinstance(value, dict | list) else 0
