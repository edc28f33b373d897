"""Stored documents of any kinds, in any order, put together by their addresses.

A server says one thing in several documents: a list in pages, a price in four. Each document has an
address, from the comment that a capture begins with (``<!-- GET /edev/1/derp?s=0 … -->``), from its own
``href``, or from its items'. What is linked to and not among them is named in ``missing``.
"""

import re
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final
from urllib.parse import urlsplit

from grid.records import Refusal
from grid.sep2 import controls, programs, tariffs, tm
from grid.sep2.controls import Control
from grid.sep2.documents import name, parse, tree
from grid.sep2.errors import Sep2Error
from grid.sep2.fields import Page
from grid.sep2.programs import DeviceSettings, Program

__all__ = ["Known", "Placed", "Stored", "read"]

_HEAD_BYTES: Final = 4096
_CAPTURED: Final = re.compile(
    rb"(?:\xef\xbb\xbf)?\s*(?:<\?xml[^>]*\?>\s*)?<!--\s*(?:[A-Z]+\s+)?((?:https?://|/)[^\s>]*)"
)

_LISTS: Final[dict[str, Callable[..., Page[Any]]]] = {
    "DERControl": controls.controls,
    "DERProgram": programs.programs,
    "EndDevice": programs.devices,
    "FunctionSetAssignments": programs.assignments,
    "DER": programs.ders,
    "TariffProfile": tariffs.tariffs,
    "RateComponent": tariffs.components,
    "TimeTariffInterval": tariffs.intervals,
    "ConsumptionTariffInterval": tariffs.steps,
}
"""Readers by the name of the items; the document is a list of them, or one of them."""

_ALONE: Final[dict[str, Callable[..., Any]]] = {
    "DeviceCapability": programs.capability,
    "Registration": programs.registration,
    "DefaultDERControl": controls.default_control,
    "DERSettings": programs.der_settings,
    "ReadingType": tariffs.reading,
    "Time": tm.server_time,
}


@dataclass(frozen=True, slots=True)
class Known:
    """One item, and where it stood.

    Attributes:
        where: its file.
        kind: name of its document's root.
        at: addresses of its document, without query: as captured, and as it says itself; of an item
            alone those of the list that it is of.
        item: as its reader makes it.
    """

    where: str
    kind: str
    at: frozenset[str]
    item: Any


@dataclass(frozen=True, slots=True)
class Placed:
    """A control, and its program; None where no program among the documents links to its list."""

    known: Known
    program: Known | None

    @property
    def control(self) -> Control:
        """As it was read."""
        said: Control = self.known.item
        return said


@dataclass(slots=True)
class Stored:
    """All that was read.

    Attributes:
        items: by the name of their element.
        lists: for each list by its address, how many items it has, how many of them were read or
            refused, and the file that says so.
        refused: what could not be read.
    """

    items: dict[str, list[Known]] = field(default_factory=lambda: defaultdict(list))
    lists: dict[str, tuple[int, set[str], str]] = field(default_factory=dict)
    refused: list[Refusal] = field(default_factory=list)

    def of(self, kind: str, address: str) -> list[Known]:
        """The items of the documents at an address."""
        wanted = _path(address)
        return [known for known in self.items[kind] if wanted and wanted in known.at]

    def missing(self) -> list[Refusal]:
        """Lists of which not every item, and lists of controls of which none, was among the documents."""
        pages = [
            Refusal(where, f"{len(seen)} of the {all_of_them} items of {address}", "all its pages")
            for address, (all_of_them, seen, where) in sorted(self.lists.items())
            if len(seen) < all_of_them
        ]
        lists = [
            Refusal(known.where, f"a link to {said.controls_href}", "that list among the files")
            for known in self.programs()
            if (said := known.item).controls_all and _path(said.controls_href) not in self.lists
        ]
        return pages + lists

    def controls(self) -> tuple[list[Placed], list[Refusal]]:
        """The latest version of each control, by start; and those whose latest version is said in two
        ways, of which none is taken.
        """
        same: dict[str, list[Known]] = defaultdict(list)
        for known in self.items["DERControl"]:
            same[known.item.mrid].append(known)
        placed: list[Placed] = []
        refused: list[Refusal] = []
        for mrid, several in same.items():
            newest = max(map(_order, several))
            last = [known for known in several if _order(known) == newest]
            if len(set(map(_said, last))) > 1:
                files = ", ".join(sorted({known.where for known in last}))
                expected = "one content: version and status are of the same time; none is taken"
                refused.append(Refusal(files, f"two contents of control {mrid}", expected))
                continue
            programs = (self._program_of(known) for known in several)
            placed.append(Placed(last[0], next(filter(None, programs), None)))
        placed.sort(key=lambda one: (one.known.item.started_at, one.known.item.mrid))
        return placed, refused

    def programs(self) -> list[Known]:
        """The programs, each once, by primacy."""
        each = {known.item.mrid: known for known in self.items["DERProgram"]}
        return sorted(each.values(), key=lambda known: (known.item.primacy, known.item.mrid))

    def settings(self) -> list[DeviceSettings]:
        """What devices have set, each once."""
        return list(dict.fromkeys(known.item for known in self.items["DERSettings"]))

    def _program_of(self, known: Known) -> Known | None:
        for program in self.items["DERProgram"]:
            said: Program = program.item
            if {_path(said.controls_href), _path(said.active_controls_href)} & known.at:
                return program
        return None


def read(documents: Iterable[tuple[str, bytes]]) -> Stored:
    """Read documents of any kinds; what cannot be read is in ``refused`` and does not stop the others.

    Args:
        documents: the name of each file, and its bytes.
    """
    stored = Stored()
    for where, body in documents:
        try:
            _add(stored, where, body)
        except Sep2Error as error:
            stored.refused.append(error.refusal())
    return stored


def _add(stored: Stored, where: str, body: bytes) -> None:
    root = tree(body, where=where)
    kind = name(root)
    captured = _CAPTURED.match(body[:_HEAD_BYTES])
    at = {_path(captured[1].decode("ascii", "replace"))} if captured else set()
    at.add(_path(root.get("href", "")))
    if kind in _ALONE:
        said = _ALONE[kind](body, where=where)
        stored.items[kind].append(Known(where, kind, frozenset(at - {""}), said))
        return
    item = kind.removesuffix("List")
    if item not in _LISTS:
        # Of no interest here, but it must be a document of the standard.
        model = parse(body, where=where)
        stored.items[kind].append(Known(where, kind, frozenset(at - {""}), model))
        return
    page = _LISTS[item](body, where=where)
    stored.refused += page.refused
    if kind == item:
        # An item alone stands for its place in the list above it.
        at = {_above(href) for href in at}
    if not at - {""}:
        at = {_above(one.href) for one in page.items}
    addresses = frozenset(at - {""})
    stored.items[item] += [Known(where, kind, addresses, one) for one in page.items]
    if kind != item:
        _count(stored, page, addresses, where)


def _count(stored: Stored, page: Page[Any], addresses: frozenset[str], where: str) -> None:
    seen = {one.href or repr(one) for one in page.items} | {str(one) for one in page.refused}
    for address in addresses or {where}:
        before, others, first = stored.lists.get(address, (0, set[str](), where))
        stored.lists[address] = (max(before, page.all), others | seen, first)


def _order(known: Known) -> tuple[int, datetime]:
    return known.item.version, known.item.status_at


def _said(known: Known) -> tuple[object, ...]:
    """What decides, without where it was said and where answers go."""
    one: Control = known.item
    return (
        one.created_at, one.started_at, one.duration_s, one.status, one.randomize_start_s,
        one.randomize_duration_s, one.modes, one.setpoints, one.disabled,
    )  # fmt: skip


def _path(href: str) -> str:
    """An address without host, query and a slash at its end."""
    try:
        return urlsplit(href).path.rstrip("/")
    except ValueError:
        return ""


def _above(href: str) -> str:
    return _path(href).rpartition("/")[0]
