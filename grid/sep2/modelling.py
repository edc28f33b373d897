"""The library's models of documents, made from elements that have already been read safely.

The library reads bytes by itself too, but with a parser of its own, and it refuses a whole document for
one element of a newer edition. Here its models are filled from the elements of ``documents.tree``:
an element of the standard's namespace that a model does not have is left out, one that is there twice
and should not be is refused, and so is a number that only Python would take for one (``1_000``).
"""

import warnings
from collections.abc import Iterator
from functools import cache
from typing import Final
from xml.etree import ElementTree as ET

from py20305.models import sep
from py20305.models.csipaus import csipaus_ext  # noqa: F401 - so that its elements have models
from xsdata.exceptions import ConverterWarning
from xsdata.formats.dataclass.models.elements import XmlMeta, XmlVar
from xsdata.formats.dataclass.parsers.config import ParserConfig
from xsdata.formats.dataclass.parsers.handlers import XmlEventHandler
from xsdata_pydantic.bindings import XmlContext, XmlParser

from grid.sep2.documents import NAMESPACE, Element, name
from grid.sep2.errors import Sep2Error, quoted
from grid.sep2.fields import INTEGER

__all__ = ["model"]

_CONTEXT: Final = XmlContext()
_CONFIG: Final = ParserConfig(fail_on_unknown_properties=False)


def model(root: Element, *, where: str) -> object:
    """The model of a document by its root's name; ``root`` is used up.

    Raises:
        Sep2Error: see ``documents.parse``.
    """
    kind = _kinds().get(name(root))
    if kind is None:
        raise Sep2Error(
            where,
            f"the root {quoted(name(root))}",
            "a document that the standard knows",
            line=root.line,
        )
    for element, found, expected in _unfit(root, _CONTEXT.build(kind)):
        raise Sep2Error(where, found, expected, line=element.line, field=name(element))
    parser = XmlParser(config=_CONFIG, context=_CONTEXT, handler=XmlEventHandler)
    try:
        with warnings.catch_warnings():
            # What does not convert stays a text: the model refuses it where it needs a number.
            warnings.simplefilter("ignore", ConverterWarning)
            made: object = parser.parse(root, kind)
    except ValueError as error:
        raise Sep2Error(
            where, _first_line(error), f"a {name(root)} as the standard has it", line=root.line
        ) from error
    return made


@cache
def _kinds() -> dict[str, type]:
    """Models of documents by the names of their roots."""
    kinds = (getattr(sep, each) for each in sep.__all__)
    return {
        getattr(kind.Meta, "name", kind.__name__): kind
        for kind in kinds
        if getattr(getattr(kind, "Meta", None), "namespace", "") == NAMESPACE
    }


def _unfit(element: ET.Element, meta: XmlMeta) -> Iterator[tuple[Element, str, str]]:
    """What the model would silently drop or take for something else, with what was expected."""
    if meta.text is not None:
        yield from _loose(element, meta.text)
    seen: set[str] = set()
    for child in element:
        var = next(iter(meta.find_children(child.tag)), None)
        if var is None or var.is_wildcard:
            continue
        if child.tag in seen and not var.list_element:
            yield child, f"{name(child)} twice", "it once"  # type: ignore[misc] # made by `tree`
        seen.add(child.tag)
        if var.clazz is not None:
            yield from _unfit(child, _CONTEXT.build(var.clazz))
        else:
            yield from _loose(child, var)


def _loose(element: ET.Element, var: XmlVar) -> Iterator[tuple[Element, str, str]]:
    said = (element.text or "").strip()
    if int in var.types and said and not INTEGER.fullmatch(said):
        yield element, quoted(said), "a whole number"  # type: ignore[misc] # made by `tree`


def _first_line(error: ValueError) -> str:
    return " ".join(str(error).split())[:200]
