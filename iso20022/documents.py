"""A bank's document, from bytes: read once, within limits, and with none of what XML can do besides
elements.

``tree`` is the only place where bytes from a bank meet a parser. A document type declaration is
refused before anything in it is expanded, and with it every entity and every external reference.
"""

from collections.abc import Callable
from typing import Final
from xml.etree import ElementTree as ET

from defusedxml.common import DefusedXmlException  # type: ignore[import-untyped]
from defusedxml.ElementTree import DefusedXMLParser  # type: ignore[import-untyped]

from iso20022.errors import Iso20022Error

__all__ = ["DEPTH_MAX", "ELEMENTS_MAX", "FILE_MAX_BYTES", "Element", "tree"]

FILE_MAX_BYTES: Final = 16 * 2**20
"""Some ten thousand payments; a bank that has more to say sends several files."""

DEPTH_MAX: Final = 32
"""The deepest element of a camt.054 is some fifteen deep."""

ELEMENTS_MAX: Final = 1_000_000
ATTRIBUTES_MAX: Final = 16
TEXT_MAX_CHARS: Final = 16_384
_PIECE_BYTES: Final = 2**16
_ENCODINGS: Final = frozenset({"utf-8", "utf8", "us-ascii", "ascii"})
_EXPECTED: Final = "a document of ISO 20022"


class Element(ET.Element):
    """An element, and the line on which it begins."""

    __slots__ = ("line",)
    line: int


def tree(body: bytes, *, where: str) -> Element:
    """The elements of a document; comments and processing instructions are left out.

    Args:
        body: UTF-8, with or without a byte order mark.
        where: the file, for messages.

    Raises:
        Iso20022Error: too large, no UTF-8, a document type declaration, not well-formed, beyond a limit.
    """
    if len(body) > FILE_MAX_BYTES:
        raise Iso20022Error(where, f"{len(body)} bytes", f"at most {FILE_MAX_BYTES}: several files")
    try:
        body.decode("utf-8")
    except UnicodeDecodeError as error:
        line = body.count(b"\n", 0, error.start) + 1
        raise Iso20022Error(where, f"byte {error.start} is no UTF-8", "UTF-8", line=line) from error
    target = _Target(where)
    parser = DefusedXMLParser(target=target, encoding="utf-8", forbid_dtd=True)
    target.line = lambda: int(parser.parser.CurrentLineNumber)
    parser.parser.XmlDeclHandler = target.declaration
    try:
        for start in range(0, len(body), _PIECE_BYTES):
            parser.feed(body[start : start + _PIECE_BYTES])
        root: Element = parser.close()
    except DefusedXmlException as error:
        raise target.error(
            "a document type declaration", "none: it could declare entities"
        ) from error
    except ET.ParseError as error:
        raise target.error(f"no well-formed XML ({error.msg})", _EXPECTED) from error
    return root


class _Target:
    """Builds the elements, and stops at the first thing that goes beyond a limit."""

    def __init__(self, where: str) -> None:
        self.where = where
        self.line: Callable[[], int] = lambda: 1
        self.builder = ET.TreeBuilder(element_factory=self.make)
        self.depth = 0
        self.elements = 0
        self.length = 0

    def error(self, found: str, expected: str) -> Iso20022Error:
        return Iso20022Error(self.where, found, expected, line=self.line())

    def make(self, tag: str, attributes: dict[str, str]) -> Element:
        made = Element(tag, attributes)
        made.line = self.line()
        return made

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        self.depth += 1
        self.elements += 1
        self.length = 0
        if self.depth > DEPTH_MAX:
            raise self.error(f"elements more than {DEPTH_MAX} deep", _EXPECTED)
        if self.elements > ELEMENTS_MAX:
            raise self.error(f"more than {ELEMENTS_MAX} elements", "several files")
        if len(attributes) > ATTRIBUTES_MAX:
            raise self.error(f"{len(attributes)} attributes", f"at most {ATTRIBUTES_MAX}")
        if max(map(len, (tag, *attributes, *attributes.values()))) > TEXT_MAX_CHARS:
            raise self.error("a name or an attribute that is too long", _EXPECTED)
        self.builder.start(tag, attributes)

    def data(self, letters: str) -> None:
        self.length += len(letters)
        if self.length > TEXT_MAX_CHARS and not letters.isspace():
            raise self.error("a text that is too long", f"at most {TEXT_MAX_CHARS} characters")
        self.builder.data(letters)

    def end(self, tag: str) -> None:
        self.depth -= 1
        self.length = 0
        self.builder.end(tag)

    def close(self) -> ET.Element:
        return self.builder.close()

    def declaration(self, _: str, encoding: str | None, __: int) -> None:
        if encoding is not None and encoding.lower() not in _ENCODINGS:
            raise self.error(f"the encoding {encoding[:40]!r}", "UTF-8")
