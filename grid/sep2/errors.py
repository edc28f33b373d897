"""What is wrong with an IEEE 2030.5 document: one error, which fits on one line."""

from typing import Final

from grid.records import Refusal

__all__ = ["Sep2Error", "quoted"]

_SHOWN_CHARS: Final = 60


class Sep2Error(ValueError):
    """A document, or an item of one, that cannot be used.

    Attributes:
        where: the document: a file's name, or the address it came from.
        found: what stands there.
        expected: what was expected instead.
        line: of the document, counting from 1; None: the document as a whole.
        field: the element or attribute, as a path below the item: ``interval/start``.

    >>> print(Sep2Error("/edev", "'soon'", "a whole number", line=3, field="interval/start"))
    /edev, line 3, interval/start: 'soon'; expected a whole number
    """

    def __init__(
        self, where: str, found: str, expected: str, *, line: int | None = None, field: str = ""
    ) -> None:
        self.where = where
        self.found = found
        self.expected = expected
        self.line = line
        self.field = field
        super().__init__(str(self.refusal()))

    def refusal(self) -> Refusal:
        """The same as a record, for what goes on without this item."""
        where = [self.where if self.where.isprintable() else ascii(self.where)]
        if self.line is not None:
            where.append(f"line {self.line}")
        if self.field:
            where.append(self.field)
        return Refusal(", ".join(where), self.found, self.expected)


def quoted(text: str) -> str:
    r"""Text of a document for a message: quoted, escaped, not too long, and so always on one line.

    >>> quoted("a" * 100)[-10:], quoted("two\nlines")
    ("aaaaaaaa…'", "'two\\nlines'")
    """
    return repr(text if len(text) <= _SHOWN_CHARS else text[:_SHOWN_CHARS] + "…")
