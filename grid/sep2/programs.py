"""Where things are: the documents that lead from a server's root to programs, devices and settings.

Links are addresses as the server wrote them; one that it does not offer is an empty text.
"""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Final

from grid.sep2 import identity
from grid.sep2.fields import (
    POLL_RATE_DEFAULT_S,
    UINT8_MAX,
    UINT16_MAX,
    UINT32_MAX,
    Fields,
    Page,
    one,
    page,
)
from grid.sep2.setpoints import Settings, scaled

__all__ = [
    "Assignment",
    "Capability",
    "Der",
    "Device",
    "DeviceSettings",
    "Program",
    "Registration",
    "assignments",
    "capability",
    "der_settings",
    "ders",
    "devices",
    "programs",
    "registration",
]

_MRID_MAX_BYTES: Final = 16
_LFDI_MAX_BYTES: Final = 20
_SFDI_MAX: Final = 2**40 - 1
_PIN_MAX: Final = 999_999
_TEXT_MAX_CHARS: Final = 1024


@dataclass(frozen=True, slots=True)
class Capability:
    """``DeviceCapability``: what a server offers, and where.

    Attributes:
        devices_all: how many devices it announces; None: not said. So of the other counts.
    """

    href: str
    poll_rate_s: int
    time_href: str
    devices_href: str
    devices_all: int | None
    self_device_href: str
    programs_href: str
    tariffs_href: str
    assignments_href: str
    responses_href: str
    mirrors_href: str


@dataclass(frozen=True, slots=True)
class Device:
    """One ``EndDevice``.

    Attributes:
        lfdi: 40 hexadecimal digits, upper case; empty: not said.
        sfdi: with its check digit.
        enabled: whether the server lets it take part; True where it does not say.
    """

    href: str
    lfdi: str
    sfdi: int
    changed_at: datetime
    enabled: bool
    assignments_href: str
    assignments_all: int | None
    ders_href: str
    registration_href: str


@dataclass(frozen=True, slots=True)
class Registration:
    """``Registration`` of a device."""

    href: str
    pin: int
    registered_at: datetime


@dataclass(frozen=True, slots=True)
class Assignment:
    """One ``FunctionSetAssignments``: the programs and tariffs of a group of devices."""

    href: str
    mrid: str
    description: str
    programs_href: str
    programs_all: int | None
    tariffs_href: str
    tariffs_all: int | None
    time_href: str


@dataclass(frozen=True, slots=True)
class Program:
    """One ``DERProgram``.

    Attributes:
        primacy: of overlapping controls those of the lower number are in force.
    """

    href: str
    mrid: str
    description: str
    version: int
    primacy: int
    controls_href: str
    controls_all: int | None
    active_controls_href: str
    default_control_href: str
    curves_href: str


@dataclass(frozen=True, slots=True)
class Der:
    """One ``DER`` of a device."""

    href: str
    settings_href: str
    capability_href: str
    status_href: str


@dataclass(frozen=True, slots=True)
class DeviceSettings(Settings):
    """``DERSettings``, and when the device set them."""

    href: str = ""
    updated_at: datetime | None = None


def capability(body: bytes, *, where: str) -> Capability:
    """A server's root document, ``/dcap``.

    Raises:
        Sep2Error: it cannot be read. So of each function here; of a list, an item that cannot be read
            is in ``refused`` instead.
    """
    return one(body, where=where, root="DeviceCapability", read=_capability)


def devices(body: bytes, *, where: str) -> Page[Device]:
    """The devices of an ``EndDeviceList``, or the one of an ``EndDevice``."""
    return page(body, where=where, roots=["EndDeviceList"], item="EndDevice", read=_device)


def registration(body: bytes, *, where: str) -> Registration:
    """The registration of a device."""
    return one(body, where=where, root="Registration", read=_registration)


def assignments(body: bytes, *, where: str) -> Page[Assignment]:
    """The items of a ``FunctionSetAssignmentsList``, or the one document."""
    return page(
        body,
        where=where,
        roots=["FunctionSetAssignmentsList"],
        item="FunctionSetAssignments",
        read=_assignment,
    )


def programs(body: bytes, *, where: str) -> Page[Program]:
    """The programs of a ``DERProgramList``, or the one of a ``DERProgram``."""
    return page(body, where=where, roots=["DERProgramList"], item="DERProgram", read=_program)


def ders(body: bytes, *, where: str) -> Page[Der]:
    """The items of a ``DERList``, or the one of a ``DER``."""
    return page(body, where=where, roots=["DERList"], item="DER", read=_der)


def der_settings(body: bytes, *, where: str) -> DeviceSettings:
    """What 100 % are, for ``setpoints.watts``."""
    return one(body, where=where, root="DERSettings", read=_settings)


def _capability(fields: Fields) -> Capability:
    return Capability(
        href=fields.href(""),
        poll_rate_s=fields.attribute_whole(
            "pollRate", low=0, high=UINT32_MAX, default=POLL_RATE_DEFAULT_S
        ),
        time_href=fields.href("TimeLink"),
        devices_href=fields.href("EndDeviceListLink"),
        devices_all=fields.count("EndDeviceListLink"),
        self_device_href=fields.href("SelfDeviceLink"),
        programs_href=fields.href("DERProgramListLink"),
        tariffs_href=fields.href("TariffProfileListLink"),
        assignments_href=fields.href("FunctionSetAssignmentsListLink"),
        responses_href=fields.href("ResponseSetListLink"),
        mirrors_href=fields.href("MirrorUsagePointListLink"),
    )


def _device(fields: Fields) -> Device:
    lfdi = fields.hexadecimal("lFDI", bytes_max=_LFDI_MAX_BYTES, default="").upper()
    if lfdi and len(lfdi) != identity.LFDI_CHARS:
        raise fields.error("lFDI", repr(lfdi), f"{identity.LFDI_CHARS} hexadecimal digits")
    sfdi = fields.whole("sFDI", low=0, high=_SFDI_MAX)
    if not identity.sfdi_fits(sfdi):
        raise fields.error("sFDI", str(sfdi), "36 bits and a digit that checks them")
    return Device(
        href=fields.href(""),
        lfdi=lfdi,
        sfdi=sfdi,
        changed_at=fields.moment("changedTime", low=0),
        enabled=fields.truth("enabled", default=True),
        assignments_href=fields.href("FunctionSetAssignmentsListLink"),
        assignments_all=fields.count("FunctionSetAssignmentsListLink"),
        ders_href=fields.href("DERListLink"),
        registration_href=fields.href("RegistrationLink"),
    )


def _registration(fields: Fields) -> Registration:
    return Registration(
        href=fields.href(""),
        pin=fields.whole("pIN", low=0, high=_PIN_MAX),
        registered_at=fields.moment("dateTimeRegistered", low=0),
    )


def _assignment(fields: Fields) -> Assignment:
    return Assignment(
        href=fields.href(""),
        mrid=fields.hexadecimal("mRID", bytes_max=_MRID_MAX_BYTES),
        description=fields.text("description", default="", longest=_TEXT_MAX_CHARS),
        programs_href=fields.href("DERProgramListLink"),
        programs_all=fields.count("DERProgramListLink"),
        tariffs_href=fields.href("TariffProfileListLink"),
        tariffs_all=fields.count("TariffProfileListLink"),
        time_href=fields.href("TimeLink"),
    )


def _program(fields: Fields) -> Program:
    return Program(
        href=fields.href(""),
        mrid=fields.hexadecimal("mRID", bytes_max=_MRID_MAX_BYTES),
        description=fields.text("description", default="", longest=_TEXT_MAX_CHARS),
        version=fields.whole("version", low=0, high=UINT16_MAX, default=0),
        primacy=fields.whole("primacy", low=0, high=UINT8_MAX),
        controls_href=fields.href("DERControlListLink"),
        controls_all=fields.count("DERControlListLink"),
        active_controls_href=fields.href("ActiveDERControlListLink"),
        default_control_href=fields.href("DefaultDERControlLink"),
        curves_href=fields.href("DERCurveListLink"),
    )


def _der(fields: Fields) -> Der:
    return Der(
        href=fields.href(""),
        settings_href=fields.href("DERSettingsLink"),
        capability_href=fields.href("DERCapabilityLink"),
        status_href=fields.href("DERStatusLink"),
    )


def _settings(fields: Fields) -> DeviceSettings:
    def power(name: str) -> Decimal | None:
        found = fields.child(name)
        return None if found is None else scaled(found)

    updated = fields.child("updatedTime")
    return DeviceSettings(
        max_w=power("setMaxW"),
        max_charge_w=power("setMaxChargeRateW"),
        max_discharge_w=power("setMaxDischargeRateW"),
        href=fields.href(""),
        updated_at=fields.moment("updatedTime", low=0) if updated is not None else None,
    )
