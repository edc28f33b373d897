"""What booked settlements send to the clearinghouse."""

from collections.abc import Iterator, Sequence
from typing import Final

from settlement import booking
from settlement.booking import Revision
from settlement.posting import Facts, Posting, compose
from tasks.calendar import Settled

PARTNER: Final = "clearinghouse"


def postings(revisions: Sequence[Revision], scope: Sequence[Settled]) -> list[Posting]:
    """One instruction per settlement, kind of movement and account.

    Args:
        revisions: that a run books.
        scope: the events and seasons that it settles.
    """
    spans = {(one.program, one.event_id): one for one in scope}
    # What an event was booked as before it went over to another program is none of the scope's pairs.
    events = {one.event_id: one for one in scope}
    return [
        compose(facts, partner=PARTNER)
        for one in revisions
        for facts in _facts(one, spans.get(_key(one)) or events[_key(one)[1]])
    ]


def _key(revision: Revision) -> tuple[str, str]:
    return str(revision.settlement["program"]), str(revision.settlement["event_id"])


def _facts(revision: Revision, span: Settled) -> Iterator[Facts]:
    program, event_id = _key(revision)
    for (kind, account), amount in booking.payments(revision.movements).items():
        yield Facts(
            settlement_id=revision.settlement_id,
            program=program,
            event_id=event_id,
            vehicle_id=str(revision.settlement["vehicle_id"]),
            kind=kind.value,
            account=account,
            currency=str(revision.settlement["currency"]),
            amount_minor=amount,
            period_started_at=span.started_at,
            period_ended_at=span.ended_at,
            supersedes=revision.supersedes,
        )
