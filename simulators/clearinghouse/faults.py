"""How the clearinghouse misbehaves. A closed list; each fault has a name, used everywhere.

    error                       with everything as it usually is
    error:number=503            with an option; several: redirect:number=308:paid=yes

Whether a posting takes effect under a fault is the fault's own; ``paid=yes`` or ``no`` says otherwise.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from enum import StrEnum
from typing import Any, Final, Self

GIB: Final = 1024 * 1024 * 1024
SECONDS_MAX: Final = 3_600.0


class FaultKind(StrEnum):
    """What goes wrong; ``MEANINGS`` says it in a sentence."""

    SLOW = "slow"
    ERROR = "error"
    LOST_ACK = "lost_ack"
    TOO_MANY = "too_many"
    WRONG_ECHO = "wrong_echo"
    HTML = "html"
    TRUNCATED = "truncated"
    DRIP = "drip"
    HUGE = "huge"
    SLOW_BEFORE = "slow_before"
    STALL = "stall"
    RESET = "reset"
    RESET_AFTER = "reset_after"
    ERROR_AFTER = "error_after"
    TOO_MANY_DATE = "too_many_date"
    TOO_MANY_HUGE = "too_many_huge"
    TOO_MANY_NEGATIVE = "too_many_negative"
    TOO_MANY_GARBAGE = "too_many_garbage"
    TOO_MANY_TWICE = "too_many_twice"
    CONFLICT = "conflict"
    CONFLICT_AFTER = "conflict_after"
    REQUEST_TIMEOUT = "request_timeout"
    TOO_EARLY = "too_early"
    UNAUTHORIZED = "unauthorized"
    FORBIDDEN = "forbidden"
    REDIRECT = "redirect"
    ACCEPTED = "accepted"
    NO_CONTENT = "no_content"
    WRONG_ID = "wrong_id"
    WRONG_CURRENCY = "wrong_currency"
    WRONG_DIGEST = "wrong_digest"
    WRONG_STATUS = "wrong_status"
    NO_ECHO = "no_echo"
    OTHER_ALREADY = "other_already"
    SHORT = "short"
    VAST = "vast"
    SWELLING = "swelling"
    CHUNKS = "chunks"
    INFORMATIONAL = "informational"
    ENDLESS_HEADERS = "endless_headers"
    UNSIGNED = "unsigned"
    WRONG_SIGNATURE = "wrong_signature"
    EXPIRED_SIGNATURE = "expired_signature"
    OTHER_KEY = "other_key"
    FORGETS = "forgets"
    INVENTS = "invents"


MEANINGS: Final[Mapping[FaultKind, str]] = {
    FaultKind.SLOW: "pays, answers after SECONDS, 3 by default",
    FaultKind.ERROR: "the status NUMBER, 500 by default, with RETRY_AFTER if given; not paid",
    FaultKind.LOST_ACK: "pays, then the line is closed without an answer",
    FaultKind.TOO_MANY: "429 with Retry-After: RETRY_AFTER, 1 by default; not paid",
    FaultKind.WRONG_ECHO: "200 with another amount; not paid",
    FaultKind.HTML: "200 with a login page; not paid",
    FaultKind.TRUNCATED: "pays, answers with half of the JSON as if it were all",
    FaultKind.DRIP: "pays, answers byte by byte, one each SECONDS, 0.5 by default",
    FaultKind.HUGE: "pays, puts NUMBER bytes, 4 MiB by default, around the right fields",
    FaultKind.SLOW_BEFORE: "waits SECONDS, 3 by default, then pays, though nobody may wait any more",
    FaultKind.STALL: "silence for SECONDS, 30 by default, then the line is closed; not paid",
    FaultKind.RESET: "a TCP reset instead of an answer; not paid",
    FaultKind.RESET_AFTER: "pays, then a TCP reset",
    FaultKind.ERROR_AFTER: "pays, then answers as error does",
    FaultKind.TOO_MANY_DATE: "429 with an HTTP date NUMBER seconds ahead, 2 by default; not paid",
    FaultKind.TOO_MANY_HUGE: "429 with Retry-After: 31536000; not paid",
    FaultKind.TOO_MANY_NEGATIVE: "429 with Retry-After: -5; not paid",
    FaultKind.TOO_MANY_GARBAGE: "429 with Retry-After: soon; not paid",
    FaultKind.TOO_MANY_TWICE: "429 with two Retry-After, 1 and 3600; not paid",
    FaultKind.CONFLICT: "409 on an id and body that are new; not paid",
    FaultKind.CONFLICT_AFTER: "pays, then answers 409",
    FaultKind.REQUEST_TIMEOUT: "408; not paid",
    FaultKind.TOO_EARLY: "425; not paid",
    FaultKind.UNAUTHORIZED: "401; not paid",
    FaultKind.FORBIDDEN: "403; not paid",
    FaultKind.REDIRECT: "NUMBER, 307 by default, to another host, which counts; not paid",
    FaultKind.ACCEPTED: "202 without a body; not paid",
    FaultKind.NO_CONTENT: "pays, answers 204",
    FaultKind.WRONG_ID: "200 with another posting's id; not paid",
    FaultKind.WRONG_CURRENCY: "200 with another currency; not paid",
    FaultKind.WRONG_DIGEST: "200 with another digest; not paid",
    FaultKind.WRONG_STATUS: "200 with the status refused; not paid",
    FaultKind.NO_ECHO: "200 with an empty object; not paid",
    FaultKind.OTHER_ALREADY: "208 with another amount and its digest; not paid",
    FaultKind.SHORT: "pays, promises the whole answer, sends half and closes the line",
    FaultKind.VAST: "pays, streams NUMBER bytes, 200 MiB by default, around the right fields",
    FaultKind.SWELLING: "pays, a gzip body that grows to NUMBER bytes, 200 MiB by default",
    FaultKind.CHUNKS: "pays, a chunked body whose sizes are garbage",
    FaultKind.INFORMATIONAL: "pays, NUMBER answers 103, 100,000 by default, and never a last one",
    FaultKind.ENDLESS_HEADERS: "pays, NUMBER header lines, 1,000,000 by default, and no body",
    FaultKind.UNSIGNED: "pays, the right answer without its signature",
    FaultKind.WRONG_SIGNATURE: "pays, a signature that does not fit",
    FaultKind.EXPIRED_SIGNATURE: "pays, a signature of two hours ago that held for one",
    FaultKind.OTHER_KEY: "pays, a good signature by a key nobody knows, under the known id",
    FaultKind.FORGETS: "status query: 404, though it took effect",
    FaultKind.INVENTS: "status query: 200 with the right echo, though it never took effect",
}

PAYING: Final = frozenset(
    {
        FaultKind.SLOW,
        FaultKind.LOST_ACK,
        FaultKind.TRUNCATED,
        FaultKind.DRIP,
        FaultKind.HUGE,
        FaultKind.SLOW_BEFORE,
        FaultKind.RESET_AFTER,
        FaultKind.ERROR_AFTER,
        FaultKind.CONFLICT_AFTER,
        FaultKind.NO_CONTENT,
        FaultKind.SHORT,
        FaultKind.VAST,
        FaultKind.SWELLING,
        FaultKind.CHUNKS,
        FaultKind.INFORMATIONAL,
        FaultKind.ENDLESS_HEADERS,
        FaultKind.UNSIGNED,
        FaultKind.WRONG_SIGNATURE,
        FaultKind.EXPIRED_SIGNATURE,
        FaultKind.OTHER_KEY,
    }
)
"""Faults under which a posting takes effect all the same."""

OF_QUERIES: Final = frozenset({FaultKind.FORGETS, FaultKind.INVENTS})
OF_SIGNATURES: Final = frozenset(
    {
        FaultKind.UNSIGNED,
        FaultKind.WRONG_SIGNATURE,
        FaultKind.EXPIRED_SIGNATURE,
        FaultKind.OTHER_KEY,
    }
)
_STATUSES: Final = {
    FaultKind.ERROR: range(500, 600),
    FaultKind.ERROR_AFTER: range(500, 600),
    FaultKind.REDIRECT: range(300, 309),
}


class UnusableFaultError(ValueError):
    """A fault that is not in the list, or an option that does not fit."""


def _yes(text: str) -> bool:
    if text not in {"yes", "no"}:
        raise ValueError(f"paid={text}: expected yes or no")
    return text == "yes"


_OPTIONS: Final[Mapping[str, Callable[[str], Any]]] = {
    "number": int,
    "seconds": float,
    "retry_after": str,
    "paid": _yes,
}


@dataclass(frozen=True, slots=True)
class Fault:
    """One way to answer badly.

    Attributes:
        kind: which.
        number: how many or which, see ``MEANINGS``; None is the fault's own.
        seconds: how long, likewise.
        retry_after: the field of that name, whatever it says.
        paid: whether the posting takes effect; None is the fault's own.

    Raises:
        UnusableFaultError: a number or a time out of bounds.
    """

    kind: FaultKind
    number: int | None = None
    seconds: float | None = None
    retry_after: str | None = None
    paid: bool | None = None

    def __post_init__(self) -> None:
        allowed = _STATUSES.get(self.kind, range(1, GIB + 1))
        if self.number is not None and self.number not in allowed:
            raise UnusableFaultError(
                f"{self.kind}: number {self.number}; expected {allowed.start} to {allowed.stop - 1}"
            )
        if self.seconds is not None and not 0 <= self.seconds <= SECONDS_MAX:
            raise UnusableFaultError(
                f"{self.kind}: {self.seconds} seconds; expected 0 to {SECONDS_MAX}"
            )
        if self.retry_after is not None and not (
            self.retry_after.isascii() and self.retry_after.isprintable()
        ):
            raise UnusableFaultError(f"{self.kind}: retry_after; expected printable ASCII")

    @property
    def takes_effect(self) -> bool:
        """Whether the posting is paid all the same."""
        return self.kind in PAYING if self.paid is None else self.paid

    @classmethod
    def parse(cls, text: str) -> Self:
        """From ``NAME[:OPTION=VALUE…]``. Raises UnusableFaultError.

        >>> Fault.parse("error:number=503:retry_after=5").number
        503
        """
        name, *options = text.split(":")
        return cls.of(name, dict(_option(text, option) for option in options))

    @classmethod
    def of(cls, name: str, options: Mapping[str, str]) -> Self:
        """From its name and its options as text.

        Raises:
            UnusableFaultError: a name or an option that is not known, a value that does not fit.
        """
        if name not in set(FaultKind):
            raise UnusableFaultError(f"fault {name!r}; expected one of {', '.join(FaultKind)}")
        if unknown := sorted(set(options) - set(_OPTIONS)):
            raise UnusableFaultError(
                f"fault {name}: options {', '.join(unknown)}; expected some of {', '.join(_OPTIONS)}"
            )
        try:
            return cls(
                FaultKind(name), **{key: _OPTIONS[key](value) for key, value in options.items()}
            )
        except UnusableFaultError:
            raise
        except ValueError as error:
            raise UnusableFaultError(f"fault {name}: {error}") from error


def _option(text: str, option: str) -> tuple[str, str]:
    key, equals, value = option.partition("=")
    if not equals:
        raise UnusableFaultError(f"fault {text!r}: {option!r}; expected OPTION=VALUE")
    return key, value


OPTIONS: Final = tuple(one.name for one in fields(Fault) if one.name != "kind")
