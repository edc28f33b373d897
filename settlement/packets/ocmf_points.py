"""A meter's readings as points in time: one register per direction, one value per time.

A record may state several registers; values of two registers have no difference, so one is chosen for
the whole record. What contradicts itself is a problem of its point, not an error.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from settlement.packets.content import MeterPoint, UnreadablePacketError
from settlement.packets.ocmf_fields import (
    BILLABLE_CLOCKS,
    CHANNEL_MARK,
    EXPORT_REGISTERS,
    IMPORT_REGISTERS,
    Reading,
)

POINTS_MAX: Final = 63
"""Points of one record: a reading's number within it has six bits."""

PROBLEM_MAX_CHARS: Final = 200
"""Of what a point says is wrong: what is inherited by many readings would be said by each."""


def points(complete: Sequence[Reading]) -> tuple[MeterPoint, ...]:
    """Readings as points in time: ascending, one per time, one register per direction.

    Raises:
        UnreadablePacketError: more than 63 points.
    """
    registered = [r for r in complete if r.register] or list(complete)
    exporting = _chosen(registered, EXPORT_REGISTERS)
    importing = _chosen(registered, IMPORT_REGISTERS)
    moments = sorted({r.at for r in registered})
    if len(moments) > POINTS_MAX:
        raise UnreadablePacketError(
            "payload.RD", f"readings of {len(moments)} times", f"at most {POINTS_MAX}"
        )
    broken = min((r.at for r in complete if r.kind == "X"), default=None)
    made = []
    for at in moments:
        here = [r for r in complete if r.at == at]
        problems = [r.problem for r in here if r.problem]
        export_value = _shown(here, exporting, problems)
        import_value = _shown(here, importing, problems)
        if export_value is None and import_value is None and not problems:
            problems.append(f"RD[{here[0].place}]: no register of exported or imported energy")
        if broken is not None and at > broken:
            problems.append(f"RD[{here[0].place}]: after an exception (TX 'X')")
        made.append(
            MeterPoint(
                at=at,
                export_milliwh=export_value,
                import_milliwh=import_value,
                kind=next((r.kind for r in here if r.kind), ""),
                clock=next(
                    (r.clock for r in here if r.clock not in BILLABLE_CLOCKS), here[0].clock
                ),
                problem=_short("; ".join(problems)),
                export_register=exporting if export_value is not None else "",
                import_register=importing if import_value is not None else "",
            )
        )
    return tuple(made)


def _short(problem: str) -> str:
    return problem if len(problem) <= PROBLEM_MAX_CHARS else problem[: PROBLEM_MAX_CHARS - 1] + "…"


def _chosen(registered: Sequence[Reading], preferred: Sequence[str]) -> str:
    """The first of the preferred registers that is stated at most of the times; empty: none is."""
    stated: dict[str, set[datetime]] = {}
    for reading in registered:
        if reading.register.partition(CHANNEL_MARK)[0] in preferred:
            stated.setdefault(reading.register, set()).add(reading.at)

    def rank(name: str) -> tuple[int, int, str]:
        return -len(stated[name]), preferred.index(name.partition(CHANNEL_MARK)[0]), name

    return min(stated, key=rank, default="")


def _shown(here: Sequence[Reading], register: str, problems: list[str]) -> int | None:
    """What the register showed at one time; two different values are a problem."""
    values = {r.milliwatt_hours for r in here if r.register == register} - {None}
    if len(values) > 1:
        places = ", ".join(f"RD[{r.place}]" for r in here if r.register == register)
        problems.append(f"{places}: register {register} shows {len(values)} values at one time")
        return None
    return next(iter(values), None)
