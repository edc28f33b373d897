"""Files with public keys, read row by row: CSV, PEM, DER and certificates.

    CSV           a header, then one key per line: evse_id, public_key, and where wanted meter_id,
                  client_id, valid_from, valid_to, curve; separated by commas or semicolons
    PEM or DER    public keys; whose they are must be said beside the file
    certificate   X.509, PEM or DER: the EVSE is its common name, the validity its own

A public key may be written in any way that ``settlement.packets.keys`` reads. The default policy is
secp256r1; another curve needs an allowance, for the file or in the row's column ``curve``. Nobody
checks who signed a certificate: who imports it answers for it. Bad rows come back as ``BadRow``.
"""

import csv
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import PurePath
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.x509.oid import NameOID

from settlement.packets.keys import UnreadableKeyError, curve_of, der_of, key_id_of, load_public_key
from settlement.signatures import DeviceKey, algorithm_of
from storage.keys import Import

FILE_MAX_BYTES: Final = 8 * 1024 * 1024
ROWS_MAX: Final = 10_000
DEFAULT_CURVE: Final = "secp256r1"
REQUIRED: Final = ("evse_id", "public_key")
COLUMNS: Final = (*REQUIRED, "meter_id", "client_id", "valid_from", "valid_to", "curve")
_PEM_END: Final = b"-----END "


@dataclass(frozen=True, slots=True)
class Row:
    """A key that can be read; ``place`` says where it stands."""

    place: str
    brought: Import


@dataclass(frozen=True, slots=True)
class BadRow:
    """One that cannot: where it stands, what is wrong, what was expected."""

    place: str
    where: str
    found: str
    expected: str


@dataclass(frozen=True, slots=True)
class Said:
    """What is said beside a file, for rows that do not say it themselves.

    Attributes:
        evse_id: whose a key is that does not say so.
        meter_id: the meter whose records it signs.
        client_id: the MQTT identity that brings its packets.
        valid_from: from when it stands; None: from ``now``.
        valid_to: until when; None: open.
        curves: allowed beside secp256r1.
        now: the time of the import.
    """

    now: datetime
    evse_id: str = ""
    meter_id: str = ""
    client_id: str = ""
    valid_from: datetime | None = None
    valid_to: datetime | None = None
    curves: frozenset[str] = field(default_factory=frozenset)


def named_for(said: Said, evse_id: str) -> Said:
    """The same, for a file that is named for its EVSE."""
    return replace(said, evse_id=evse_id)


class _Wrong(Exception):  # noqa: N818 - caught within this module, never an error of the program
    """A row, or a whole file, that cannot be read."""

    def __init__(self, where: str, found: str, expected: str) -> None:
        super().__init__(where)
        self.where = where
        self.found = found
        self.expected = expected


def read(name: str, data: bytes, said: Said) -> list[Row | BadRow]:
    """Every key of a file, in its order.

    Args:
        name: of the file; ``.csv`` is read as CSV, the others by what they hold.
        data: its content.
        said: what it does not say itself.
    """
    try:
        if len(data) > FILE_MAX_BYTES:
            raise _Wrong("file", f"{len(data)} bytes", f"at most {FILE_MAX_BYTES}")
        if PurePath(name).suffix.lower() == ".csv":
            return list(_csv(name, data, said))
        return list(_blocks(name, data, said))
    except _Wrong as wrong:
        return [BadRow(name, wrong.where, wrong.found, wrong.expected)]


def _csv(name: str, data: bytes, said: Said) -> Iterator[Row | BadRow]:
    try:
        lines = [line.rstrip("\r") for line in data.decode("utf-8-sig").split("\n")]
    except UnicodeDecodeError as error:
        raise _Wrong("file", f"byte {error.start} is no UTF-8", "CSV in UTF-8") from error
    separator = ";" if ";" in lines[0] else ","
    header = [column.lower() for column in _cells(lines[0], separator)]
    unknown = [column for column in header if column not in COLUMNS]
    missing = [column for column in REQUIRED if column not in header]
    if unknown or missing or len(set(header)) < len(header):
        raise _Wrong(
            "line 1", ", ".join(header)[:200] or "nothing",
            f"a header with {' and '.join(REQUIRED)}, and where wanted {', '.join(COLUMNS[2:])}",
        )  # fmt: skip
    if len(lines) > ROWS_MAX + 2:
        raise _Wrong("file", f"{len(lines)} lines", f"at most {ROWS_MAX} keys: several files")
    for number, line in enumerate(lines[1:], start=2):
        place = f"{name} line {number}"
        try:
            cells = _cells(line, separator)
            if not any(cells):
                continue
            if len(cells) != len(header):
                raise _Wrong("row", f"{len(cells)} columns", f"{len(header)}, as in the header")
            yield Row(place, _from_row(dict(zip(header, cells, strict=True)), said))
        except _Wrong as wrong:
            yield BadRow(place, wrong.where, wrong.found, wrong.expected)


def _cells(line: str, separator: str) -> list[str]:
    """Each line on its own, so that a quotation mark without its other cannot swallow the next."""
    try:
        return [
            cell.strip() for cell in next(csv.reader([line], delimiter=separator, strict=True), [])
        ]
    except csv.Error as error:
        raise _Wrong("row", f"no CSV ({error})", "one key per line (RFC 4180)") from error


def _from_row(row: Mapping[str, str], said: Said) -> Import:
    curve = row.get("curve", "")
    key = _key(row["public_key"].encode(), curve)
    allowed = said.curves | ({curve} if curve else frozenset())
    named = {name: row[name] for name in ("evse_id", "meter_id", "client_id") if row.get(name)}
    times = {name: _time(name, row[name]) for name in ("valid_from", "valid_to") if row.get(name)}
    return _import(key, said, allowed, named, times)


def _blocks(name: str, data: bytes, said: Said) -> Iterator[Row | BadRow]:
    """One key per PEM block; a file without blocks is one key."""
    blocks = [data]
    if b"-----BEGIN " in data:
        lines, blocks = data.splitlines(keepends=True), [b""]
        for line in lines:
            blocks[-1] += line
            if line.startswith(_PEM_END):
                blocks.append(b"")
        blocks = [block for block in blocks if b"-----BEGIN " in block]
    if len(blocks) > ROWS_MAX:
        raise _Wrong("file", f"{len(blocks)} keys", f"at most {ROWS_MAX}")
    for number, block in enumerate(blocks, start=1):
        place = name if len(blocks) == 1 else f"{name} key {number}"
        try:
            certificate = _certificate(block)
            if certificate is not None:
                yield Row(place, _from_certificate(certificate, said))
            else:
                yield Row(place, _import(_key(block, ""), said, said.curves, {}, {}))
        except _Wrong as wrong:
            yield BadRow(place, wrong.where, wrong.found, wrong.expected)


def _certificate(block: bytes) -> x509.Certificate | None:
    """The certificate; None where it is something else."""
    is_pem = b"-----BEGIN CERTIFICATE-----" in block
    try:
        if is_pem:
            return x509.load_pem_x509_certificate(block)
        return x509.load_der_x509_certificate(block)
    except ValueError as error:
        if is_pem:
            raise _Wrong("certificate", f"cannot be read ({error})", "X.509 (RFC 5280)") from error
        return None


def _from_certificate(certificate: x509.Certificate, said: Said) -> Import:
    public = certificate.public_key()
    if not isinstance(public, EllipticCurvePublicKey):
        kind = type(public).__name__.lstrip("_")
        raise _Wrong("certificate", f"a key of another kind ({kind})", "an EC public key")
    names = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    common = [str(name.value) for name in names]
    if not said.evse_id and len(common) != 1:
        raise _Wrong("certificate", f"{len(common)} common names", "one: the EVSE's id")
    named = {} if said.evse_id else {"evse_id": common[0]}
    times = {
        "valid_from": certificate.not_valid_before_utc,
        "valid_to": certificate.not_valid_after_utc,
    }
    return _import(_key(der_of(public), ""), said, said.curves, named, times)


def _key(data: bytes, curve: str) -> EllipticCurvePublicKey:
    try:
        return load_public_key(data, curve)
    except UnreadableKeyError as error:
        raise _Wrong("public_key", error.found, error.expected) from error


def _import(
    key: EllipticCurvePublicKey,
    said: Said,
    allowed: frozenset[str] | set[str],
    named: Mapping[str, str],
    times: Mapping[str, datetime],
) -> Import:
    curve = curve_of(key)
    if curve != DEFAULT_CURVE and curve not in allowed:
        raise _Wrong(
            "public_key", f"a key on {curve}",
            f"one on {DEFAULT_CURVE}, or an allowance: --allow-curve {curve}, or the column curve",
        )  # fmt: skip
    evse_id = named.get("evse_id") or said.evse_id
    if not evse_id:
        raise _Wrong("evse_id", "nothing", "whose key it is: --evse EVSE, or a certificate or CSV")
    record = DeviceKey(
        key_id_of(key),
        evse_id,
        der_of(key),
        times.get("valid_from") or said.valid_from or said.now,
        valid_to=times.get("valid_to") or said.valid_to,
        algorithm=algorithm_of(curve),
        meter_id=named.get("meter_id") or said.meter_id,
        client_id=named.get("client_id") or said.client_id,
    )
    stated = {name for name in ("client_id", "valid_from", "valid_to") if getattr(said, name)}
    return Import(record, frozenset(stated | named.keys() & {"client_id"} | times.keys()))


def replacement(data: bytes, curve: str, *, valid_to: datetime | None, now: datetime) -> DeviceKey:
    """A key that is to take the place of another, whose EVSE, meter and client it will have.

    Args:
        data: the public key, in any form, or a certificate's.
        curve: an allowance beside secp256r1; empty: none.
        valid_to: until when it stands; None: open.
        now: from when.

    Raises:
        UnreadableKeyError: no public key, or on a curve that is not allowed.
    """
    said = Said(now, evse_id="?", valid_to=valid_to, curves=frozenset({curve} - {""}))
    try:
        return _import(_key(data, curve), said, said.curves, {}, {}).key
    except _Wrong as wrong:
        raise UnreadableKeyError(wrong.found, wrong.expected) from wrong


def _time(name: str, value: str) -> datetime:
    try:
        return moment(value)
    except ValueError as error:
        raise _Wrong(name, repr(value[:40]), str(error)) from error


def moment(value: str) -> datetime:
    """A time with its zone, in UTC. Raises ValueError, in words.

    >>> moment("2026-07-01T17:00:00+02:00").isoformat()
    '2026-07-01T15:00:00+00:00'
    """
    try:
        at = datetime.fromisoformat(value.strip())
        if at.tzinfo is not None:
            return at.astimezone(UTC)
    except (ValueError, OverflowError):
        pass
    raise ValueError("a time with its zone, such as 2026-07-01T17:00:00Z")
