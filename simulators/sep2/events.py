"""What every kind of event says first: mRID, version, creation, status, interval."""

from simulators.sep2.clock import epoch
from simulators.sep2.markup import Markup, joined, node, optional
from simulators.sep2.records import Content, PriceContent
from simulators.sep2.status import Status


def head(mrid: str, description: str | None, version: int | None) -> Markup:
    """What an IdentifiedObject begins with."""
    parts = (
        node("mRID", mrid),
        optional("description", description),
        optional("version", version),
    )
    return joined(part for part in parts if part is not None)


def event(
    mrid: str, content: Content | PriceContent, description: str | None, status: Status
) -> Markup:
    """The elements of an Event, in the order of the schema."""
    since = status.potentially_since
    return joined(
        (
            head(mrid, description, content.version),
            node("creationTime", epoch(content.created_at)),
            node(
                "EventStatus",
                node("currentStatus", status.number),
                node("dateTime", epoch(status.since)),
                node("potentiallySuperseded", status.potentially),
                optional("potentiallySupersededTime", None if since is None else epoch(since)),
                optional("reason", status.reason),
            ),
            node(
                "interval",
                node("duration", content.duration_s),
                node("start", epoch(content.start)),
            ),
        )
    )
