"""What an answer of the clearinghouse means: judged by its content, never by its status alone."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from enum import StrEnum
from typing import Final, NamedTuple

from settlement.posting.body import Posting

RETRY_AFTER_MAX: Final = timedelta(hours=1)
DETAIL_MAX_CHARS: Final = 300


class Outcome(StrEnum):
    """What one attempt came to."""

    ACKNOWLEDGED = "acknowledged"
    """200, 201 or 208, and the echo is ours in every field."""
    REFUSED_TEMPORARILY = "refused_temporarily"
    """408, 425, 429 or 503: not processed, come again (RFC 9110 §15.5.9, §15.6.4, RFC 8470 §5.2,
    RFC 6585 §4)."""
    SERVER_FAILED = "server_failed"
    """500 and the like: it failed, and did not say whether before or after the effect."""
    NO_ANSWER = "no_answer"
    """Sent, and no whole answer before the deadline."""
    CONNECTION_FAILED = "connection_failed"
    """No connection: nothing was sent."""
    NOT_SENT = "not_sent"
    """We could not sign it: nothing was sent, and the partner has no part in that."""
    LOST = "lost"
    """The connection broke after sending began: the effect is unknown."""
    ECHO_DIFFERS = "echo_differs"
    """It says yes, but not to what we sent, or not legibly."""
    SIGNATURE_WRONG = "signature_wrong"
    """It decides, but its signature is missing or wrong, though the partner signs."""
    NOT_SERVED = "not_served"
    """A redirect, or our address or credentials are wrong; that says nothing about the posting."""
    CONFLICT = "conflict"
    """409: our id stands there with another content. A person must look."""
    REJECTED = "rejected"
    """Any other 4xx: a definite no."""


class Judgement(NamedTuple):
    """An outcome, and what was seen, in printable ASCII of at most ``DETAIL_MAX_CHARS``."""

    outcome: Outcome
    detail: str


ACCEPTING: Final = frozenset({200, 201, 208})
REFUSING: Final = frozenset({408, 425, 429, 503})
NOT_SERVING: Final = frozenset({401, 403, 404, 405, 407, 421})
CONFLICTING: Final = 409

DECIDING: Final = frozenset(
    {Outcome.ACKNOWLEDGED, Outcome.ECHO_DIFFERS, Outcome.CONFLICT, Outcome.REJECTED}
)
"""Outcomes by which a posting could end, or wait for a person: of a partner that signs, only signed."""

_OUTCOME_OF_CLASS: Final = {
    2: Outcome.ECHO_DIFFERS,  # 202, 204 and the like promise an echo at most, and show none
    3: Outcome.NOT_SERVED,
    4: Outcome.REJECTED,
}
"""By the hundreds of the status, where no status above says more."""


def judge_answer(
    posting: Posting, status: int, headers: Mapping[str, str], body: bytes | None
) -> Judgement:
    """What an answer means, by its content and not by its status alone.

    Args:
        posting: what was sent.
        status: the HTTP status.
        headers: the answer's fields; names in lower case, or a mapping that ignores case.
        body: the whole body; None where it was longer than we read.
    """
    if status in ACCEPTING:
        wrong = _wrong_in_echo(posting, body)
        if not wrong:
            return Judgement(Outcome.ACKNOWLEDGED, f"{status}: the echo is ours")
        media = headers.get("content-type", "no content type")
        return Judgement(Outcome.ECHO_DIFFERS, excerpt(f"{status}, {media}: {wrong}"))
    said = f"{status}, to {headers['location']}" if "location" in headers else str(status)
    detail = excerpt(f"{said}: {(body or b'').decode('utf-8', 'replace') or 'no body was read'}")
    return Judgement(_outcome_of_status(status), detail)


def judge_unsigned(judged: Judgement, wrong: str) -> Judgement:
    """What an answer means whose signature is ``wrong``, though the partner signs.

    It decides nothing. A plea to come again, or an address that does not serve us, may be a gateway's
    that has no key: it stays what it is, and whoever records it must count it as doubtful.
    """
    if judged.outcome not in DECIDING:
        return judged
    return Judgement(Outcome.SIGNATURE_WRONG, excerpt(f"signature: {wrong}; {judged.detail}"))


def _outcome_of_status(status: int) -> Outcome:
    if status in REFUSING:
        return Outcome.REFUSED_TEMPORARILY
    if status in NOT_SERVING:
        return Outcome.NOT_SERVED
    if status == CONFLICTING:
        return Outcome.CONFLICT
    return _OUTCOME_OF_CLASS.get(status // 100, Outcome.SERVER_FAILED)


def _wrong_in_echo(posting: Posting, body: bytes | None) -> str:
    """Why the echo does not prove that this posting is held; empty when it does."""
    if body is None:
        return "longer than an echo can be"
    try:
        echo = json.loads(body.decode("utf-8"), object_pairs_hook=_names_once)
    except (ValueError, RecursionError) as error:  # RecursionError: nested deeper than any echo
        return f"not JSON ({error}): {body[:80]!r}"
    if not isinstance(echo, dict):
        return f"not a JSON object: {body[:80]!r}"
    expected = {
        "posting_id": posting.posting_id,
        "amount_minor": str(posting.amount_minor),
        "currency": posting.currency,
        "digest": posting.body_digest.hex(),
        "status": "accepted",
    }
    found = {name: echo.get(name, "missing") for name in expected}
    return "; ".join(
        f"{name} is {str(found[name])[:80]!r}, ours is {ours!r}"
        for name, ours in expected.items()
        if found[name] != ours
    )


def _names_once(pairs: list[tuple[str, object]]) -> dict[str, object]:
    names = dict(pairs)
    if len(names) != len(pairs):
        raise ValueError("a name stands twice")
    return names


def excerpt(text: str) -> str:
    r"""Foreign text made safe to store and to show: printable ASCII, bounded.

    >>> print(excerpt("naïve\x00\n"))
    na\xefve\x00\n
    """
    safe = "".join(c if " " <= c <= "~" else ascii(c)[1:-1] for c in text[:DETAIL_MAX_CHARS])
    return safe[:DETAIL_MAX_CHARS]


def retry_after(value: str | None, now: datetime) -> timedelta | None:
    """How long the clearinghouse asks us to wait (RFC 9110 §10.2.3): seconds, or an HTTP date.

    None where the field is absent, or is neither; at least 0 and at most ``RETRY_AFTER_MAX``.

    >>> retry_after("120", datetime(2026, 1, 1, tzinfo=UTC))
    datetime.timedelta(seconds=120)
    >>> retry_after("soon", datetime(2026, 1, 1, tzinfo=UTC)) is None
    True
    """
    text = (value or "").strip()
    if text.isascii() and text.isdigit():
        # Ten digits are three centuries: cut, so that no length of digits costs anything.
        return min(timedelta(seconds=int(text[:10])), RETRY_AFTER_MAX)
    try:
        date = parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return None
    at = date if date.tzinfo is not None else date.replace(tzinfo=UTC)
    return min(max(at - now, timedelta()), RETRY_AFTER_MAX)
