"""Whether the keys of posting still count, and how long: for the flow, the commands and the figures.

Warned of at 30, 14 and 3 days, and when it is over; each once (``storage.notices``).
"""

from contextlib import closing
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import Final

from cryptography import x509

from storage.engine import Connection, Role, connect
from storage.notices import Kind, note
from tasks.posting.algorithms import algorithm_of, thumbprint
from tasks.posting.key_errors import SettlementKeyError
from tasks.posting.key_settings import KeySettings
from tasks.posting.settlement_key import (
    ASK,
    PARTNER_FILE,
    RENEW,
    Place,
    check_certificate,
    load,
    read_partner_key,
)

WARN_DAYS: Final = (30, 14, 3)
SETTLEMENT: Final = "settlement key"
PARTNER: Final = "clearinghouse's key"
_DAY: Final = timedelta(days=1)


class Standing(StrEnum):
    """Whether a key counts."""

    GOOD = "OK"
    ENDS_SOON = "EXPIRES SOON"
    OVER = "ERR_AUTH_EXPIRED"


@dataclass(frozen=True, slots=True)
class Watched:
    """One key, and how long it counts.

    Attributes:
        what: ``settlement key`` or ``clearinghouse's key``.
        where: the file, or the token and the label.
        key_id: its thumbprint; empty where it cannot be read.
        algorithm: by what it signs; empty where it cannot be read.
        not_before: of its certificate; None where it has none, or cannot be read.
        not_after: the same.
        seconds_left: until it is over, negative afterwards; None where nothing says it.
        problem: why it cannot be used, beginning with ERR_AUTH_EXPIRED; empty where it can.
    """

    what: str
    where: str
    key_id: str = ""
    algorithm: str = ""
    not_before: datetime | None = None
    not_after: datetime | None = None
    seconds_left: float | None = None
    problem: str = ""

    @property
    def days_left(self) -> int | None:
        """Whole days, negative when over."""
        return None if self.seconds_left is None else int(self.seconds_left // _DAY.total_seconds())

    @property
    def threshold(self) -> int | None:
        """The lowest of ``WARN_DAYS`` that has come; 0 when it cannot be used; None before."""
        if self.problem:
            return 0
        if self.seconds_left is None:
            return None
        left = self.seconds_left / _DAY.total_seconds()
        return min((days for days in WARN_DAYS if left <= days), default=None)

    @property
    def standing(self) -> Standing:
        """Whether it counts."""
        if self.problem:
            return Standing.OVER
        return Standing.GOOD if self.threshold is None else Standing.ENDS_SOON


def watch(settings: KeySettings, *, now: datetime) -> list[Watched]:
    """The keys that are configured, as they lie there now. Whatever is wrong with one is its problem."""
    found = []
    if settings.place is not None:
        found.append(_settlement_key(settings.place, now))
    if settings.clearinghouse_key_file is not None:
        algorithm = settings.clearinghouse_rsa_algorithm
        found.append(_partners_key(settings.clearinghouse_key_file, algorithm, now))
    return found


def _settlement_key(place: Place, now: datetime) -> Watched:
    try:
        key = load(place)
    except SettlementKeyError as error:
        return Watched(SETTLEMENT, place.shown, problem=f"{error}")
    found = Watched(SETTLEMENT, place.shown, key.thumbprint, key.algorithm.algorithm_id)
    return _until(found, key.certificate, key.certificate_where, now, RENEW)


def _partners_key(path: Path, rsa_algorithm: str, now: datetime) -> Watched:
    try:
        public, certificate = read_partner_key(path)
    except SettlementKeyError as error:
        return Watched(PARTNER, str(path), problem=f"{error}")
    algorithm = algorithm_of(public, rsa_algorithm=rsa_algorithm)
    found = Watched(PARTNER, str(path), thumbprint(public), algorithm.algorithm_id)
    if certificate is None:
        return found
    return _until(found, certificate, f"{PARTNER_FILE} {path}", now, ASK)


def _until(
    found: Watched, certificate: x509.Certificate, where: str, now: datetime, do: str
) -> Watched:
    """The same, with what the key's certificate says."""
    problem = ""
    try:
        check_certificate(certificate, where, now, do)
    except SettlementKeyError as error:
        problem = f"{error}"
    return replace(
        found,
        not_before=certificate.not_valid_before_utc,
        not_after=certificate.not_valid_after_utc,
        seconds_left=(certificate.not_valid_after_utc - now).total_seconds(),
        problem=problem,
    )


def tell(dsn: str, found: list[Watched], *, now: datetime) -> int:
    """Note for the partners and operators what is due; the same key and threshold only once.

    Returns:
        How many notices are new.

    Raises:
        DatabaseUnavailableError: nothing is noted; saying it again tells.
    """
    due = [one for one in found if one.threshold is not None]
    if not due:
        return 0
    with closing(connect(dsn, Role.OPERATOR)) as conn, conn.transaction():
        return sum(_note(conn, one, now) for one in due)


def _note(conn: Connection, one: Watched, now: datetime) -> bool:
    data = {"subject": one.what, "key_id": one.key_id, "days_left": str(one.days_left or 0)}
    if one.not_after is not None:
        data["expires_at"] = f"{one.not_after:%Y-%m-%dT%H:%M:%SZ}"
    return note(conn, Kind.CERTIFICATE, f"{one.key_id or one.where} {one.threshold}", data, now)
