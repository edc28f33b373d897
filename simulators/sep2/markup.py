"""XML as IEEE 2030.5 servers write it: one default namespace, prefixes for extensions.

    >>> render(node("Time", node("currentTime", 7), href="/tm"))[-46:]
    b'href="/tm"><currentTime>7</currentTime></Time>'

Extension elements go in as the text they are, so that a world can hold what no schema knows.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Self
from xml.sax.saxutils import escape, quoteattr

NAMESPACE: Final = "urn:ieee:std:2030.5:ns"
CSIPAUS: Final = "https://csipaus.org/ns"
MEDIA_TYPE: Final = "application/sep+xml"
Value = str | int | bool


@dataclass(frozen=True, slots=True)
class Markup:
    """XML text that stands already."""

    text: str

    def __add__(self, other: Self) -> "Markup":
        return Markup(self.text + other.text)


NOTHING: Final = Markup("")


def node(name: str, *content: Markup | Value | None, **attributes: Value | None) -> Markup:
    """An element. Content that is None is left out, and so is an attribute that is None.

    Text is escaped; True and False are written as XML Schema writes them.
    """
    head = "".join(
        f" {key}={quoteattr(_text(value))}"
        for key, value in attributes.items()
        if value is not None
    )
    body = "".join(
        one.text if isinstance(one, Markup) else escape(_text(one))
        for one in content
        if one is not None
    )
    return Markup(f"<{name}{head}>{body}</{name}>" if body else f"<{name}{head}/>")


def optional(name: str, value: Value | None) -> Markup | None:
    """An element, or None where there is no value."""
    return None if value is None else node(name, value)


def joined(parts: Iterable[Markup]) -> Markup:
    """Elements one after the other."""
    return Markup("".join(part.text for part in parts))


def render(root: Markup) -> bytes:
    """A whole document: the namespaces are said on the root element."""
    name_ends = min(root.text.index(sign) for sign in " />" if sign in root.text)
    spaces = f' xmlns="{NAMESPACE}"'
    if "<csipaus:" in root.text:
        # Only where it is used: some clients take the name alone for a server of that profile.
        spaces += f' xmlns:csipaus="{CSIPAUS}"'
    text = root.text[:name_ends] + spaces + root.text[name_ends:]
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{text}'.encode()


def _text(value: Value) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)
