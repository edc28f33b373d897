"""What is wrong with a case: one error, which fits on one line."""

from typing import Final

_SHOWN_CHARS: Final = 60


class CaseError(ValueError):
    """A case that cannot be used.

    Attributes:
        file: the file, relative to the case's folder.
        found: what stands there.
        expected: what was expected instead.
        row: of a table, counting its header as 1; in a file without fields that span lines, the line.
        column: of a table, or the key of a program.

    >>> print(
    ...     CaseError(
    ...         "prices.csv", "'0,42'", "a number such as 0.42", row=3, column="price_per_kwh"
    ...     )
    ... )
    prices.csv, row 3, column price_per_kwh: '0,42'; expected a number such as 0.42
    """

    def __init__(
        self, file: str, found: str, expected: str, *, row: int | None = None, column: str = ""
    ) -> None:
        where = [shown(file)]
        if row is not None:
            where.append(f"row {row}")
        if column:
            where.append(f"column {column}")
        super().__init__(f"{', '.join(where)}: {found}; expected {expected}")
        self.file = file
        self.found = found
        self.expected = expected
        self.row = row
        self.column = column


def quoted(text: str) -> str:
    r"""Text of a file for a message: quoted, escaped, not too long, and so always on one line.

    >>> quoted("a" * 100)[-10:], quoted("two\nlines")
    ("aaaaaaaa…'", "'two\\nlines'")
    """
    cut = text if len(text) <= _SHOWN_CHARS else text[:_SHOWN_CHARS] + "…"
    return repr(cut)


def shown(name: str) -> str:
    """A file's name for a message: as it is, or quoted where it would break the line."""
    return name if name.isprintable() else ascii(name)
