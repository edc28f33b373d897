"""What a running server said: every value that is read, against ElementTree and the library's models.

The documents are not part of this repository; where they are absent, the tests of documents of our own
making stand for them.
"""

import re
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import Element

import pytest
from defusedxml import ElementTree  # type: ignore[import-untyped]
from py20305.models import sep
from py20305.models.csipaus.elements import doe_limits
from py20305.xml import from_xml

from grid.sep2 import controls, documents, programs, tariffs, tm, validation
from grid.sep2.stored import read
from grid.sep2.stored_prices import priced
from tests.grid.sep2.written import CSIPAUS, NAMESPACE

REAL = Path(__file__).parents[4] / "shared" / "data" / "sep2"
NS = {"s": NAMESPACE, "c": CSIPAUS}

pytestmark = pytest.mark.skipif(not REAL.is_dir(), reason="no documents of a real server here")

FILES = sorted(REAL.glob("*.xml"))
KINDS: dict[str, Callable[..., Any]] = {
    "DeviceCapability": programs.capability,
    "Time": tm.server_time,
    "EndDeviceList": programs.devices,
    "EndDevice": programs.devices,
    "Registration": programs.registration,
    "FunctionSetAssignmentsList": programs.assignments,
    "FunctionSetAssignments": programs.assignments,
    "DERProgramList": programs.programs,
    "DERControlList": controls.controls,
    "DefaultDERControl": controls.default_control,
    "TariffProfileList": tariffs.tariffs,
    "RateComponentList": tariffs.components,
    "TimeTariffIntervalList": tariffs.intervals,
    "TimeTariffInterval": tariffs.intervals,
    "ConsumptionTariffIntervalList": tariffs.steps,
    "ReadingType": tariffs.reading,
}


def root_of(file: Path) -> Element:
    root: Element = ElementTree.fromstring(file.read_bytes())
    return root


def said(element: Element, path: str) -> str:
    """What stands at a path; empty where nothing does."""
    return element.findtext("/".join(f"s:{step}" for step in path.split("/")), "", NS) or ""


def link(element: Element, name: str) -> str:
    found = element.find(f"s:{name}", NS)
    return "" if found is None else found.attrib["href"]


def count(element: Element, name: str) -> int | None:
    found = element.find(f"s:{name}", NS)
    return None if found is None or "all" not in found.attrib else int(found.attrib["all"])


def moment(element: Element, path: str) -> datetime:
    return datetime.fromtimestamp(int(said(element, path)), UTC)


def number(element: Element, path: str, default: int = 0) -> int:
    return int(said(element, path) or default)


def happening(one: Element) -> dict[str, Any]:
    return {
        "mrid": said(one, "mRID").lower(),
        "version": number(one, "version"),
        "created_at": moment(one, "creationTime"),
        "started_at": moment(one, "interval/start"),
        "duration_s": number(one, "interval/duration"),
        "status": number(one, "EventStatus/currentStatus"),
        "status_at": moment(one, "EventStatus/dateTime"),
        "randomize_start_s": number(one, "randomizeStart"),
        "randomize_duration_s": number(one, "randomizeDuration"),
        "href": one.attrib["href"],
        "reply_to": one.attrib["replyTo"],
        "response_required": int(one.attrib["responseRequired"], 16),
        "description": said(one, "description"),
    }


def control(one: Element) -> dict[str, Any]:
    base = one.find("s:DERControlBase", NS)
    assert base is not None
    modes, numbers = [], {}
    for each in base:
        name = each.tag.replace(f"{{{NAMESPACE}}}", "").replace(f"{{{CSIPAUS}}}", "csipaus:")
        modes.append(name)
        if name == "opModFixedW":
            numbers[name] = (Decimal(each.text or "") / 100, "%")
        else:
            value, power = said(each, "value"), said(each, "multiplier")
            numbers[name] = (Decimal(f"{value}e{power}"), "W")
    return {**happening(one), "modes": tuple(sorted(modes)), "numbers": numbers}


def device(one: Element) -> dict[str, Any]:
    return {
        "href": one.attrib["href"],
        "lfdi": said(one, "lFDI"),
        "sfdi": number(one, "sFDI"),
        "changed_at": moment(one, "changedTime"),
        "enabled": said(one, "enabled") == "true",
        "assignments_href": link(one, "FunctionSetAssignmentsListLink"),
        "assignments_all": count(one, "FunctionSetAssignmentsListLink"),
        "ders_href": link(one, "DERListLink"),
        "registration_href": link(one, "RegistrationLink"),
    }


def assignment(one: Element) -> dict[str, Any]:
    return {
        "href": one.attrib["href"],
        "mrid": said(one, "mRID"),
        "description": said(one, "description"),
        "programs_href": link(one, "DERProgramListLink"),
        "programs_all": count(one, "DERProgramListLink"),
        "tariffs_href": link(one, "TariffProfileListLink"),
        "tariffs_all": count(one, "TariffProfileListLink"),
        "time_href": link(one, "TimeLink"),
    }


def program(one: Element) -> dict[str, Any]:
    return {
        "href": one.attrib["href"],
        "mrid": said(one, "mRID"),
        "description": said(one, "description"),
        "version": number(one, "version"),
        "primacy": number(one, "primacy"),
        "controls_href": link(one, "DERControlListLink"),
        "controls_all": count(one, "DERControlListLink"),
        "active_controls_href": link(one, "ActiveDERControlListLink"),
        "default_control_href": link(one, "DefaultDERControlLink"),
        "curves_href": link(one, "DERCurveListLink"),
    }


def tariff(one: Element) -> dict[str, Any]:
    return {
        "href": one.attrib["href"],
        "mrid": said(one, "mRID"),
        "description": said(one, "description"),
        "currency": {"840": "USD"}[said(one, "currency")],
        "power_of_ten": number(one, "pricePowerOfTenMultiplier"),
        "primacy": number(one, "primacy"),
        "rate_code": said(one, "rateCode"),
        "service": number(one, "serviceCategoryKind"),
        "components_href": link(one, "RateComponentListLink"),
    }


def component(one: Element) -> dict[str, Any]:
    return {
        "href": one.attrib["href"],
        "mrid": said(one, "mRID"),
        "description": said(one, "description"),
        "reading_href": link(one, "ReadingTypeLink"),
        "intervals_href": link(one, "TimeTariffIntervalListLink"),
        "role_flags": said(one, "roleFlags"),
    }


def interval(one: Element) -> dict[str, Any]:
    steps_href = link(one, "ConsumptionTariffIntervalListLink")
    return {**happening(one), "tou_tier": number(one, "touTier"), "steps_href": steps_href}


def step(one: Element) -> dict[str, Any]:
    return {
        "href": one.attrib["href"],
        "block": number(one, "consumptionBlock"),
        "number": number(one, "price"),
        "start": number(one, "startValue"),
    }


def reading(one: Element) -> dict[str, Any]:
    return {
        "href": one.attrib["href"],
        "uom": number(one, "uom"),
        "power_of_ten": number(one, "powerOfTenMultiplier"),
        "flow": number(one, "flowDirection"),
        "commodity": number(one, "commodity"),
    }


def capability(one: Element) -> dict[str, Any]:
    return {
        "href": one.attrib["href"],
        "poll_rate_s": int(one.attrib["pollRate"]),
        "time_href": link(one, "TimeLink"),
        "devices_href": link(one, "EndDeviceListLink"),
        "devices_all": count(one, "EndDeviceListLink"),
        "mirrors_href": link(one, "MirrorUsagePointListLink"),
        "programs_href": link(one, "DERProgramListLink"),
        "tariffs_href": link(one, "TariffProfileListLink"),
        "assignments_href": link(one, "FunctionSetAssignmentsListLink"),
        "responses_href": link(one, "ResponseSetListLink"),
        "self_device_href": link(one, "SelfDeviceLink"),
    }


def registration(one: Element) -> dict[str, Any]:
    return {
        "href": one.attrib["href"],
        "pin": number(one, "pIN"),
        "registered_at": moment(one, "dateTimeRegistered"),
    }


def server_time(one: Element) -> dict[str, Any]:
    return {
        "href": one.attrib["href"],
        "now": moment(one, "currentTime"),
        "quality": number(one, "quality"),
        "zone_offset_s": number(one, "tzOffset"),
        "poll_rate_s": int(one.attrib.get("pollRate", "900")),
    }


def default_control(one: Element) -> dict[str, Any]:
    return {
        "mrid": said(one, "mRID"),
        "version": number(one, "version"),
        "href": one.attrib["href"],
        "modes": (),
        "setpoints": (),
        "disabled": (),
    }


BY_OTHER_HAND = {
    "DERControl": control,
    "EndDevice": device,
    "FunctionSetAssignments": assignment,
    "DERProgram": program,
    "TariffProfile": tariff,
    "RateComponent": component,
    "TimeTariffInterval": interval,
    "ConsumptionTariffInterval": step,
    "ReadingType": reading,
    "DeviceCapability": capability,
    "Registration": registration,
    "Time": server_time,
    "DefaultDERControl": default_control,
}


def fields_of(item: Any) -> dict[str, Any]:
    """All that was read of an item, but for its place and bytes, which other tests look at."""
    found = {name: getattr(item, name) for kind in type(item).__mro__ for name in slots(kind)}
    for name in ("raw", "line"):
        found.pop(name, None)
    if "setpoints" in found and not isinstance(item, controls.DefaultControl):
        found["numbers"] = {one.mode: (one.value, one.unit) for one in found.pop("setpoints")}
        assert found.pop("disabled") == ()
        assert found.pop("device_category") == ""
    return found


def slots(kind: type) -> tuple[str, ...]:
    return tuple(getattr(kind, "__slots__", ()))


def test_there_are_twenty_and_each_has_a_reader():
    assert len(FILES) >= 20
    assert {root_of(file).tag.removeprefix(f"{{{NAMESPACE}}}") for file in FILES} <= set(KINDS)


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_what_is_read_equals_what_the_document_says(file: Path):
    # given another reading of it
    root = root_of(file)
    kind = root.tag.removeprefix(f"{{{NAMESPACE}}}")
    item = kind.removesuffix("List")
    elements = root.findall(f"s:{item}", NS) if kind.endswith("List") else [root]
    expected = [BY_OTHER_HAND[item](one) for one in elements]

    # when
    made = KINDS[kind](file.read_bytes(), where=file.name)

    # then
    if kind in {"ReadingType", "DeviceCapability", "Registration", "Time", "DefaultDERControl"}:
        assert [fields_of(made)] == expected
        return
    assert made.refused == ()
    assert [fields_of(one) for one in made.items] == expected
    if kind.endswith("List"):
        assert made.href == root.get("href", "")
        assert made.all == int(root.attrib["all"]) == made.results == len(made.items)
        assert made.poll_rate_s == int(root.get("pollRate", "900"))


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_the_librarys_model_is_what_the_library_itself_makes(file: Path):
    made = documents.parse(file.read_bytes(), where=file.name)
    assert made == from_xml(file.read_bytes(), type(made))


def test_controls_are_what_the_librarys_models_say():
    seen = 0
    for file in REAL.glob("*DERControlList*"):
        modelled = from_xml(file.read_bytes(), sep.DercontrolList).dercontrol
        for one, model in zip(
            controls.controls(file.read_bytes(), where="").items, modelled, strict=True
        ):
            seen += 1
            assert one.mrid == model.m_rid.value.hex()
            assert one.started_at.timestamp() == model.interval.start.value
            assert one.duration_s == model.interval.duration
            assert one.status == model.event_status.current_status
            numbers = {point.mode: point.value for point in one.setpoints}
            fixed = model.dercontrol_base.op_mod_fixed_w
            assert numbers.pop("opModFixedW", None) == (
                None if fixed is None else Decimal(fixed.value) / 100
            )
            assert numbers == {
                f"csipaus:{name}": value * 10**power
                for name, (value, power) in doe_limits(model.dercontrol_base).items()
            }
    assert seen == 5


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_nothing_of_a_document_is_lost_in_its_canonical_bytes(file: Path):
    # given its elements, as ElementTree has them, extensions and unknown ones among them
    kept = documents.canonical(documents.tree(file.read_bytes(), where=file.name))
    assert list(walked(ElementTree.fromstring(kept))) == list(walked(root_of(file)))
    # and the extensions are among them
    for name in re.findall(rb"<csipaus:(\w+)", file.read_bytes()):
        assert name in kept


def walked(root: Element):
    return ((one.tag, sorted(one.attrib.items()), (one.text or "").strip()) for one in root.iter())


def test_the_documents_together_give_one_export_price():
    # when
    found = read([(file.name, file.read_bytes()) for file in FILES])
    made = priced(found)

    # then: 2145 ten-thousandths of a dollar per kWh that flows back
    assert found.refused == []
    assert made.refused == ()
    ((price, where),) = made.prices
    assert (price.micros_per_kwh, price.currency, price.flow) == (214_500, "USD", 19)
    assert price.started_at == datetime(2026, 11, 23, 2, 20, tzinfo=UTC)
    assert price.ended_at == datetime(2026, 11, 23, 2, 25, tzinfo=UTC)
    assert where == "22_TimeTariffIntervalList_export.xml"
    # the others' numbers were not captured, and are not guessed from their addresses
    assert len([one for one in made.missing if "/cti/" in one.found]) == 3


def test_controls_find_the_program_that_links_to_their_list():
    placed, refused = read([(file.name, file.read_bytes()) for file in FILES]).controls()
    assert refused == []
    assert [
        (one.control.mrid[:26], one.program.item.primacy, one.program.item.description)
        for one in placed
        if one.program is not None
    ] == [
        ("30000000000000000000000100", 1, "Default control group"),
        ("30000000000000000000000200", 0, "Grid stress V2G"),
        ("30000000000000000000000300", 0, "Grid stress V2G"),
        ("30000000000000000000000400", 0, "Grid stress V2G"),
    ]
    assert len(placed) == 4


def test_what_is_against_a_schema_is_known_by_edition():
    found = {
        edition: {
            file.name
            for file in FILES
            if validation.findings(file.read_bytes(), where=file.name, edition=edition)
        }
        for edition in validation.EDITIONS
    }
    # the connection point of CSIP-Aus is against both, its limits against the older one
    assert found[2023] == {"05_edev_list.xml", "06_edev_one.xml"}
    assert found[2018] >= found[2023] | {"13_DERControlList_p1.xml", "13_DERControlList_p2.xml"}
