"""A document of IEEE 2030.5, from bytes: read once, within limits, and with none of what XML can do
besides elements.

``tree`` is the only place where bytes from outside meet a parser. It refuses a document type
declaration, and with it every entity and every external reference, before anything is expanded, and
whatever is larger, deeper or more numerous than a document of this standard is. All else is made from
its elements: ``parse`` gives the models of the library that the client speaks with, ``canonical`` the
bytes of one item.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final
from xml.etree import ElementTree as ET

from defusedxml.common import DefusedXmlException  # type: ignore[import-untyped]
from defusedxml.ElementTree import DefusedXMLParser  # type: ignore[import-untyped]

from grid.sep2.errors import Sep2Error, quoted

__all__ = [
    "ANSWER",
    "BODY_MAX_BYTES",
    "MEDIA_TYPE",
    "NAMESPACE",
    "Element",
    "Limits",
    "canonical",
    "collect",
    "name",
    "parse",
    "tree",
]

NAMESPACE: Final = "urn:ieee:std:2030.5:ns"
MEDIA_TYPE: Final = "application/sep+xml"

BODY_MAX_BYTES: Final = 4 * 2**20
"""Of a server's answer. A page of 255 controls has some 200 kB."""

DEPTH_MAX: Final = 64
ELEMENTS_MAX: Final = 200_000
ATTRIBUTES_MAX: Final = 64
"""Of one element."""

NAME_MAX_CHARS: Final = 256
VALUE_MAX_CHARS: Final = 16_384
"""Of an attribute, and of an element's text. The longest in the standard is an address."""

_PIECE_BYTES: Final = 2**16
_ENCODINGS: Final = frozenset({"utf-8", "utf8", "us-ascii", "ascii"})
_EXPECTED: Final = "a document of IEEE 2030.5"


@dataclass(frozen=True, slots=True)
class Limits:
    """How large a document may be."""

    body_bytes: int = BODY_MAX_BYTES
    elements: int = ELEMENTS_MAX


ANSWER: Final = Limits()
"""Of a server's answer."""


class Element(ET.Element):
    """An element, and the line on which it begins."""

    __slots__ = ("line",)
    line: int


def collect(pieces: Iterable[bytes], *, where: str) -> bytes:
    """A body from its pieces as they arrive; never holds more than ``BODY_MAX_BYTES`` and one piece.

    Raises:
        Sep2Error: there is more.
    """
    body = bytearray()
    for piece in pieces:
        body += piece
        if len(body) > BODY_MAX_BYTES:
            raise _too_large(where, BODY_MAX_BYTES)
    return bytes(body)


def tree(body: bytes, *, where: str, limits: Limits = ANSWER) -> Element:
    """The elements of a document; comments and processing instructions are left out.

    Args:
        body: UTF-8, as the standard demands.
        where: the address or file, for messages.
        limits: how large it may be.

    Raises:
        Sep2Error: too large, no UTF-8, a document type declaration, not well-formed, beyond a limit, or
            a root of another namespace.
    """
    if len(body) > limits.body_bytes:
        raise _too_large(where, limits.body_bytes)
    if not body.strip():
        raise Sep2Error(where, "an empty body", _EXPECTED)
    _refuse_other_encodings(body, where)
    target = _Target(where, limits)
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
    if not root.tag.startswith(f"{{{NAMESPACE}}}"):
        found = f"the root {quoted(root.tag)}"
        raise Sep2Error(where, found, f"a document in {NAMESPACE}", line=root.line)
    return root


def name(element: ET.Element) -> str:
    """An element's name: alone in the standard's namespace, ``{namespace}name`` in others."""
    return element.tag.removeprefix(f"{{{NAMESPACE}}}")


def canonical(element: ET.Element) -> bytes:
    """An element by itself in Canonical XML 2.0: prefixes numbered, space around text left out.

    Two elements that say the same have the same bytes, however a server wrote them; elements and
    attributes that nobody knows are part of it.
    """
    text = ET.tostring(_alone(element), encoding="unicode")
    return ET.canonicalize(text, strip_text=True).encode()


def _alone(element: ET.Element) -> ET.Element:
    """A copy with attributes in order, so that prefixes are numbered alike, and nothing behind it."""
    made = ET.Element(element.tag, dict(sorted(element.attrib.items())))
    made.text = element.text
    for child in element:
        copied = _alone(child)
        copied.tail = child.tail
        made.append(copied)
    return made


def parse(body: bytes, *, where: str) -> object:
    """The model of a document by its root's name, of ``py20305.models.sep`` (2018 and 2023 editions).

    An element that the model does not know is left out, so that a newer edition's is no reason to
    refuse the document; see ``grid.sep2.modelling`` for what is.

    Raises:
        Sep2Error: as ``tree``; a root that has no model; an element that lacks, is there twice, or holds
            what does not fit.
    """
    # Its models take a second to load, which only those pay who speak to a server.
    from grid.sep2.modelling import model  # noqa: PLC0415

    return model(tree(body, where=where), where=where)


def _too_large(where: str, most: int) -> Sep2Error:
    return Sep2Error(where, f"more than {most} bytes", "at most that; ask for fewer items per page")


def _refuse_other_encodings(body: bytes, where: str) -> None:
    """UTF-8 alone (clause 5.5): what is read must not depend on who reads it."""
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError as error:
        raise Sep2Error(
            where,
            f"byte {error.start} is no UTF-8",
            "UTF-8",
            line=body.count(b"\n", 0, error.start) + 1,
        ) from error
    if "\0" in text:
        at = text.index("\0")
        raise Sep2Error(where, "a NUL", "UTF-8 text", line=text.count("\n", 0, at) + 1)


class _Target:
    """Builds the elements, and stops at the first thing that goes beyond a limit."""

    def __init__(self, where: str, limits: Limits) -> None:
        self.where = where
        self.limits = limits
        self.line: Callable[[], int] = lambda: 1
        self.builder = ET.TreeBuilder(element_factory=self.make)
        self.depth = 0
        self.elements = 0
        self.length = 0

    def error(self, found: str, expected: str) -> Sep2Error:
        return Sep2Error(self.where, found, expected, line=self.line())

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
        if self.elements > self.limits.elements:
            raise self.error(f"more than {self.limits.elements} elements", "fewer items per page")
        if len(attributes) > ATTRIBUTES_MAX:
            raise self.error(f"{len(attributes)} attributes", f"at most {ATTRIBUTES_MAX}")
        if len(tag) > NAME_MAX_CHARS or any(len(name) > NAME_MAX_CHARS for name in attributes):
            raise self.error("a name that is too long", f"at most {NAME_MAX_CHARS} characters")
        if any(len(value) > VALUE_MAX_CHARS for value in attributes.values()):
            raise self.error(
                "an attribute that is too long", f"at most {VALUE_MAX_CHARS} characters"
            )
        self.builder.start(tag, attributes)

    def data(self, letters: str) -> None:
        self.length += len(letters)
        if self.length > VALUE_MAX_CHARS and not letters.isspace():
            raise self.error("a text that is too long", f"at most {VALUE_MAX_CHARS} characters")
        self.builder.data(letters)

    def end(self, tag: str) -> None:
        self.depth -= 1
        self.length = 0
        self.builder.end(tag)

    def close(self) -> ET.Element:
        return self.builder.close()

    def declaration(self, _: str, encoding: str | None, __: int) -> None:
        if encoding is not None and encoding.lower() not in _ENCODINGS:
            raise self.error(f"the encoding {quoted(encoding)}", "UTF-8")
