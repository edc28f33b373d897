"""The books of a pack as text, and back: bookings and seals."""

from collections.abc import Mapping
from typing import Any, Final

from settlement.booking import Allocation, Share
from settlement.seals import Seal
from statements.pack import Booking, Proof
from statements.texts import Fields, PackError, time_text


def booking_text(one: Booking) -> dict[str, object]:
    return {
        "settlement": one.settlement,
        "lines": list(one.lines),
        "entries": list(one.entries),
        "supersedes": one.supersedes,
        "before": [
            {"role": a.role, "account": a.account, "amount_minor": str(a.amount_minor)}
            for a in one.before
        ],
        "shares": None
        if one.shares is None
        else [
            {"role": s.role, "account": s.account, "share_ppm": str(s.share_ppm)}
            for s in one.shares
        ],
        "proof": None
        if one.proof is None
        else {
            "number": str(one.proof.number),
            "index": str(one.proof.index),
            "path": [node.hex() for node in one.proof.path],
        },
    }


_REQUIRED: Final = ("settlement_id", "program", "event_id", "vehicle_id", "run_id")


def booking(value: object, where: str) -> Booking:
    fields = Fields(
        value,
        where,
        ("settlement", "lines", "entries", "supersedes", "before", "shares", "proof"),
    )
    settlement = _sealed_row(fields.raw("settlement"), f"{where}.settlement")
    for name in _REQUIRED:
        if not isinstance(settlement.get(name), str):
            raise PackError(f"{where}.settlement.{name}", "missing", "text")
    shares = None if fields.raw("shares") is None else fields.items("shares")
    return Booking(
        settlement=settlement,
        lines=tuple(_sealed_row(*item) for item in fields.items("lines")),
        entries=tuple(_sealed_row(*item) for item in fields.items("entries")),
        supersedes=fields.text_or_none("supersedes"),
        before=tuple(
            Allocation(a.text("role"), a.text("account"), a.integer("amount_minor"))
            for a in (
                Fields(*item, ("role", "account", "amount_minor"))
                for item in fields.items("before")
            )
        ),
        shares=None
        if shares is None
        else tuple(
            Share(s.text("role"), s.text("account"), s.integer("share_ppm"))
            for s in (Fields(*item, ("role", "account", "share_ppm")) for item in shares)
        ),
        proof=_proof(fields.raw("proof"), f"{where}.proof"),
    )


def _sealed_row(value: object, where: str) -> Mapping[str, Any]:
    """A row as sealed: its values are hashed as they stand, so they are not typed here."""
    if not isinstance(value, dict):
        raise PackError(where, f"a {type(value).__name__}", "an object")
    return value


def _proof(value: object, where: str) -> Proof | None:
    if value is None:
        return None
    fields = Fields(value, where, ("number", "index", "path"))
    try:
        path = tuple(bytes.fromhex(node) for node in fields.texts("path"))
    except ValueError as error:
        raise PackError(f"{where}.path", "no hash", "hexadecimal digits") from error
    return Proof(fields.integer("number"), fields.integer("index"), path)


_COUNTS: Final = ("number", "first", "last", "leaves")
_HASHES: Final = ("root", "previous", "seal_digest")


def seal_text(one: Seal) -> dict[str, object]:
    return {
        **{name: str(getattr(one, name)) for name in _COUNTS},
        **{name: getattr(one, name).hex() for name in _HASHES},
        "sealed_at": time_text(one.sealed_at),
    }


def seal(value: object, where: str) -> Seal:
    fields = Fields(value, where, (*_COUNTS, *_HASHES, "sealed_at"))
    return Seal(
        number=fields.integer("number"),
        first=fields.integer("first"),
        last=fields.integer("last"),
        leaves=fields.integer("leaves"),
        root=fields.digest("root"),
        previous=fields.digest("previous"),
        sealed_at=fields.time("sealed_at"),
        seal_digest=fields.digest("seal_digest"),
    )
