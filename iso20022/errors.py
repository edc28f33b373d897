"""What can be wrong with a bank's document, or with what one is to say."""


class Iso20022Error(ValueError):
    """A document, or a part of it, that cannot be read or written.

    Attributes:
        where: the file, or the part of it.
        found: what stands there.
        expected: what should.
        line: in the file, counted from 1; None where it is about the whole.
    """

    def __init__(self, where: str, found: str, expected: str, *, line: int | None = None) -> None:
        place = where if line is None else f"{where} line {line}"
        super().__init__(f"{place}: {found}; expected {expected}")
        self.where = where
        self.found = found
        self.expected = expected
        self.line = line
