"""Documents about devices: DeviceCapability, Time, EndDevice, Registration, assignments, DER."""

from typing import Final

from simulators.sep2.clock import epoch
from simulators.sep2.desk import Desk, Entry, link
from simulators.sep2.events import head
from simulators.sep2.markup import Markup, joined, node
from simulators.sep2.modes import active_power
from simulators.sep2.price_pages import tariff_list, tariffs_of
from simulators.sep2.program_pages import program_list, programs_of
from simulators.sep2.records import Device, Settings
from simulators.sep2.world import mrid_of

TIME_QUALITY: Final = 4
"""Obtained from a level 3 source (Time.quality)."""

EVSE: Final = 82
"""DERType."""

DER_DOCUMENTS: Final = {
    "dera": "DERAvailability",
    "dercap": "DERCapability",
    "derg": "DERSettings",
    "ders": "DERStatus",
}
"""What a client may put, by the last part of the path."""


def device_page(desk: Desk, parts: list[str]) -> Markup | bytes | None:
    """The document at that path; bytes are what a client has put. None: there is none."""
    match parts:
        case ["dcap"]:
            return _capability(desk)
        case ["tm"]:
            return _time(desk)
        case ["edev"]:
            entries = [Entry(end_device(device)) for device in desk.devices]
            return desk.listed(
                "EndDeviceList", "/edev", entries, pollRate=desk.world.poll_rates_s["edev"]
            )
        case ["edev", number, *rest]:
            device = desk.device(number)
            return None if device is None else _of_device(desk, device, rest)
    return None


def end_device(device: Device) -> Markup:
    """An EndDevice."""
    href = f"/edev/{device.number}"
    return node(
        "EndDevice",
        link("DERListLink", f"{href}/der", 1),
        node("lFDI", device.lfdi),
        node("sFDI", device.sfdi),
        node("changedTime", epoch(device.since)),
        node("enabled", True),
        link("FunctionSetAssignmentsListLink", f"{href}/fsa", 1),
        link("RegistrationLink", f"{href}/rg"),
        href=href,
    )


def _capability(desk: Desk) -> Markup:
    return node(
        "DeviceCapability",
        link("ResponseSetListLink", "/rsps", 1),
        link("TimeLink", "/tm"),
        link("EndDeviceListLink", "/edev", len(desk.devices)),
        href="/dcap",
        pollRate=desk.world.poll_rates_s["dcap"],
    )


def _time(desk: Desk) -> Markup:
    return node(
        "Time",
        node("currentTime", desk.world.clock.seconds()),
        node("dstEndTime", 0),
        node("dstOffset", 0),
        node("dstStartTime", 0),
        node("quality", TIME_QUALITY),
        node("tzOffset", 0),
        href="/tm",
        pollRate=desk.world.poll_rates_s["tm"],
    )


def _of_device(desk: Desk, device: Device, rest: list[str]) -> Markup | bytes | None:
    href = f"/edev/{device.number}"
    match rest:
        case []:
            return end_device(device)
        case ["rg"]:
            return node(
                "Registration",
                node("dateTimeRegistered", epoch(device.since)),
                node("pIN", device.pin),
                href=f"{href}/rg",
            )
        case ["fsa"]:
            entries = [Entry(_assignments(desk, device))]
            rate = desk.world.poll_rates_s["fsa"]
            return desk.listed("FunctionSetAssignmentsList", f"{href}/fsa", entries, pollRate=rate)
        case ["fsa", "1"]:
            return _assignments(desk, device)
        case ["fsa", "1", "derp"]:
            return program_list(desk, device)
        case ["fsa", "1", "tp"]:
            return tariff_list(desk, device)
        case ["der"]:
            rate = desk.world.poll_rates_s["edev"]
            return desk.listed("DERList", f"{href}/der", [Entry(_der(device))], pollRate=rate)
        case ["der", "1"]:
            return _der(device)
        case ["der", "1", name] if name in DER_DOCUMENTS:
            return device.put.get(name) or _der_document(device, name)
    return None


def _assignments(desk: Desk, device: Device) -> Markup:
    href = f"/edev/{device.number}/fsa/1"
    return node(
        "FunctionSetAssignments",
        link("DERProgramListLink", f"{href}/derp", len(programs_of(desk, device))),
        link("TariffProfileListLink", f"{href}/tp", len(tariffs_of(desk, device))),
        link("TimeLink", "/tm"),
        head(mrid_of(f"assignments {device.lfdi}"), None, None),
        href=href,
    )


def _der(device: Device) -> Markup:
    href = f"/edev/{device.number}/der/1"
    links = (link(f"{title}Link", f"{href}/{name}") for name, title in DER_DOCUMENTS.items())
    return node("DER", joined(links), href=href)


def _der_document(device: Device, name: str) -> Markup | None:
    settings = device.settings
    if settings is None or name not in {"derg", "dercap"}:
        return None
    href = f"/edev/{device.number}/der/1/{name}"
    if name == "derg":
        return node(
            "DERSettings",
            node("setGradW", 0),
            _rates(settings, "set"),
            node("updatedTime", epoch(device.since)),
            href=href,
        )
    return node(
        "DERCapability",
        node("modesSupported", "00000000"),
        _rates(settings, "rtg"),
        node("type", EVSE),
        href=href,
    )


def _rates(settings: Settings, prefix: str) -> Markup:
    watts = (
        ("MaxChargeRateW", settings.max_charge_w),
        ("MaxDischargeRateW", settings.max_discharge_w),
        ("MaxW", settings.max_w),
    )
    return joined(active_power(f"{prefix}{name}", w) for name, w in watts if w is not None)
