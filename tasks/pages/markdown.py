"""Markdown as the UI of Prefect shows it (GitHub's), made safe for names that came from outside."""

from base64 import b64encode
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Final
from urllib.parse import quote

ROWS_MAX: Final = 25
"""Of one table on a page; a last line says how many more there are."""
CELL_MAX: Final = 500
SENTENCE_MAX: Final = 3_000

_SPECIAL: Final = frozenset("\\`*_[]<>|#&~")


def plain(text: object, *, most: int = CELL_MAX) -> str:
    r"""A text as it stands, whatever it holds: one line, no markup, not too long.

    >>> plain("event|1 <b>*now*</b>")
    'event\\|1 \\<b\\>\\*now\\*\\</b\\>'
    """
    line = " ".join(str(text).split())
    cut = line if len(line) <= most else f"{line[: most - 1]}…"
    return "".join(f"\\{one}" if one in _SPECIAL else one for one in cut if one.isprintable())


def sentence(text: str) -> str:
    """What a summary says of itself, as a paragraph of its own.

    >>> sentence("1 cleared")
    '1 cleared.'
    """
    return f"{plain(text, most=SENTENCE_MAX)}."


def table(
    head: Sequence[str], rows: Iterable[Sequence[object]], *, most: int = ROWS_MAX, count: int = 0
) -> str:
    """A table of at most ``most`` rows, and how many more there are; "none" where there is no row.

    Args:
        head: its columns.
        rows: cells that came from outside are made safe; what ``link`` gave stays a link.
        most: rows shown.
        count: how many rows there are in all, where ``rows`` is cut already.
    """
    every = list(rows)
    if not every:
        return "none"
    lines = [_row(head), _row(["---"] * len(head))]
    lines += [_row([_cell(cell) for cell in row]) for row in islice(every, most)]
    more = max(count, len(every)) - min(most, len(every))
    return "\n".join(lines) + (f"\n\n…and {more} more." if more else "")


def bullets(lines: Iterable[object], *, most: int = ROWS_MAX) -> str:
    """A list of at most ``most`` lines, and how many more there are; "nothing" where there is none."""
    every = list(lines)
    shown = [f"* {_cell(one)}" for one in every[:most]]
    if len(every) > most:
        shown.append(f"* …and {len(every) - most} more")
    return "\n".join(shown) or "nothing"


@dataclass(frozen=True)
class Link:
    """A link of our own: its text is made safe, its address is ours."""

    text: object
    url: str

    def __str__(self) -> str:
        return f"[{plain(self.text)}]({self.url})" if self.url else plain(self.text)


def link(text: object, root: str, *path: str) -> Link:
    """A link below ``root``; only its text where there is no root.

    >>> str(link("report", "https://v2g.example", "operator", "quality", "a/b"))
    '[report](https://v2g.example/operator/quality/a%2Fb)'
    >>> str(link("report", "", "operator"))
    'report'
    """
    parts = "/".join(quote(one, safe="") for one in path)
    return Link(text, f"{root.rstrip('/')}/{parts}" if root else "")


def image(svg: str, told: str) -> str:
    """A picture inside the page itself, with what it shows in words."""
    data = b64encode(svg.encode()).decode("ascii")
    return f"![{plain(told)}](data:image/svg+xml;base64,{data})"


def page(title: str, *parts: str) -> str:
    """A heading and what stands under it."""
    return "\n\n".join([f"# {plain(title)}", *(part for part in parts if part)])


def part(title: str, body: str) -> str:
    """A section of a page."""
    return f"## {title}\n\n{body}"


def _cell(cell: object) -> str:
    return str(cell) if isinstance(cell, Link) else plain(cell)


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
