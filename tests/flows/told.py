"""What stands on a Prefect server: the artifacts of a key, and the events that were told."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterKey
from prefect.events.filters import EventFilter, EventNameFilter, EventOccurredFilter

from embedded.processes import wait_until

Event = dict[str, Any]


def newest(client: SyncPrefectClient, key: str) -> str:
    """The content of the newest artifact of that key."""
    found = client.read_artifacts(artifact_filter=ArtifactFilter(key=ArtifactFilterKey(any_=[key])))
    return str(max(found, key=lambda one: str(one.created)).data)


def events(client: SyncPrefectClient, since: datetime) -> list[Event]:
    """Our events of since then, by the server's word."""
    chosen = EventFilter(
        event=EventNameFilter(prefix=["v2g."]),
        occurred=EventOccurredFilter(since=since, until=datetime.now(UTC) + timedelta(minutes=1)),
    )
    answer = client.request(
        "POST", "/events/filter", json={"filter": chosen.model_dump(mode="json"), "limit": 50}
    )
    answer.raise_for_status()
    found: list[Event] = answer.json()["events"]
    return found


def wait_for(
    client: SyncPrefectClient, since: datetime, enough: Callable[[list[Event]], bool]
) -> list[Event]:
    """The same once there are enough: events come by a way of their own, a little later."""
    wait_until(lambda: enough(events(client, since)), deadline_s=60, what="events on the server")
    return events(client, since)
