"""Documents against the standard's schemas: findings for a person, never a reason to refuse.

Servers in the field break their schema in places that decide nothing, and extensions are not in it.
"""

import re
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Final

from grid.sep2.documents import NAMESPACE, tree

__all__ = ["EDITIONS", "FINDINGS_MAX", "Finding", "findings"]

EDITIONS: Final = (2018, 2023)
FINDINGS_MAX: Final = 100
"""Of one document and edition; a wrong list says the same of each of its items."""

_LINE: Final = re.compile(r"[^:]*:(\d+):\d+:\w+:\w+:\w+: (.*)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Finding:
    """One place that the schema does not allow.

    Attributes:
        edition: of the standard.
        where: the address or file.
        line: of the document; 0: not said.
        text: what the schema's processor says.
    """

    edition: int
    where: str
    line: int
    text: str


def findings(body: bytes, *, where: str, edition: int) -> list[Finding]:
    """What the schema of an edition does not allow in a document; at most ``FINDINGS_MAX``.

    Raises:
        Sep2Error: the document cannot be read at all.
        ValueError: an edition that is none.
    """
    from py20305.xml import validate_xml  # noqa: PLC0415 - loads all models

    if edition not in EDITIONS:
        raise ValueError(f"edition {edition}; expected one of {', '.join(map(str, EDITIONS))}")
    tree(body, where=where)
    said = validate_xml(body, Path(str(files("py20305") / f"schemas/sep2_schema_{edition}.xsd")))
    return [_finding(edition, where, text) for text in said[:FINDINGS_MAX]]


def _finding(edition: int, where: str, text: str) -> Finding:
    parts = _LINE.fullmatch(text)
    line, said = (int(parts[1]), parts[2]) if parts else (0, text)
    return Finding(edition, where, line, " ".join(said.replace(f"{{{NAMESPACE}}}", "").split()))
