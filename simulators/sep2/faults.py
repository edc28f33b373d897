"""How the server misbehaves, by path and number of times. A closed list; each has a name.

faults = Faults()
faults.add(FaultKind.STALL, path="/derp/1/derc", times=2)
faults.add(FaultKind.ERROR, status=503, times=3)
"""

import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import StrEnum
from fnmatch import fnmatchcase
from typing import Any, Final, Self

DOCTYPE: Final = "<!DOCTYPE Time>"
LAUGHS: Final = 9


class FaultKind(StrEnum):
    """What goes wrong; the text says what happens and which options count."""

    STALL = "stall"
    DRIP = "drip"
    ERROR = "error"
    EMPTY = "empty"
    HTML = "html"
    TRUNCATED = "truncated"
    SHORT = "short"
    DTD = "dtd"
    ENTITY = "entity"
    DEEP = "deep"
    HUGE = "huge"
    ENCODING = "encoding"
    MEDIA_TYPE = "media-type"
    ALL_LIES = "all-lies"
    RESULTS_LIES = "results-lies"
    PAGES_REPEAT = "pages-repeat"
    PAGES_ENDLESS = "pages-endless"
    CLOCK_JUMP = "clock-jump"
    RESET = "reset"
    REDIRECT = "redirect"


MEANINGS: Final = {
    FaultKind.STALL: "takes the request and says nothing for SECONDS, then cuts the line",
    FaultKind.DRIP: "sends the answer byte by byte, one each SECONDS",
    FaultKind.ERROR: "answers with the status NUMBER, 503 by default",
    FaultKind.EMPTY: "answers 200 without a body",
    FaultKind.HTML: "answers 200 with a login page",
    FaultKind.TRUNCATED: "sends half of the document as if it were all",
    FaultKind.SHORT: "promises the whole document, sends half and cuts the line",
    FaultKind.DTD: "puts a document type declaration before the document",
    FaultKind.ENTITY: "sends a document whose entities grow to a billion",
    FaultKind.DEEP: "sends NUMBER elements one inside the other, 100,000 by default",
    FaultKind.HUGE: "sends NUMBER bytes, 100 MB by default",
    FaultKind.ENCODING: "sends bytes that are no UTF-8",
    FaultKind.MEDIA_TYPE: "sends the document as text/plain",
    FaultKind.ALL_LIES: "adds NUMBER, 5 by default, to what a list says it holds",
    FaultKind.RESULTS_LIES: "adds NUMBER, 5 by default, to how many entries a page says it has",
    FaultKind.PAGES_REPEAT: "gives a list's first page whatever page was asked for",
    FaultKind.PAGES_ENDLESS: "always has one more page of a list",
    FaultKind.CLOCK_JUMP: "sets the server's clock ahead by SECONDS, then answers",
    FaultKind.RESET: "resets the connection instead of an answer",
    FaultKind.REDIRECT: "answers 302 to another server",
}


class UnusableFaultError(ValueError):
    """A fault that is not in the list, or an option that is no number."""


_OPTIONS: Final[dict[str, Callable[[str], Any]]] = {
    "times": int,
    "spare": int,
    "seconds": float,
    "number": int,
    "method": str,
}


@dataclass(frozen=True, slots=True)
class Fault:
    """One way to misbehave.

    Attributes:
        kind: what happens.
        path: where: a path, in which * stands for anything.
        method: of the request; * for any.
        times: so many requests; None: all.
        spare: so many matching requests are answered well first.
        seconds: how long, see ``MEANINGS``; None is the fault's own.
        number: how many or which, see ``MEANINGS``; None is the fault's own.
    """

    kind: FaultKind
    path: str = "*"
    method: str = "GET"
    times: int | None = None
    spare: int = 0
    seconds: float | None = None
    number: int | None = None

    @classmethod
    def parse(cls, text: str) -> Self:
        """From ``NAME[:PATH[:OPTION=VALUE…]]``: ``stall:/derp/1/derc:times=2:seconds=30``.

        Raises:
            UnusableFaultError: a name that is not in the list, an option or a value that does not
                fit.
        """
        name, *rest = text.split(":")
        path, *options = rest or ["*"]
        values: dict[str, str] = {}
        for option in options:
            key, _, value = option.partition("=")
            values[key] = value
        try:
            if set(values) - set(_OPTIONS):
                raise ValueError(f"expected the options {', '.join(_OPTIONS)}")
            numbers = {key: _OPTIONS[key](value) for key, value in values.items()}
            return cls(FaultKind(name), path=path or "*", **numbers)
        except ValueError as error:
            raise UnusableFaultError(
                f"fault {text!r}: {error}; expected NAME[:PATH[:OPTION=VALUE]] with one of "
                f"{', '.join(FaultKind)}"
            ) from error

    def hits(self, method: str, path: str) -> bool:
        """Whether a request is concerned."""
        return self.method in {"*", method} and fnmatchcase(path, self.path)


class Faults:
    """The faults in force; may be changed from any thread while the server runs."""

    def __init__(self, *faults: Fault) -> None:
        self._lock = threading.Lock()
        self._faults = list(faults)
        self.counts: Counter[FaultKind] = Counter()
        """How often each kind has happened."""

    def add(
        self,
        kind: FaultKind | str,
        *,
        path: str = "*",
        method: str = "GET",
        times: int | None = None,
        spare: int = 0,
        seconds: float | None = None,
        number: int | None = None,
    ) -> None:
        """Misbehave so from now on; of several that fit a request the one added first happens."""
        fault = Fault(FaultKind(kind), path, method, times, spare, seconds, number)
        with self._lock:
            self._faults.append(fault)

    def clear(self) -> None:
        """Behave from now on; what stalls already goes on doing so."""
        with self._lock:
            self._faults.clear()

    def take(self, method: str, path: str) -> Fault | None:
        """The fault that a request meets, counted; None: it is answered well."""
        with self._lock:
            for index, fault in enumerate(self._faults):
                if not fault.hits(method, path):
                    continue
                if fault.spare > 0:
                    self._faults[index] = replace(fault, spare=fault.spare - 1)
                    continue
                if fault.times is not None:
                    if fault.times <= 0:
                        continue
                    self._faults[index] = replace(fault, times=fault.times - 1)
                self.counts[fault.kind] += 1
                return fault
        return None


def with_doctype(document: bytes) -> bytes:
    """The document with a document type declaration."""
    return _declared(document, DOCTYPE)


def with_entities(document: bytes) -> bytes:
    """The document with ten entities, each ten times the one before, used once."""
    laughs = "".join(
        f'<!ENTITY a{i} "{f"&a{i - 1};" * 10 if i else "ha"}">' for i in range(LAUGHS + 1)
    )
    declared = _declared(document, f"<!DOCTYPE Time [{laughs}]>")
    end = declared.rindex(b"</") if b"</" in declared else len(declared)
    return declared[:end] + f"&a{LAUGHS};".encode() + declared[end:]


def deep(elements: int) -> bytes:
    """So many elements, one inside the other."""
    return b"<a>" * elements + b"</a>" * elements


def _declared(document: bytes, declaration: str) -> bytes:
    head, separator, rest = document.partition(b"?>\n")
    return head + separator + declaration.encode() + rest
