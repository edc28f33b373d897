"""What must be true once faults have stopped: booked is paid, once, and both sides know it."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import psycopg

from embedded.postgres import SUPERUSER
from settlement.posting import Posting
from simulators.clearinghouse import Ledger


@dataclass(frozen=True)
class Judgement:
    """What became of every posting.

    Attributes:
        posted: postings that both sides hold, and hold once.
        double: payments beyond the first, under one id or under several.
        missing: postings that are booked and had no effect.
        open: postings in a state that is not final.
        wrong: everything else that must not be, in words.
    """

    posted: int
    double: int
    missing: int
    open: int
    wrong: tuple[str, ...]

    @property
    def good(self) -> bool:
        """Nothing is wrong."""
        return not (self.double or self.missing or self.open or self.wrong)

    def __str__(self) -> str:
        return (
            f"posted {self.posted}, double {self.double}, missing {self.missing}, open {self.open}"
        )


def judge(dsn: str, booked: Sequence[Posting], truth: Ledger) -> Judgement:
    """Compare what was booked, what the database says and what the clearinghouse did.

    Args:
        dsn: the database.
        booked: every posting that was ever queued.
        truth: the clearinghouse's book.
    """
    ours = {one.posting_id: one for one in booked}
    states = _states(dsn)
    missing = [one for one in ours if not truth.effects.get(one)]
    # An id that is none of ours pays something a second time that is ours.
    foreign = [one for one in truth.effects if one not in ours]
    again = sum(count - 1 for count in truth.effects.values())
    return Judgement(
        posted=sum(
            truth.effects.get(one) == 1 for one in ours if states.get(one) == "acknowledged"
        ),
        double=again + len(foreign),
        missing=len(missing),
        open=sum(state not in ("acknowledged", "rejected") for state in states.values()),
        wrong=tuple(_wrong(ours, truth, states, dsn)),
    )


def _wrong(
    ours: dict[str, Posting], truth: Ledger, states: dict[str, str], dsn: str
) -> Sequence[str]:
    booked: Counter[str] = Counter()
    for one in ours.values():
        booked[one.currency] += one.amount_minor
    changed = sum(
        ours[key].body != held.body for key, held in truth.postings.items() if key in ours
    )
    rejected = sum(state == "rejected" for state in states.values())
    found = {
        f"paid is {dict(truth.totals_minor)}, booked is {dict(booked)}": truth.totals_minor
        != booked,
        f"{len(truth.settlements_paid_twice)} settlements are paid twice": bool(
            truth.settlements_paid_twice
        ),
        f"{changed} bodies arrived changed": changed > 0,
        f"the outbox holds {len(states)} of {len(ours)} postings": set(states) != set(ours),
        f"{rejected} are rejected, and nobody rejected any": rejected > 0,
    }
    return [*(text for text, is_so in found.items() if is_so), *_wrong_receipts(dsn)]


def _states(dsn: str) -> dict[str, str]:
    with psycopg.connect(dsn, user=SUPERUSER) as conn:
        return dict(conn.execute("select posting_id, state from posting_state").fetchall())


def _wrong_receipts(dsn: str) -> Sequence[str]:
    """Receipts must tell of attempts that were made, and of an acknowledgement where one is claimed."""
    with psycopg.connect(dsn, user=SUPERUSER) as conn:
        rows = conn.execute(
            """
            select s.state = 'acknowledged' as says, count(*),
                   count(*) filter (where not coalesce(r.acknowledged, false)),
                   count(*) filter (where coalesce(r.latest, 0) > s.attempts)
            from posting_state s left join (
                select posting_id, bool_or(outcome = 'acknowledged') as acknowledged,
                       max(attempt) as latest
                from receipt group by posting_id
            ) r using (posting_id)
            group by 1
            """
        ).fetchall()
    wrong = []
    for says, count, without, beyond in rows:
        if says and without:
            wrong.append(f"{without} are acknowledged without a receipt that says so")
        if not says and without < count:
            wrong.append(f"{count - without} have an acknowledging receipt and another state")
        if beyond:
            wrong.append(f"{beyond} have a receipt of an attempt that was never made")
    return wrong


def needless(dsn: str, quiet: Sequence[Posting]) -> list[str]:
    """What is wrong where postings were tried again though every answer was good.

    Args:
        dsn: the database.
        quiet: postings that were sent while nothing was wrong.
    """
    with psycopg.connect(dsn, user=SUPERUSER) as conn:
        rows = conn.execute(
            """
            select count(*) from posting_state s
            where posting_id = any(%s) and attempts > 1 and not exists (
                select from receipt r where r.posting_id = s.posting_id
                    and r.outcome <> 'acknowledged')
            """,
            [[one.posting_id for one in quiet]],
        ).fetchall()
    found: int = rows[0][0]
    return [f"{found} were tried again though no answer was bad"] if found else []
