"""One key of a program, and the values of a section read through its keys."""

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final, Generic, Protocol, TypeVar

from settlement.programs.errors import Found, Place, ProgramError, shown

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


class Required(Enum):
    """In place of a default: the key must be given wherever its section is."""

    REQUIRED = "required"


REQUIRED: Final = Required.REQUIRED

OFF: Final = "off"

_NAME_CHARS: Final = 64


class Kind(Protocol[T_co]):
    """A kind of value: what is permitted, in words, and how it is read."""

    @property
    def permitted(self) -> str:
        """What may stand there; also what a message says was expected."""
        ...

    def read(self, found: object, place: Place) -> T_co:
        """The value, or ``ProgramError``."""
        ...


@dataclass(frozen=True, slots=True)
class Key(Generic[T]):
    """One key: where it stands, what it may be, what it is when left out, and what it means.

    The parser reads through these and ``docs/programs.md`` is written from them, so that the page
    cannot promise what the parser refuses.

    Attributes:
        path: below the program, or below the row that it is part of.
        kind: what is permitted.
        default: as it would be written in the file; it is read like a given value.
        meaning: one or two sentences.
    """

    path: str
    kind: Kind[T]
    default: object
    meaning: str


@dataclass(frozen=True, slots=True)
class Section:
    """A key that only holds others. ``switchable`` ones do nothing unless given."""

    path: str
    meaning: str
    switchable: bool = False


def is_off(found: object) -> bool:
    """Whether a value says that something is switched off: YAML reads an unquoted ``off`` as false."""
    return found is None or found is False or found == OFF


class Fields:
    """The values of a program, or of one row of a list, read through their keys.

    Args:
        body: as a YAML or JSON reader gives it.
        place: where it stands.
        keys: all that may be given.
        sections: those that hold keys.

    Raises:
        ProgramError: something else is given.
    """

    def __init__(
        self,
        body: object,
        place: Place,
        keys: Sequence[Key[Any]],
        sections: Sequence[Section] = (),
    ) -> None:
        self.place = place
        self._keys = [key.path for key in keys]
        self._sections = {section.path: section for section in sections}
        self._found: dict[str, object] = {}
        self._given: dict[str, object] = {}
        self._collect(body, "")

    def read(self, key: Key[T]) -> T:
        """The value of a key, or its default."""
        found = self._found.get(key.path, key.default)
        if found is REQUIRED:
            raise self.place.part(key.path).error(Found.MISSING, key.kind.permitted)
        return key.kind.read(found, self.place.part(key.path))

    def stated(self, key: Key[Any]) -> bool:
        """Whether a key is written, even if with its default."""
        return key.path in self._found

    def given(self, section: Section) -> bool:
        """Whether a section is there and not switched off."""
        return section.path in self._given

    def error(self, key: Key[Any] | Section, expected: str) -> ProgramError:
        """What is wrong with a key that was read, or with a section."""
        found = (self._found | self._given).get(key.path, Found.MISSING)
        return self.place.part(key.path).error(found, expected)

    def _collect(self, body: object, prefix: str) -> None:
        names = self._names(prefix)
        here = self.place.part(prefix[:-1]) if prefix else self.place
        if not isinstance(body, Mapping):
            raise here.error(body, f"a section with {', '.join(names)}")
        for name, value in body.items():
            if name not in names:
                raise self._unknown(name, prefix, names)
            path = f"{prefix}{name}"
            section = self._sections.get(path)
            if section is None:
                self._found[path] = value
            elif not (section.switchable and is_off(value)):
                self._given[path] = value
                self._collect(value, f"{path}.")

    def _names(self, prefix: str) -> list[str]:
        """The names of keys and sections right below a prefix, in the order of the table."""
        below = [path.removeprefix(prefix) for path in self._keys if path.startswith(prefix)]
        return list(dict.fromkeys(path.partition(".")[0] for path in below))

    def _unknown(self, name: object, prefix: str, names: Sequence[str]) -> ProgramError:
        text = name[:_NAME_CHARS] if isinstance(name, str) and name.isprintable() else shown(name)
        elsewhere = [path for path in self._keys if path.rpartition(".")[2] == text]
        near = difflib.get_close_matches(text, names, n=1)
        hint = [f"{prefix}{one}" for one in near] or elsewhere
        meant = f"; did you mean {hint[0]}?" if hint else ""
        return self.place.part(f"{prefix}{text}").error(
            Found.UNKNOWN, f"one of {', '.join(names)}{meant}"
        )
