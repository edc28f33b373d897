"""Events as IEEE 2030.5 documents: ``DERControlList``, read by ``grid.sep2`` like a server's answer.

A case is refused as a whole where one control cannot be read.
"""

from dataclasses import dataclass
from typing import Final

from cases.errors import CaseError
from grid.sep2.controls import Control, controls
from grid.sep2.documents import Limits
from grid.sep2.errors import Sep2Error

__all__ = ["FILE_MAX_BYTES", "Control", "ControlList", "read_controls"]

FILE_MAX_BYTES: Final = 16 * 2**20

_LIMITS: Final = Limits(body_bytes=FILE_MAX_BYTES, elements=800_000)
"""A file may hold what a server says on several pages."""


@dataclass(frozen=True, slots=True)
class ControlList:
    """One ``DERControlList``: its address without query, how many controls it has on the server, and
    those that this document carries.
    """

    href: str
    all: int
    controls: tuple[Control, ...]


def read_controls(data: bytes, file: str) -> ControlList:
    """Read a document.

    Raises:
        CaseError: no XML, a document type declaration, another root, or a control that lacks an
            element or holds what does not fit.
    """
    try:
        page = controls(data, where=file, limits=_LIMITS)
    except Sep2Error as error:
        raise _case_error(error, file) from error
    if page.errors:
        raise _case_error(page.errors[0], file) from page.errors[0]
    return ControlList(page.href.partition("?")[0], page.all, page.items)


def _case_error(error: Sep2Error, file: str) -> CaseError:
    return CaseError(file, error.found, error.expected, row=error.line, column=error.field)
