"""One car's discharge through one event, and how the tests look at what becomes of it."""

import json
from datetime import UTC, datetime
from typing import Any

import psycopg
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterKey
from prefect.client.schemas.objects import State

from tests.expectations.stored import STEP, Row, reading

START = datetime(2026, 7, 1, 16, 30, tzinfo=UTC)
END = datetime(2026, 7, 1, 18, tzinfo=UTC)
EVENT_STARTS = datetime(2026, 7, 1, 17, tzinfo=UTC)
READINGS = 120
"""Half-minute readings that fill the event."""


def discharged(**changes: Any) -> list[Row]:
    """A car that discharges through the whole event, 7.2 kWh in all."""
    rows = []
    for number in range(READINGS):
        started_at = EVENT_STARTS + number * STEP
        times = {
            "started_at": started_at,
            "ended_at": started_at + STEP,
            "received_at": started_at + STEP,
        }
        rows.append(reading(number, **times) | changes)
    return rows


def rows(dsn: str, query: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(dsn, user="v2g") as conn:
        return conn.execute(query).fetchall()


def settle(**parameters: Any) -> State:
    from flows.settle_period import settle_period

    return settle_period(**parameters, return_state=True)


def latest_table(client: SyncPrefectClient, key: str) -> list[dict[str, str]]:
    """The newest table artifact of that key."""
    found = client.read_artifacts(artifact_filter=ArtifactFilter(key=ArtifactFilterKey(any_=[key])))
    newest = max(found, key=lambda one: str(one.created))
    table: list[dict[str, str]] = json.loads(str(newest.data))
    return table
