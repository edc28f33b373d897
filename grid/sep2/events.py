"""From the controls of a server's programs to events of ours: each once, wherever it was seen."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from hashlib import sha256
from typing import Final

from grid.config import Sep2Config, Sep2Match, Sep2Program
from grid.records import Document, EventSaid, Refusal
from grid.sep2.controls import Control
from grid.sep2.discovery import Place
from grid.sep2.programs import Program
from grid.sep2.tariffs import Tariff

__all__ = ["Seen", "described", "events", "fits", "ours"]

RESUMES_SINCE: Final = 2023
"""From this edition on a superseded event goes on when the other one has ended."""


@dataclass(frozen=True, slots=True)
class Seen:
    """A control at one of the places where it stands.

    Attributes:
        place: the program it is of, as the server has it.
        mapped: what that is to us.
        document: the page on which it stands.
    """

    control: Control
    place: Place[Program]
    mapped: Sep2Program
    document: Document

    @property
    def where(self) -> str:
        """For messages."""
        return f"{self.document.href}, mRID {self.control.mrid}"

    @property
    def substance(self) -> tuple[object, ...]:
        """All that it says, without where it was said and where answers go: the same control has other
        addresses below each device.
        """
        alone = replace(self.control, href="", reply_to="", line=0, raw=b"")
        program = self.place.said
        return alone, program.primacy, self.mapped.program, self.mapped.group

    def overtakes(self, other: "Seen") -> bool:
        """Whether this is what became of the other one: a higher version, or only a later status. A
        cancellation is overtaken by a higher version alone.
        """
        (mine, *around), (before, *around_before) = self.substance, other.substance
        if around != around_before or not isinstance(before, Control):
            return False
        control = self.control
        if control.version != before.version:
            return control.version > before.version
        same = replace(before, status=control.status, status_at=control.status_at) == mine
        return same and not before.cancelled and control.status_at > before.status_at


def fits(match: Sep2Match, said: Program | Tariff) -> bool:
    """Whether a program or tariff is the one that is meant; all keys that are given must fit."""
    return (
        (match.mrid is None or match.mrid == said.mrid)
        and (match.description is None or match.description == said.description)
        and (match.href is None or match.href == said.href)
    )


def described(said: Program | Tariff) -> str:
    """For messages: everything that a line of the configuration may match."""
    return f"{said.description!r:.80}, mRID {said.mrid}, href {said.href}"


def ours(
    config: Sep2Config, places: Iterable[Place[Program]]
) -> tuple[list[tuple[Place[Program], Sep2Program]], list[Refusal], list[str]]:
    """The server's programs that are ours.

    Returns:
        Those, with what they are to us; those that several lines of ours fit, each once; and, in words,
        those that none fits. A server shows more than we take part in: that is no fault of anybody's.
    """
    mapped = []
    refused = []
    notes = []
    named: set[str] = set()
    for place in places:
        said = place.said
        shown = f"DERProgram {described(said)}"
        fitting = [one for one in config.programs if fits(one.match, said)]
        several = len({(one.program, one.group) for one in fitting}) > 1
        if fitting and not several:
            mapped.append((place, fitting[0]))
        elif said.mrid not in named:
            named.add(said.mrid)
            if several:
                expected = "one line of `programs`, several fit; it is left out"
                refused.append(Refusal(place.where, shown, expected))
            else:
                notes.append(f"{shown}: no line of `programs` fits, it is left out")
    return mapped, refused, notes


def events(
    seen: Sequence[Seen], *, feed: str, edition: int, received_at: datetime
) -> tuple[list[EventSaid], dict[str, list[Seen]], list[Refusal]]:
    """Each control once, as a version of an event.

    A server may change a control while it is read in one place after the other: what was overtaken, by
    a higher version or by a later status, says nothing.

    Returns:
        The events by mRID; where each was seen; and, by name, those that one reading said in two ways,
        of which none is taken.
    """
    by_mrid: dict[str, list[Seen]] = defaultdict(list)
    for one in seen:
        by_mrid[one.control.mrid].append(one)
    made = []
    taken: dict[str, list[Seen]] = {}
    refused = []
    for mrid, same in sorted(by_mrid.items()):
        latest = [one for one in same if not any(other.overtakes(one) for other in same)]
        first = min(latest, key=lambda one: (one.control.href, one.document.href))
        other = next((one for one in latest if one.substance != first.substance), None)
        if other is not None:
            refused.append(
                Refusal(
                    first.where,
                    f"the same mRID says something else in {other.document.href}",
                    "one content for one mRID; neither is taken",
                )
            )
            continue
        taken[mrid] = [replace(one, control=_as_in(first, one)) for one in same]
        made.append(_event(first, feed=feed, edition=edition, received_at=received_at))
    return made, taken, refused


def _as_in(latest: Seen, place: Seen) -> Control:
    """The latest control, at another of its places."""
    return replace(latest.control, href=place.control.href, reply_to=place.control.reply_to)


def _event(seen: Seen, *, feed: str, edition: int, received_at: datetime) -> EventSaid:
    control = seen.control
    return EventSaid(
        event_id=control.mrid,
        program=seen.mapped.program,
        started_at=control.started_at,
        ended_at=control.ended_at,
        created_at=control.created_at,
        status=control.status_word,
        document=control.raw,
        received_at=received_at,
        primacy=seen.place.said.primacy,
        site_group=seen.mapped.group,
        cancelled_at=control.cancelled_at,
        modes=control.modes,
        randomize_start_s=control.randomize_start_s,
        randomize_duration_s=control.randomize_duration_s,
        resumes=edition >= RESUMES_SINCE,
        source=sha256(seen.document.body).digest(),
        feed=feed,
    )
