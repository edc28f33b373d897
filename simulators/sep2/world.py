"""The utility's world, and how to change it while it is served: programs, controls, prices.

A world answers for any moment of its clock; ``simulators.sep2.server`` serves it. All methods may
be called from any thread while it is served.

    world = World()
    program = world.add_program("Grid stress V2G", primacy=0)
    surge = world.add_control(program, start=soon, duration_s=900, modes={"opModTargetW": 7_000})
    world.cancel(surge)
"""

from collections.abc import Collection, Mapping
from datetime import datetime, timedelta
from typing import Any, Final

from simulators.sep2.clock import epoch
from simulators.sep2.modes import ModeValue, base
from simulators.sep2.price_book import PriceBook
from simulators.sep2.records import (
    Cancellation,
    Content,
    Control,
    Interval,
    Program,
    altered,
)
from simulators.sep2.registry import described, lfdi_checked, mrid_of

RANDOMIZE_MAX_S: Final = 3_600


class World(PriceBook):
    """What a utility's server has to say.

    Args:
        clock: the server's.
        edition: of 2018 or 2023.
        manner: how it marks superseded events.
        poll_rates_s: by dcap, tm, edev, fsa, derp, tp; what is missing is ``POLL_RATES``.
        page_max: no page of a list is longer, whatever the client asks for.
        registers_itself: whether an unknown device may register by POST.
        name: what mRIDs are made from where none are given, so that they come out the same each
            time; "" makes them unlike those of any other world.
    """

    def __init__(self, **registry: Any) -> None:
        super().__init__(**registry)
        self.programs: list[Program] = []

    def add_program(
        self,
        description: str,
        *,
        primacy: int = 1,
        mrid: str | None = None,
        devices: Collection[str] | None = None,
        default_modes: Mapping[str, ModeValue] | None = None,
    ) -> Program:
        """Add a DERProgram; devices None assigns every device to it, those yet to come included."""
        with self.lock:
            program = Program(
                number=len(self.programs) + 1,
                mrid=self.mrid(mrid, "program"),
                description=described(description),
                primacy=primacy,
                devices=None
                if devices is None
                else frozenset(lfdi_checked(one) for one in devices),
                default_modes=dict(default_modes or {}),
            )
            self.programs.append(program)
            return program

    def add_control(
        self,
        program: Program,
        *,
        start: datetime,
        duration_s: int,
        modes: Mapping[str, ModeValue],
        created_at: datetime | None = None,
        mrid: str | None = None,
        randomize_start_s: int | None = None,
        randomize_duration_s: int | None = None,
        description: str | None = None,
        extensions: str = "",
        response_required: int = 3,
        announced_at: datetime | None = None,
    ) -> Control:
        """Add a DERControl. It is served from its creation time on, by default from now on.

        Args:
            program: where.
            start: of the interval, whole seconds, with its zone.
            duration_s: of the interval.
            modes: what it asks for, by element name (``simulators.sep2.modes``).
            created_at: its creationTime.
            mrid: 32 hex digits; may be one that was used before. None makes one.
            randomize_start_s: -3600 to 3600.
            randomize_duration_s: -3600 to 3600.
            description: up to 32 characters.
            extensions: XML for the end of the DERControlBase.
            response_required: 1 received, 2 specific, 4 of the end user, added up.
            announced_at: served from then on only, where that is not ``created_at``.

        Raises:
            ValueError: a value that the standard does not allow.
        """
        with self.lock:
            created = created_at or self.present()
            content = Content(
                since=announced_at or created,
                created_at=created,
                start=start,
                duration_s=duration_s,
                modes=dict(modes),
                randomize_start_s=randomize_start_s,
                randomize_duration_s=randomize_duration_s,
                description=None if description is None else described(description),
                extensions=extensions,
                response_required=response_required,
            )
            _check(content)
            control = Control(
                number=len(program.controls) + 1,
                mrid=self.mrid(mrid, "control"),
                program=program.number,
                contents=[content],
            )
            program.controls.append(control)
            return control

    def edit(self, control: Control, *, at: datetime | None = None, **changes: object) -> Content:
        """Serve other content under the same mRID, from now on or from ``at``.

        The version goes up by one, unless ``version`` says otherwise; creationTime stays, unless
        ``created_at`` does. Any field of ``Content`` may change, after the event's end too.
        """
        with self.lock:
            newest = control.contents[-1]
            if "version" not in changes and newest.version is not None:
                changes["version"] = newest.version + 1
            content = altered(newest, since=at or self.present(), **changes)
            _check(content)
            control.contents.append(content)
            return content

    def cancel(
        self,
        event: Control | Interval,
        *,
        at: datetime | None = None,
        randomized: bool = False,
        reason: str | None = None,
    ) -> None:
        """Cancel an event, now or at a time of the server's clock; randomized: status 3, not 2."""
        with self.lock:
            event.cancellation = Cancellation(at or self.present(), randomized, reason)

    def withdraw(self, control: Control, *, at: datetime | None = None) -> None:
        """Serve a control no more, without a word, as servers do with what is over for them."""
        with self.lock:
            control.withdrawn_at = at or self.present()

    def claim(self, control: Control, number: int, *, at: datetime | None = None) -> None:
        """Say that a control has this status, whatever is true."""
        with self.lock:
            control.claimed = (number, at or self.present())


def _check(content: Content) -> None:
    for moment in (content.since, content.created_at, content.start):
        epoch(moment)
    for value in (content.randomize_start_s, content.randomize_duration_s):
        if not -RANDOMIZE_MAX_S <= (value or 0) <= RANDOMIZE_MAX_S:
            raise ValueError(f"randomization {value} s: expected -3600 to 3600")
    if content.duration_s < 0 or content.latest_end - content.start > timedelta(days=3650):
        raise ValueError(f"duration {content.duration_s} s: expected 0 s to ten years")
    base(content.modes, content.extensions)


__all__ = ["World", "mrid_of"]
