"""Lists, page by page (IEEE 2030.5 clause 6.10): to the end, and not a page further than makes sense.

``s`` says from which item on, ``l`` how many at most, ``all`` how many the list has, ``results`` how many
are on this page. A server may do with them what it likes: what it says is compared, what it shows is
bounded, and what does not fit together is named. Items that were shown before count all the same.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Final, Generic, TypeVar

import httpx

from grid.errors import ClockOffError, GridFeedError
from grid.records import Document, Refusal
from grid.sep2.errors import Sep2Error
from grid.sep2.fields import Page

__all__ = ["ITEMS_MAX", "PAGES_MAX", "PAGE_ITEMS", "Fetch", "Listed", "as_refusal", "listed"]

PAGE_ITEMS: Final = 100
"""Asked for at a time; a server may give fewer."""
PAGES_MAX: Final = 500
ITEMS_MAX: Final = 20_000
READ_AGAIN_MAX: Final = 2
"""How often a list that changes while it is read is read again from its beginning."""

T = TypeVar("T")

Fetch = Callable[[str], Document]
"""The document at an address. Raises GridFeedError."""


@dataclass(frozen=True, slots=True)
class Listed(Generic[T]):
    """A list as far as it could be read.

    Attributes:
        pages: each document, and what could be read of it.
        refused: items that could not be read, and what about the paging did not fit.
        whole: whether all that the server says there is was seen.
    """

    pages: list[tuple[Document, Page[T]]] = field(default_factory=list)
    refused: list[Refusal] = field(default_factory=list)
    whole: bool = True

    def each(self) -> Iterator[tuple[T, Document]]:
        """What could be read, in the server's order, each with its document."""
        return ((item, document) for document, page in self.pages for item in page.items)

    @property
    def poll_rate_s(self) -> int | None:
        """The shortest that a page says; None where there is no page."""
        return min((page.poll_rate_s for _, page in self.pages), default=None)


class _ChangedError(Exception):
    """The list changed while it was read."""


def listed(
    fetch: Fetch,
    href: str,
    decode: Callable[..., Page[T]],
    key: Callable[[T], str],
) -> Listed[T]:
    """A whole list, or what can be had of it.

    Args:
        fetch: the document at an address.
        href: of the list.
        decode: a page of bytes, with ``where`` by name.
        key: what makes an item another one than the others.
    """
    for left in reversed(range(READ_AGAIN_MAX + 1)):
        found: Listed[T] = Listed()
        try:
            wrong = _read(fetch, href, decode, key, found, may_change=left == 0)
        except _ChangedError:
            continue
        except (GridFeedError, Sep2Error) as error:
            wrong = as_refusal(error)
        refused = [refusal for _, page in found.pages for refusal in page.refused]
        return Listed(found.pages, refused + ([wrong] if wrong else []), whole=not wrong)
    raise AssertionError("the last attempt lets the list change")  # pragma: no cover


def _read(
    fetch: Fetch,
    href: str,
    decode: Callable[..., Page[T]],
    key: Callable[[T], str],
    found: Listed[T],
    *,
    may_change: bool,
) -> Refusal | None:
    """Add the pages to ``found``; say what about them does not fit."""
    seen: set[str] = set()
    start = 0
    announced: int | None = None
    wrong: Refusal | None = None
    for _ in range(PAGES_MAX):
        document = fetch(_at(href, start))
        page = decode(document.body, where=document.href)
        shown = len(page.items) + len(page.refused)
        if announced is not None and page.all != announced:
            if not may_change:
                raise _ChangedError
            wrong = Refusal(document.href, f"all={page.all}, before {announced}", "one list")
        announced = page.all
        keys = [key(item) for item in page.items]
        again = seen.intersection(keys)
        if again:
            return Refusal(
                document.href, f"{min(again)} once more", "items that were not shown before"
            )
        seen.update(keys)
        found.pages.append((document, page))
        start += shown
        if page.results != shown and wrong is None:
            wrong = Refusal(
                document.href, f"results={page.results}, {shown} items", "as many items"
            )
        if start > announced:
            return wrong or Refusal(
                document.href, f"all={announced}, {start} items", "no more items"
            )
        if start == announced:
            return wrong
        if not shown:
            return Refusal(
                document.href, f"all={announced}, {start} items, then none", "all of them"
            )
        if start > ITEMS_MAX:
            return Refusal(document.href, f"all={announced}", f"at most {ITEMS_MAX} items")
    return Refusal(
        href, f"all={announced}, {start} items on {PAGES_MAX} pages", "fewer, larger pages"
    )


def _at(href: str, start: int) -> str:
    """The address of a page; what else stands in the query is the server's, and stays."""
    try:
        return str(httpx.URL(href).copy_merge_params({"s": start, "l": PAGE_ITEMS}))
    except (httpx.InvalidURL, ValueError) as error:
        raise Sep2Error(href[:200], f"no link ({error})", "a path, or a URL") from error


def as_refusal(error: GridFeedError | Sep2Error) -> Refusal:
    """One failure among others, as data."""
    if isinstance(error, Sep2Error):
        return error.refusal()
    if isinstance(error, ClockOffError):
        found = str(error).removeprefix(f"{error.where}: ")
        return Refusal(error.where, found, "a clock like ours; what runs on it is left out")
    where = getattr(error, "where", "the server")
    found = getattr(error, "found", str(error))
    expected = getattr(error, "expected", None)
    repair = getattr(error, "repair", "it is asked again")
    return Refusal(where, found, expected or f"an answer; {repair}")
