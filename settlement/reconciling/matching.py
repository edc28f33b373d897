"""Comparing our postings with a partner's lines, each of which ends in exactly one finding."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime

from settlement.posting import State
from settlement.reconciling.records import Finding, Kind, Ours, Status, Theirs, Total, Way

_DOUBTED = frozenset({State.SENT, State.UNKNOWN, State.DISPUTED, State.PARKED})
"""States in which the partner's statement is the answer that we lacked, where it was sent at all."""

_ANSWERS = (Status.PAID, Status.RETURNED, Status.REFUSED, Status.PENDING)
"""Which line answers for a posting, where there are several: the first of these that is there."""


def match(
    ours: Iterable[Ours], theirs: Iterable[Theirs], *, due_before: datetime
) -> tuple[Finding, ...]:
    """Compare both sides.

    Args:
        ours: postings, each once.
        theirs: lines, in any order; those of earlier statements belong in where they are about one of
            these postings.
        due_before: what has stood in its state since this time or later need not be listed yet.

    Returns:
        Every posting and every line in one finding each, in an order that depends on nothing else.
    """
    fresh, repeated = _without_repeated(theirs)
    by_posting: dict[str, list[Theirs]] = defaultdict(list)
    findings = [Finding(Kind.REPEATED, None, line) for line in repeated]
    for line in fresh:
        if line.status is Status.FEE:
            findings.append(Finding(Kind.FEE, None, line))
        else:
            by_posting[line.posting_id].append(line)
    for posting in ours:
        findings += _of_posting(posting, by_posting.pop(posting.posting_id, []), due_before)
    for unknown in by_posting.values():
        findings += [Finding(Kind.UNKNOWN_TO_US, None, line) for line in unknown]
    return tuple(sorted(findings, key=_order))


def _order(finding: Finding) -> tuple[str, str, str, int]:
    line = finding.theirs
    place = (line.statement_id, line.number) if line else ("", 0)
    return (finding.kind, finding.posting_id, *place)


def _time_order(line: Theirs) -> tuple[datetime, datetime, str, int]:
    return line.booked_at, *_import_order(line)


def _import_order(line: Theirs) -> tuple[datetime, str, int]:
    return line.imported_at, line.statement_id, line.number


def _without_repeated(theirs: Iterable[Theirs]) -> tuple[list[Theirs], list[Theirs]]:
    """Lines, and those that say again what another statement says: same reference, time and content.

    A reference that stands twice in one statement is no repetition: the partner says it paid twice.
    Of a statement that says it more often than those before it, what is beyond them is fresh. Those
    before are the ones imported before: so a line that is fresh, and in dispute, stays so.
    """
    said: Counter[tuple[object, ...]] = Counter()
    here: Counter[tuple[object, ...]] = Counter()
    fresh: list[Theirs] = []
    repeated: list[Theirs] = []
    for line in sorted(theirs, key=_import_order):
        content = (
            line.way, line.reference, line.status, line.posting_id, line.account, line.currency,
            line.amount_minor, line.booked_at,
        )  # fmt: skip
        own = (line.statement_id, content)
        here[own] += 1
        if line.reference and here[own] <= said[content]:
            repeated.append(line)
        else:
            said[content] += 1
            fresh.append(line)
    return fresh, repeated


def _of_posting(posting: Ours, lines: Sequence[Theirs], due_before: datetime) -> Iterator[Finding]:
    answering = _answering(posting, lines)
    if answering is None:
        yield Finding(_unlisted(posting, due_before), posting, None)
        return
    yield Finding(_answered(posting, answering, due_before), posting, answering)
    for line in lines:
        if line is not answering:
            yield Finding(_further(line), None, line)


def _answering(posting: Ours, lines: Sequence[Theirs]) -> Theirs | None:
    """Of several lines the one that answers for the posting: paid before all, and as we sent it."""
    ranked = sorted(
        lines,
        key=lambda line: (
            _ANSWERS.index(line.status),
            _is_foreign(posting, line),
            _wrong(posting, line) is not None,
            *_time_order(line),
        ),
    )
    return ranked[0] if ranked else None


def _is_foreign(posting: Ours, line: Theirs) -> bool:
    """Whether somebody else says it: what a bank was given in a file, no partner can have paid."""
    return posting.way is Way.FILE and line.way is not Way.FILE


def _wrong(posting: Ours, line: Theirs) -> Kind | None:
    if line.currency != posting.currency:
        return Kind.CURRENCY_DIFFERS
    if line.amount_minor != posting.amount_minor:
        return Kind.AMOUNT_DIFFERS
    if line.account and line.account != posting.account:
        return Kind.ACCOUNT_DIFFERS
    return None


def _unlisted(posting: Ours, due_before: datetime) -> Kind:
    if posting.state is State.REJECTED:
        return Kind.AGREED_UNPAID
    if posting.since >= due_before:
        return Kind.NOT_YET_DUE
    return Kind.MISSING_AT_PARTNER if posting.state is State.ACKNOWLEDGED else Kind.STILL_OPEN


def _answered(posting: Ours, line: Theirs, due_before: datetime) -> Kind:
    match line.status:
        case Status.PAID:
            return _paid(posting, line)
        case Status.RETURNED:
            return Kind.RETURNED
        case Status.REFUSED:
            return Kind.AGREED_UNPAID if posting.state is State.REJECTED else Kind.REFUSED
        case _:
            is_late = line.booked_at < due_before and posting.state is not State.REJECTED
            return _unlisted(posting, due_before) if is_late else Kind.NOT_YET_DUE


def _paid(posting: Ours, line: Theirs) -> Kind:
    expected = posting.state is State.ACKNOWLEDGED
    doubted = posting.state in _DOUBTED and posting.was_sent
    if _is_foreign(posting, line) or not (expected or doubted):
        return Kind.PAID_UNEXPECTED
    return _wrong(posting, line) or (Kind.MATCHED if expected else Kind.PROVEN)


def _further(line: Theirs) -> Kind:
    """Of a line beside the one that answers for its posting."""
    match line.status:
        case Status.PAID:
            return Kind.PAID_TWICE
        case Status.RETURNED:
            return Kind.RETURNED
        case Status.REFUSED:
            return Kind.REFUSED
        case _:
            return Kind.NOT_YET_DUE


def totals(findings: Iterable[Finding]) -> tuple[Total, ...]:
    """Postings, lines and money by kind and currency; two currencies of one finding count in both."""
    sums: dict[tuple[Kind, str], list[int]] = defaultdict(lambda: [0] * 5)
    for finding in findings:
        if finding.ours is not None:
            of_ours = sums[finding.kind, finding.ours.currency]
            of_ours[0] += 1
            of_ours[2] += finding.ours_minor
        if finding.theirs is not None:
            of_theirs = sums[finding.kind, finding.theirs.currency]
            of_theirs[1] += 1
            of_theirs[3] += finding.theirs_minor
        sums[finding.kind, finding.currency][4] += finding.at_stake_minor
    return tuple(Total(*key, *sums[key]) for key in sorted(sums))
