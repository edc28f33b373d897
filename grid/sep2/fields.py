"""The fields of one item of a document, read strictly: what XML Schema calls an integer, a hexBinary, a
boolean, and nothing that only Python would take for one.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final, Generic, TypeVar

from grid.records import Refusal
from grid.sep2.documents import ANSWER, NAMESPACE, Element, Limits, tree
from grid.sep2.errors import Sep2Error, quoted
from settlement import units

__all__ = ["INTEGER", "Fields", "Page", "one", "page"]

T = TypeVar("T")

UINT8_MAX: Final = 2**8 - 1
UINT16_MAX: Final = 2**16 - 1
UINT32_MAX: Final = 2**32 - 1
UINT48_MAX: Final = 2**48 - 1
INT32_MAX: Final = 2**31 - 1
POWER_OF_TEN_MAX: Final = 9
"""Every integer from -9 to 9 has to be understood (PowerOfTenMultiplierType)."""

POLL_RATE_DEFAULT_S: Final = 900

ERRORS_MAX: Final = 1_000
"""Items of one page that cannot be read; with more the page is none."""

_EARLIEST_S: Final = int(units.EARLIEST.timestamp())
_LATEST_S: Final = int(units.LATEST.timestamp())
INTEGER: Final = re.compile(r"[+-]?[0-9]{1,18}")
_HEX: Final = re.compile(r"(?:[0-9A-Fa-f]{2})+")
_SPACE: Final = " \t\r\n"
_BOOLEANS: Final = {"true": True, "1": True, "false": False, "0": False}


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """One page of a list.

    Attributes:
        href: the list's address; where the list does not say it, empty.
        all: how many items the list has on the server.
        results: how many items this page says that it has.
        items: those that could be read.
        errors: about those that could not.
        poll_rate_s: after how many seconds to ask again; 900 where the list does not say.
    """

    href: str
    all: int
    results: int
    items: tuple[T, ...]
    errors: tuple[Sep2Error, ...] = ()
    poll_rate_s: int = POLL_RATE_DEFAULT_S

    @property
    def refused(self) -> tuple[Refusal, ...]:
        """What could not be read, as records."""
        return tuple(error.refusal() for error in self.errors)


@dataclass(frozen=True, slots=True)
class Fields:
    """The elements below one element, by path: ``interval/start``.

    Attributes:
        element: the item.
        where: its document, for messages.
        below: the path from the item down to ``element``, for messages.
    """

    element: Element
    where: str
    below: str = field(default="")

    def error(self, path: str, found: str, expected: str) -> Sep2Error:
        """What to raise about the field at a path."""
        full = "/".join(filter(None, (self.below, path)))
        return Sep2Error(self.where, found, expected, line=self.element.line, field=full)

    def child(self, path: str) -> "Fields | None":
        """The element at a path of the standard's namespace, or None.

        Raises:
            Sep2Error: an element on the way is there twice.
        """
        here = self.element
        taken = []
        for step in path.split("/"):
            found = here.findall(f"{{{NAMESPACE}}}{step}")
            taken.append(step)
            if len(found) > 1:
                raise self.error("/".join(taken), f"{step} twice", "each element once")
            if not found:
                return None
            here = found[0]  # type: ignore[assignment] # made by `tree`
        return Fields(here, self.where, "/".join(filter(None, (self.below, path))))

    def text(self, path: str = "", *, default: str | None = None, longest: int = 256) -> str:
        """The text of an element; without a path that of this one.

        Raises:
            Sep2Error: it lacks and there is no default, or holds elements, or is too long.
        """
        found = self.child(path) if path else self
        if found is None or not (found.content() or default is None):
            if default is None:
                raise self.error(path, "nothing", "a value")
            return default
        said = found.content()
        if not said:
            raise self.error(path, "nothing", "a value")
        if len(said) > longest:
            raise self.error(path, quoted(said), f"at most {longest} characters")
        return said

    def content(self) -> str:
        """The text of this element, which has no elements below it."""
        if len(self.element):
            raise self.error("", "elements", "text alone")
        return (self.element.text or "").strip(_SPACE)

    def whole(self, path: str = "", *, low: int, high: int, default: int | None = None) -> int:
        """A whole number from ``low`` to ``high``."""
        said = self.text(path, default="" if default is not None else None)
        if not said and default is not None:
            return default
        return self._whole(path, said, low, high)

    def attribute_whole(self, name: str, *, low: int, high: int, default: int) -> int:
        """A whole number of an attribute."""
        said = self.element.get(name)
        return default if said is None else self._whole(name, said.strip(_SPACE), low, high)

    def _whole(self, path: str, said: str, low: int, high: int) -> int:
        expected = f"a whole number from {low} to {high}"
        if not INTEGER.fullmatch(said):
            raise self.error(path, quoted(said), expected)
        number = int(said)
        if not low <= number <= high:
            raise self.error(path, said, expected)
        return number

    def truth(self, path: str, *, default: bool | None = None) -> bool:
        """A boolean."""
        said = self.text(path, default="" if default is not None else None)
        if not said and default is not None:
            return default
        if said not in _BOOLEANS:
            raise self.error(path, quoted(said), "true or false")
        return _BOOLEANS[said]

    def moment(self, path: str, *, low: int = _EARLIEST_S) -> datetime:
        """A TimeType: seconds since 1970 in UTC, from ``low`` on; what decides about money is no older
        than this system's time.
        """
        said = self.text(path)
        if not INTEGER.fullmatch(said):
            raise self.error(path, quoted(said), "a whole number")
        if not low <= int(said) <= _LATEST_S:
            raise self.error(path, said, f"seconds since 1970 (UTC) from {low} to {_LATEST_S}")
        return datetime.fromtimestamp(int(said), UTC)

    def hexadecimal(self, path: str, *, bytes_max: int, default: str | None = None) -> str:
        """A hexBinary as lower-case text, leading zeros kept."""
        said = self.text(path, default=default)
        if said == default:
            return said
        if not _HEX.fullmatch(said) or len(said) > 2 * bytes_max:
            raise self.error(path, quoted(said), f"up to {bytes_max} bytes in hexadecimal")
        return said.lower()

    def href(self, name: str, *, default: str | None = "") -> str:
        """The address of a link element, or of this element without a name."""
        found = self.child(name) if name else self
        said = "" if found is None else found.element.get("href", "").strip(_SPACE)
        if not said and default is None:
            raise self.error(name, "no link", "an element with an href")
        return said or default or ""

    def count(self, name: str) -> int | None:
        """How many items a link to a list announces; None where it does not say."""
        found = self.child(name)
        if found is None or found.element.get("all") is None:
            return None
        return found.attribute_whole("all", low=0, high=UINT32_MAX, default=0)


def page(
    body: bytes,
    *,
    where: str,
    roots: Sequence[str],
    item: str,
    read: Callable[[Fields], T],
    limits: Limits = ANSWER,
) -> Page[T]:
    """A page of a list; an item that cannot be read is refused and does not stop the others.

    Args:
        body: the document: the list, or one item of it alone.
        where: the address or file, for messages.
        roots: the lists' names.
        item: the items' name.
        read: makes an item of its fields.
        limits: how large the document may be.

    Raises:
        Sep2Error: the document as a whole cannot be read, or has another root.
    """
    root = tree(body, where=where, limits=limits)
    names = {f"{{{NAMESPACE}}}{name}" for name in roots}
    tag = f"{{{NAMESPACE}}}{item}"
    if root.tag not in {*names, tag}:
        raise Sep2Error(
            where,
            f"the root {quoted(root.tag.rpartition('}')[2])}",
            f"a {' or '.join((*roots, item))} in {NAMESPACE}",
            line=root.line,
        )
    elements = [root] if root.tag == tag else root.findall(tag)
    made: list[T] = []
    errors: list[Sep2Error] = []
    for element in elements:
        try:
            made.append(read(Fields(element, where)))  # type: ignore[arg-type] # made by `tree`
        except Sep2Error as error:
            if len(errors) >= ERRORS_MAX:
                found = f"{ERRORS_MAX} items that cannot be read, and more"
                raise Sep2Error(where, found, f"a {item} as the standard has it") from error
            errors.append(error.with_traceback(None))
    fields = Fields(root, where)
    alone = root.tag == tag
    return Page(
        href="" if alone else fields.href(""),
        all=1 if alone else fields.attribute_whole("all", low=0, high=UINT32_MAX, default=0),
        results=len(elements)
        if alone
        else fields.attribute_whole("results", low=0, high=UINT32_MAX, default=len(elements)),
        items=tuple(made),
        errors=tuple(errors),
        poll_rate_s=fields.attribute_whole(
            "pollRate", low=0, high=UINT32_MAX, default=POLL_RATE_DEFAULT_S
        ),
    )


def one(body: bytes, *, where: str, root: str, read: Callable[[Fields], T]) -> T:
    """A document that is one item.

    Raises:
        Sep2Error: the document cannot be read, or has another root.
    """
    element = tree(body, where=where)
    if element.tag != f"{{{NAMESPACE}}}{root}":
        raise Sep2Error(
            where,
            f"the root {quoted(element.tag.rpartition('}')[2])}",
            f"a {root} in {NAMESPACE}",
            line=element.line,
        )
    return read(Fields(element, where))
