"""What cannot be booked."""


class BookingError(ValueError):
    """Root of this package's errors. Nothing has been booked."""


class ShareError(BookingError):
    """Shares that do not divide a whole: ``found`` and what was ``expected``."""

    def __init__(self, found: str, expected: str) -> None:
        super().__init__(f"shares: {found}; expected {expected}")
        self.found = found
        self.expected = expected


class MissingTermsError(BookingError):
    """Money without the terms that say what happens to it: ``what`` is missing of ``name``."""

    def __init__(self, what: str, name: str, of: tuple[str, str, str]) -> None:
        super().__init__(f"settlement {' / '.join(of)}: no {what} of {name!r} was given")
        self.what = what
        self.name = name
        self.of = of


class TwoSettlementsError(BookingError):
    """Two settlements of one program, event and vehicle: the books hold one."""

    def __init__(self, of: tuple[str, str, str]) -> None:
        super().__init__(f"settlement {' / '.join(of)} was computed twice; expected one per run")
        self.of = of


class CurrencyChangedError(BookingError):
    """A settlement in another currency than it was booked in: no difference can be formed."""

    def __init__(self, of: tuple[str, str, str], booked: str, computed: str) -> None:
        super().__init__(
            f"settlement {' / '.join(of)} was booked in {booked} and is now computed in {computed};"
            f" expected one currency for all versions of a program that has been booked"
        )
        self.of = of
        self.booked = booked
        self.computed = computed
