"""One request being answered: who asks, when by the server's clock, and which page of a list."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from simulators.sep2.clock import epoch
from simulators.sep2.markup import Markup, Value, joined, node
from simulators.sep2.records import Device
from simulators.sep2.world import World

LIMIT_DEFAULT: Final = 1
"""Entries of a list when the request has no ``l`` (IEEE 2030.5 §6.7.3)."""

NUMBER_MAX: Final = 2**48


class UnusableQueryError(ValueError):
    """A query that no list understands: which, what was found, what was expected."""


@dataclass(frozen=True, slots=True)
class Window:
    """Which part of a list is asked for: from entry ``start`` on, ``limit`` of them, after a time."""

    start: int = 0
    limit: int = LIMIT_DEFAULT
    after: int | None = None

    @classmethod
    def of(cls, query: Mapping[str, str]) -> "Window":
        """From ``s``, ``l`` and ``a`` of a request. Raises UnusableQueryError."""
        numbers: dict[str, int] = {}
        for name in ("s", "l", "a"):
            text = query.get(name)
            if text is None:
                continue
            if not text.isascii() or not text.isdigit() or int(text) > NUMBER_MAX:
                raise UnusableQueryError(f"{name}={text!r}: expected a whole number")
            numbers[name] = int(text)
        return cls(numbers.get("s", 0), numbers.get("l", LIMIT_DEFAULT), numbers.get("a"))


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of a list; ``time`` is what ``a`` compares, where the list is ordered by time."""

    content: Markup
    time: datetime | None = None


@dataclass(frozen=True, slots=True)
class Desk:
    """What an answer is made from.

    Attributes:
        world: what there is to say.
        client: the LFDI of the certificate that the request came with.
        moment: the server's time.
        window: which part of a list.
        repeats: the list gives its first page whatever was asked for.
        endless: the list always has one page more.
        all_off: so many are added to what ``all`` says.
        results_off: the same for ``results``.
    """

    world: World
    client: str
    moment: datetime
    window: Window
    repeats: bool = False
    endless: bool = False
    all_off: int = 0
    results_off: int = 0

    @property
    def devices(self) -> list[Device]:
        """The devices that the client may see, in the order of the standard: by SFDI."""
        return sorted(self.world.seen_by(self.client), key=lambda device: device.sfdi)

    def device(self, number: str) -> Device | None:
        """The device of that number, if the client may see it."""
        return next((one for one in self.devices if str(one.number) == number), None)

    def may_see(self, devices: frozenset[str] | None) -> bool:
        """Whether something for these devices concerns one that the client may see."""
        return any(devices is None or device.lfdi in devices for device in self.devices)

    def listed(
        self, name: str, href: str, entries: Sequence[Entry], **attributes: Value | None
    ) -> Markup:
        """A list with the page that was asked for; its entries are in order already."""
        window = self.window
        if window.after is not None:
            entries = [
                entry for entry in entries if entry.time is None or epoch(entry.time) > window.after
            ]
        limit = min(window.limit, self.world.page_max)
        start = 0 if self.repeats else window.start
        total = len(entries)
        if self.endless and entries:
            total = window.start + limit + len(entries)
            page = [entries[(start + i) % len(entries)] for i in range(limit)]
        else:
            page = list(entries[start : start + limit])
        if self.repeats and total:
            total = max(total, window.start + 2 * len(page))
        numbers = {
            "all": max(0, total + self.all_off),
            "results": max(0, len(page) + self.results_off),
        }
        return node(
            name, joined(entry.content for entry in page), href=href, **numbers, **attributes
        )


def link(name: str, href: str, count: int | None = None) -> Markup:
    """A link; with a count, to a list."""
    return node(name, href=href, all=count)
