"""Kinds of single values: text, choices, whole numbers, decimals, switches."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Generic, TypeVar

from settlement import units
from settlement.decimals import decimal_text
from settlement.programs.errors import Place, ProgramError
from settlement.programs.key import Kind, is_off

T = TypeVar("T")
E = TypeVar("E", bound=StrEnum)

_CURRENCY_CHARS: Final = 3


def decimal_shown(number: int, places: int) -> str:
    """A count of 10^-places as decimal text.

    >>> decimal_shown(1_150, 3), decimal_shown(-50_000, 3), decimal_shown(7, 0)
    ('1.15', '-50', '7')
    """
    whole, fraction = divmod(abs(number), 10**places)
    text = f"{whole}.{fraction:0{places}d}".rstrip("0").rstrip(".") if fraction else str(whole)
    return f"-{text}" if number < 0 else text


@dataclass(frozen=True, slots=True)
class Text:
    """A name."""

    longest: int = units.ID_MAX_CHARS

    @property
    def permitted(self) -> str:
        return f"text of 1 to {self.longest} printable characters, no blank at either end"

    def read(self, found: object, place: Place) -> str:
        if (
            not isinstance(found, str)
            or not 0 < len(found) <= self.longest
            or not found.isprintable()
            or found != found.strip()
        ):
            raise place.error(found, self.permitted)
        return found


@dataclass(frozen=True, slots=True)
class Currency:
    """A code of ISO 4217, by its form."""

    permitted: str = "the three capitals of a currency in ISO 4217, such as USD"

    def read(self, found: object, place: Place) -> str:
        if (
            not isinstance(found, str)
            or len(found) != _CURRENCY_CHARS
            or not all("A" <= letter <= "Z" for letter in found)
        ):
            raise place.error(found, self.permitted)
        return found


@dataclass(frozen=True, slots=True)
class Choice(Generic[E]):
    """One of a closed list."""

    of: type[E]

    @property
    def permitted(self) -> str:
        names = [str(one) for one in self.of]
        return f"{', '.join(names[:-1])} or {names[-1]}"

    def read(self, found: object, place: Place) -> E:
        if not isinstance(found, str) or found not in set(self.of):
            raise place.error(found, self.permitted)
        return self.of(found)


@dataclass(frozen=True, slots=True)
class Flag:
    """True or false."""

    permitted: str = "true or false"

    def read(self, found: object, place: Place) -> bool:
        if not isinstance(found, bool):
            raise place.error(found, self.permitted)
        return found


@dataclass(frozen=True, slots=True)
class Whole:
    """A whole number; the result is that number times ``scale``."""

    low: int
    high: int
    scale: int = 1

    @property
    def permitted(self) -> str:
        return f"a whole number from {self.low} to {self.high}"

    def read(self, found: object, place: Place) -> int:
        if type(found) is str:
            raise place.error(found, f"{self.permitted}, without quotation marks")
        if type(found) is not int or not self.low <= found <= self.high:
            raise place.error(found, self.permitted)
        return found * self.scale


@dataclass(frozen=True, slots=True)
class Decimal:
    """Decimal text; the result counts 10^-places, times ``scale``. ``low`` and ``high`` count
    10^-places too.
    """

    places: int
    low: int
    high: int
    scale: int = 1

    @property
    def permitted(self) -> str:
        low, high = (decimal_shown(edge, self.places) for edge in (self.low, self.high))
        return (
            f'decimal text from "{low}" to "{high}"'
            f"{f', at most {self.places} places' if self.places else ', no places'}"
        )

    def read(self, found: object, place: Place) -> int:
        if isinstance(found, int | float) and not isinstance(found, bool):
            # 1.15 without quotation marks has already been through a binary fraction.
            raise place.error(found, f"{self.permitted}, in quotation marks")
        if not isinstance(found, str):
            raise place.error(found, self.permitted)
        try:
            number = decimal_text(found, self.places)
        except ValueError as error:
            raise place.error(found, self.permitted) from error
        if not self.low <= number <= self.high:
            raise place.error(found, self.permitted)
        return number * self.scale


@dataclass(frozen=True, slots=True)
class OrOff(Generic[T]):
    """Another kind, or off, which is None."""

    kind: Kind[T]

    @property
    def permitted(self) -> str:
        return f"{self.kind.permitted}, or off"

    def read(self, found: object, place: Place) -> T | None:
        if is_off(found):
            return None
        try:
            return self.kind.read(found, place)
        except ProgramError as error:
            raise place.error(found, f"{error.expected}, or off") from error


@dataclass(frozen=True, slots=True)
class OrWord(Generic[T]):
    """Another kind, or a word that stands for None."""

    word: str
    kind: Kind[T]

    @property
    def permitted(self) -> str:
        return f"{self.word}, or {self.kind.permitted}"

    def read(self, found: object, place: Place) -> T | None:
        if found == self.word:
            return None
        try:
            return self.kind.read(found, place)
        except ProgramError as error:
            raise place.error(found, f"{self.word}, or {error.expected}") from error
