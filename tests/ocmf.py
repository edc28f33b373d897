"""Meters' records for tests, signed with ``cryptography`` on any curve.

    meter = make_meter("secp256k1", meter_id="1DZG0001")
    record = make_record(meter, [point(0, export_kwh="10.000"), point(15, export_kwh="10.030")], number=7)

The payload is written out as text, so that a test can spell it as a meter would.
"""

import json
from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ec import (
    ECDSA,
    EllipticCurvePrivateKey,
    generate_private_key,
)
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from settlement.signatures import CURVES
from tests.packets import evening

METER_ID = "1V2G0000000001"
EXPORT = "01-00:02.08.00*FF"
IMPORT = "01-00:01.08.00*FF"
TRANSACTION_EXPORT = "01-00:C2.08.00*FF"
TRANSACTION_IMPORT = "01-00:B2.08.00*FF"


@dataclass(frozen=True)
class Meter:
    """A meter and its key pair: ``public_key`` is DER SubjectPublicKeyInfo."""

    meter_id: str
    curve: str
    private: EllipticCurvePrivateKey

    @property
    def public_key(self) -> bytes:
        return self.private.public_key().public_bytes(
            Encoding.DER, PublicFormat.SubjectPublicKeyInfo
        )

    @property
    def pem(self) -> bytes:
        return self.private.public_key().public_bytes(
            Encoding.PEM, PublicFormat.SubjectPublicKeyInfo
        )


def make_meter(curve: str = "secp256r1", meter_id: str = METER_ID) -> Meter:
    """A meter with a new key; ``curve`` as ``settlement.signatures.CURVES`` names it."""
    return Meter(meter_id, curve, generate_private_key(CURVES[curve]()))


def written_time(at: datetime, clock: str = "S") -> str:
    """A time as OCMF writes it; an empty clock is left out."""
    utc = at.astimezone(UTC)
    text = f"{utc:%Y-%m-%dT%H:%M:%S},{utc.microsecond // 1000:03d}+0000"
    return f"{text} {clock}" if clock else text


def point(
    after_s: float = 0,
    *,
    export_kwh: str | None = "1000.000",
    import_kwh: str | None = None,
    at: datetime | None = None,
    clock: str = "S",
    kind: str = "C",
    **more: Any,
) -> list[dict[str, Any]]:
    """The readings of one time, ``after_s`` after the evening begins; None leaves a register out."""
    moment = (at or evening()) + timedelta(seconds=after_s)
    head = {"TM": written_time(moment, clock), "TX": kind}
    tail = {"RU": "kWh", "RT": "DC", "EF": "", "ST": "G"} | more
    registers = ((EXPORT, export_kwh), (IMPORT, import_kwh))
    return [
        {**head, "RV": value, "RI": code, **tail} for code, value in registers if value is not None
    ]


def payload_of(
    points: Sequence[Sequence[Mapping[str, Any]]],
    *,
    meter_id: str = METER_ID,
    number: int = 1,
    context: str = "T",
    **more: Any,
) -> dict[str, Any]:
    """The payload's fields; a field given as None is left out."""
    fields = {
        "FV": "1.3",
        "GI": "V2G-TEST",
        "GS": "G-1",
        "GV": "1.0",
        "PG": f"{context}{number}",
        "MV": "V2G",
        "MM": "Test meter",
        "MS": meter_id,
        "MF": "1.0",
        "IS": False,
        "IL": "NONE",
        "IF": [],
        "IT": "NONE",
        "ID": "",
        "RD": [dict(reading) for one in points for reading in one],
    } | more
    return {name: value for name, value in fields.items() if value is not None}


def make_record(
    key: Meter,
    points: Sequence[Sequence[Mapping[str, Any]]] | None = None,
    number: int = 1,
    context: str = "T",
    meter_id: str | None = None,
    *,
    encoding: str = "hex",
    raw: bool = False,
    algorithm: str | None = None,
    payload: bytes | None = None,
    **more: Any,
) -> bytes:
    """A signed record.

    Args:
        key: the meter that signs.
        points: readings per time, from ``point``; by default 15 s that export 30 Wh.
        number: of the pagination.
        context: of the pagination, T or F.
        meter_id: serial number to write instead of the key's.
        encoding: SE: hex or base64.
        raw: whether the signature is r‖s instead of DER.
        algorithm: SA; None writes what is true, an empty text leaves it out.
        payload: these bytes instead.
        more: further payload fields, or other values; None leaves a field out.
    """
    if payload is None:
        chosen = points if points is not None else default_points()
        fields = payload_of(
            chosen, meter_id=meter_id or key.meter_id, number=number, context=context, **more
        )
        payload = json.dumps(fields, separators=(",", ":"), ensure_ascii=False).encode()
    signature = key.private.sign(payload, ECDSA(SHA256()))
    if raw:
        size = (key.private.curve.key_size + 7) // 8
        r, s = decode_dss_signature(signature)
        signature = r.to_bytes(size) + s.to_bytes(size)
    claimed = f"ECDSA-{key.curve}-SHA256" if algorithm is None else algorithm
    signed = {"SA": claimed} if claimed else {}
    if encoding == "base64":
        signed |= {"SE": "base64", "SD": b64encode(signature).decode()}
    else:
        signed |= {"SD": signature.hex()}
    return b"|".join([b"OCMF", payload, json.dumps(signed, separators=(",", ":")).encode()])


def default_points(
    start_kwh: str = "1000.000", end_kwh: str = "1000.030", first: str = "B", last: str = "E"
) -> list[list[dict[str, Any]]]:
    """15 s of an evening in which the export register moves by 30 Wh."""
    return [
        point(0, export_kwh=start_kwh, import_kwh="250.000", kind=first),
        point(15, export_kwh=end_kwh, import_kwh="250.000", kind=last),
    ]


def as_signed_meter_value(
    record: bytes, *, public_key: bytes = b"", signing_method: str = "", **more: Any
) -> dict[str, Any]:
    """OCPP 2.0.1's SignedMeterValueType around a record."""
    key = b"oca:base16:asn1:" + public_key.hex().encode() if public_key else b""
    return {
        "signedMeterData": b64encode(record).decode(),
        "signingMethod": signing_method,
        "encodingMethod": "OCMF",
        "publicKey": b64encode(key).decode(),
    } | more


def as_ocpp16(record: bytes, **more: Any) -> dict[str, Any]:
    """OCPP 1.6's sampledValue, with that object as text inside."""
    return {
        "value": json.dumps(as_signed_meter_value(record)),
        "context": "Transaction.End",
        "format": "SignedData",
        "measurand": "Energy.Active.Export.Register",
    } | more
