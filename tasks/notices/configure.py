"""Where notices go from now on: judged, called once with a signed test, and only then in force.

An attempt that fails changes nothing but the history. Errors: tasks.notices.errors.
"""

import asyncio
import secrets
from base64 import b64encode
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Final
from uuid import UUID, uuid4

from storage import destinations
from storage.destinations import Destination, Outcome, Sealed, operating
from tasks.notices import addresses, sealing
from tasks.notices.allowed import Allowed, read_allowed
from tasks.notices.call import DEADLINE_S, TEST, Message, Target, Told, open_client, tell
from tasks.notices.errors import (
    DestinationRefusedError,
    NoDestinationError,
    SealError,
    TestFailedError,
)
from tasks.notices.sealing import MAKE, Sealer, read_sealer
from tasks.notices.settings import NoticeSettings
from tasks.notices.urls import parse

SECRET_BYTES: Final = 32
"""Standard Webhooks wants 24 to 64."""
TOKEN_MAX_CHARS: Final = 2048
_TOKEN_CHARS: Final = frozenset(
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~+/="
)
"""Of a bearer token (RFC 6750 §2.1)."""


@dataclass(frozen=True, slots=True)
class Means:
    """What configuring and calling needs from outside.

    Attributes:
        dsn: the database; connects as the operator's role.
        allowed: hosts that may be called.
        sealer: for token and secret; None where no key file is named.
        ca_file: certificates to trust instead of the public ones.
        clock: gives now, with its zone.
        resolver: asked for a host's addresses, once per destination.
    """

    dsn: str
    allowed: Allowed
    sealer: Sealer | None
    ca_file: Path | None
    clock: Callable[[], datetime]
    resolver: addresses.Resolver = addresses.resolve

    @property
    def seal(self) -> Sealer:
        """The sealer. Raises SealError: no key file is named."""
        if self.sealer is None:
            raise SealError("no key for the destination's token", MAKE)
        return self.sealer


@dataclass(frozen=True, slots=True)
class Configured:
    """A destination that took effect, and its signing secret, which is shown this once."""

    destination: Destination
    secret: str = field(repr=False)


def means(dsn: str, settings: NoticeSettings, *, clock: Callable[[], datetime]) -> Means:
    """What the settings name, read now: both files are judged each time that they are used.

    Raises:
        AllowFileError, SealError: a file that cannot be used.
    """
    return Means(
        dsn=dsn,
        allowed=read_allowed(settings.webhook_allow_file),
        sealer=read_sealer(settings.seal_key_file) if settings.seal_key_file else None,
        ca_file=settings.webhook_ca_file,
        clock=clock,
    )


def configure(given: Means, url: str, token: str, *, by: str) -> Configured:
    """Send notices there from now on, if a signed test call to it succeeds.

    Args:
        given: what it needs from outside.
        url: the destination.
        token: bearer token for it; sealed, never shown.
        by: who wants it; stands in the history.

    Raises:
        DestinationRefusedError: not a destination, not allowed, or no address that may be called.
            Nothing was called.
        TestFailedError: it did not take the test call. The one before stays in force.
        DatabaseUnavailableError: nothing has changed.
    """
    parsed = parse(url)
    internal = given.allowed.require(parsed)
    _require_token(token)
    pinned = addresses.pinned(
        parsed, internal=internal, resolver=given.resolver, deadline_s=DEADLINE_S
    )
    secret = f"whsec_{b64encode(secrets.token_bytes(SECRET_BYTES)).decode()}"
    destination_id = uuid4()
    target = Target(parsed, pinned, token, secret)
    # Sealed first: nobody is called with a token that could not be kept.
    sealed = Sealed(
        given.seal.seal(token, destination_id, sealing.TOKEN),
        given.seal.seal(secret, destination_id, sealing.SECRET),
    )
    told = _test(target, given, destination_id)
    with operating(given.dsn) as conn:
        stored = destinations.record(
            conn,
            destination_id,
            url=url,
            addresses=pinned,
            outcome=Outcome.IN_FORCE if told.delivered else Outcome.TEST_FAILED,
            detail=told.detail,
            sealed=sealed if told.delivered else None,
            by=by,
            at=given.clock(),
        )
    if not told.delivered:
        raise TestFailedError(told.detail)
    return Configured(stored, secret)


def current(dsn: str) -> tuple[Destination | None, list[Destination]]:
    """Where notices go, and the history, the latest first."""
    with operating(dsn) as conn:
        return destinations.current(conn), destinations.history(conn, limit=100)


def try_current(given: Means) -> tuple[Destination, Told]:
    """Call the destination in force with a signed test; nothing is stored.

    Raises:
        NoDestinationError: there is none.
        DestinationRefusedError: its host is not allowed any more.
        SealError: its secrets cannot be opened with this key.
    """
    with operating(given.dsn) as conn:
        destination = destinations.current(conn)
        if destination is None:
            raise NoDestinationError
        target = opened(given, destination, destinations.sealed(conn, destination.destination_id))
    return destination, _test(target, given, uuid4())


def opened(given: Means, destination: Destination, sealed: Sealed) -> Target:
    """A stored destination, ready to be called: still allowed, at the addresses of then.

    Raises:
        DestinationRefusedError: its host is not allowed any more, or not at these addresses.
        SealError: its secrets cannot be opened with this key.
    """
    parsed = parse(destination.url)
    internal = given.allowed.require(parsed)
    addresses.require_callable(parsed.host, destination.addresses, internal=internal)
    which = destination.destination_id
    return Target(
        parsed,
        tuple(destination.addresses),
        given.seal.open(sealed.token, which, sealing.TOKEN),
        given.seal.open(sealed.secret, which, sealing.SECRET),
    )


def _test(target: Target, given: Means, number: UUID) -> Told:
    now = given.clock()
    message = Message(str(number), TEST, now, {"url": target.url.text})

    async def call() -> Told:
        async with open_client(given.ca_file, connections=1) as client:
            return await tell(client, target, message, now=now)

    return asyncio.run(call())


def _require_token(token: str) -> None:
    """Raise DestinationRefusedError unless it can stand in a header; it is never quoted."""
    if not (0 < len(token) <= TOKEN_MAX_CHARS and set(token) <= _TOKEN_CHARS):
        raise DestinationRefusedError(
            "auth_token",
            f"{len(token)} characters, which a bearer token does not consist of",
            f"1 to {TOKEN_MAX_CHARS} of A–Z a–z 0–9 - . _ ~ + / =",
        )
