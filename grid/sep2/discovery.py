"""From the DeviceCapability to what concerns us, by following links; no path is ever guessed.

    DeviceCapability → Time
                     → EndDeviceList → EndDevice → FunctionSetAssignments → DERPrograms, TariffProfiles
                                                                          → Time (of these alone)
                     → DERPrograms, TariffProfiles that hang at the root

Events run on the clock of the Time that stands beside them (clause 11.3); where that is too far off,
what hangs beside it is left out, by name. The clock at the root is everybody's.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field, replace
from typing import Generic, TypeVar

from grid.errors import GridFeedError
from grid.records import ClockReading, Document, Refusal
from grid.sep2 import identity, programs, tariffs
from grid.sep2.client import Client
from grid.sep2.errors import Sep2Error
from grid.sep2.paging import as_refusal
from grid.sep2.programs import Assignment, Capability, Device, Program
from grid.sep2.tariffs import Tariff
from grid.sep2.tls import OwnCertificate

__all__ = ["Found", "Place", "discover"]

P = TypeVar("P", Program, Tariff)


@dataclass(slots=True)
class Place(Generic[P]):
    """A program or a tariff at one address, and for whom.

    Attributes:
        lfdis: of the devices that it was found for, upper case.
    """

    said: P
    where: str
    lfdis: set[str] = field(default_factory=set)


@dataclass(slots=True)
class Found:
    """What a server shows us.

    Attributes:
        clock: of the root; None where only other places have one.
        devices: those looked at, ours among them.
        programs: by address, in the order of finding.
        tariffs: the same.
        poll_rates_s: of the lists on the way.
    """

    clock: ClockReading | None = None
    devices: list[Device] = field(default_factory=list)
    programs: dict[str, Place[Program]] = field(default_factory=dict)
    tariffs: dict[str, Place[Tariff]] = field(default_factory=dict)
    poll_rates_s: list[int] = field(default_factory=list)


def discover(client: Client, root: str, own: OwnCertificate, *, lfdis: Collection[str]) -> Found:
    """Look at all that concerns these devices.

    Args:
        client: of this reading.
        root: address of the DeviceCapability.
        own: who we are.
        lfdis: of the devices that are looked at, any case; empty: all that are shown to us.

    Raises:
        ClockOffError: the clock of the root.
        GridFeedError, Sep2Error: the root or its clock cannot be had, or cannot be read.
    """
    found = Found()
    capability, _ = client.one(root, programs.capability)
    if capability.time_href:
        found.clock = client.measure(capability.time_href)
    _root(client, capability, found, own)
    if capability.devices_href:
        _devices(client, capability, own, {one.upper() for one in lfdis}, found)
    else:
        client.refuse(Refusal(root, "no EndDeviceListLink", "the list of devices, ours among them"))
    for device in found.devices:
        if device.assignments_href:
            _assigned(client, device.assignments_href, device.lfdi, found)
    return found


def _root(client: Client, capability: Capability, found: Found, own: OwnCertificate) -> None:
    """What hangs at the root itself is for whoever asks: for us."""
    if not capability.time_href and (capability.programs_href or capability.tariffs_href):
        client.refuse(Refusal(capability.href, "no TimeLink", "the clock on which its events run"))
        return
    if capability.programs_href:
        _programs(client, capability.programs_href, own.lfdi, found)
    if capability.tariffs_href:
        _tariffs(client, capability.tariffs_href, own.lfdi, found)
    if capability.assignments_href:
        _assigned(client, capability.assignments_href, own.lfdi, found)


def _devices(
    client: Client,
    capability: Capability,
    own: OwnCertificate,
    wanted: set[str],
    found: Found,
) -> None:
    shown = client.listed(
        capability.devices_href, programs.devices, lambda one: one.href or str(one.sfdi)
    )
    found.poll_rates_s += [shown.poll_rate_s] if shown.poll_rate_s is not None else []
    known: set[str] = set()
    for device, document in shown.each():
        where = f"{document.href}, {device.href or device.sfdi}"
        if device.lfdi and identity.sfdi(device.lfdi) != device.sfdi:
            client.refuse(
                Refusal(
                    where,
                    f"sFDI {device.sfdi} beside lFDI {device.lfdi}",
                    f"{identity.sfdi(device.lfdi)}, which follows from it",
                )
            )
            continue
        # Without an LFDI the short form decides, which our own certificate's must equal.
        lfdi = device.lfdi or (own.lfdi if device.sfdi == own.sfdi else "")
        known.add(lfdi)
        if not device.enabled:
            client.refuse(Refusal(where, "enabled=false", "true: ask the utility to enable it"))
        elif lfdi and (not wanted or lfdi in wanted or lfdi == own.lfdi):
            found.devices.append(replace(device, lfdi=lfdi))
    if own.lfdi not in known:
        client.refuse(
            Refusal(
                capability.devices_href,
                f"no EndDevice with LFDI {own.lfdi}",
                f"ourselves: give the utility this LFDI and the SFDI {own.sfdi} to register",
            )
        )
    for lfdi in sorted(wanted - known):
        client.refuse(
            Refusal(
                capability.devices_href,
                f"no EndDevice with LFDI {lfdi}",
                "each of `devices`: ask the utility to register it with us, or take it out",
            )
        )


def _assigned(client: Client, href: str, lfdi: str, found: Found) -> None:
    shown = client.listed(href, programs.assignments, lambda one: one.href or one.mrid)
    found.poll_rates_s += [shown.poll_rate_s] if shown.poll_rate_s is not None else []
    for assignment, document in shown.each():
        if not _on_time(client, assignment, document.href, found):
            continue
        if assignment.programs_href:
            _programs(client, assignment.programs_href, lfdi, found)
        if assignment.tariffs_href:
            _tariffs(client, assignment.tariffs_href, lfdi, found)


def _on_time(client: Client, assignment: Assignment, where: str, found: Found) -> bool:
    """Whether the clock of an assignment may be trusted; without one of its own the root's holds."""
    if not assignment.time_href:
        if found.clock is None:
            client.refuse(Refusal(where, "no TimeLink", "the clock on which its events run"))
        return found.clock is not None
    try:
        reading = client.measure(assignment.time_href)
    except (GridFeedError, Sep2Error) as error:
        client.miss(as_refusal(error))
        return False
    if found.clock is None:
        found.clock = reading
    return True


def _programs(client: Client, href: str, lfdi: str, found: Found) -> None:
    shown = client.listed(href, programs.programs, lambda one: one.href or one.mrid)
    found.poll_rates_s += [shown.poll_rate_s] if shown.poll_rate_s is not None else []
    _add(found.programs, shown.each(), lfdi)


def _tariffs(client: Client, href: str, lfdi: str, found: Found) -> None:
    shown = client.listed(href, tariffs.tariffs, lambda one: one.href or one.mrid)
    found.poll_rates_s += [shown.poll_rate_s] if shown.poll_rate_s is not None else []
    _add(found.tariffs, shown.each(), lfdi)


def _add(places: dict[str, Place[P]], shown: Iterable[tuple[P, Document]], lfdi: str) -> None:
    for said, document in shown:
        place = places.setdefault(said.href or said.mrid, Place(said, document.href))
        place.lfdis.add(lfdi)
