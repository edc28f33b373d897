"""Which moments a program's season holds, by the clock on the wall of its time zone.

Plainest readings taken: a moment is in season when its local month, weekday and time of day are;
so hours that a clock change repeats all count and hours that it skips do not exist. Hours whose
end is not after their start run over midnight, and each moment belongs to its own local day. A
season begins in the listed month that follows an unlisted one (the first of them, if several; the
smallest if every month is listed) and is named by the year in which it began.
"""

from datetime import UTC, date, datetime, time, timedelta

from oracle.terms import Terms

_QUARTER = timedelta(minutes=15)
_DAY = timedelta(days=1)


def _clock(text: str) -> time:
    return time(0) if text == "24:00" else time.fromisoformat(text)


def inside(terms: Terms, at: datetime) -> bool:
    """Whether a moment is in season."""
    local = at.astimezone(terms.zone)
    if local.month not in terms.months or local.isoweekday() not in terms.weekdays:
        return False
    if terms.hours is None:
        return True
    opens, closes = _clock(terms.hours[0]), _clock(terms.hours[1])
    clock = local.time()
    if opens < closes:
        return opens <= clock < closes
    return clock >= opens or clock < closes


def edges(terms: Terms, started_at: datetime, ended_at: datetime) -> list[datetime]:
    """Every time strictly between two at which `inside` may change."""
    if terms.hours is None and (len(terms.months), len(terms.weekdays)) == (12, 7):
        return []
    found: set[datetime] = set()
    clocks = {time(0)} | {_clock(text) for text in terms.hours or ()}
    day = started_at.astimezone(terms.zone).date() - _DAY
    while day <= ended_at.astimezone(terms.zone).date() + _DAY:
        for clock in clocks:
            for fold in (0, 1):
                local = datetime.combine(day, clock, tzinfo=terms.zone).replace(fold=fold)
                found.add(local.astimezone(UTC))
        day += _DAY
    found |= _clock_changes(terms, started_at, ended_at)
    return sorted(at for at in found if started_at < at < ended_at)


def _clock_changes(terms: Terms, started_at: datetime, ended_at: datetime) -> set[datetime]:
    """Clocks change on a quarter of an hour, everywhere."""
    at = started_at.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
    changes = set()
    while at < ended_at:
        after = at + _QUARTER
        if at.astimezone(terms.zone).utcoffset() != after.astimezone(terms.zone).utcoffset():
            changes.add(after)
        at = after
    return changes


def first_month(terms: Terms) -> int:
    listed = set(terms.months)
    opening = [month for month in sorted(listed) if (month - 2) % 12 + 1 not in listed]
    return opening[0] if opening else min(listed)


def season_year(terms: Terms, at: datetime) -> int:
    """The year in which the season around a moment began."""
    local: date = at.astimezone(terms.zone).date()
    return local.year if local.month >= first_month(terms) else local.year - 1
