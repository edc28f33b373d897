"""Where things are: programs, devices, assignments and the clock, as another hand writes them."""

from datetime import UTC, datetime

import pytest

from grid.sep2 import programs, tm
from grid.sep2.errors import Sep2Error
from grid.sep2.fields import POLL_RATE_DEFAULT_S
from tests.grid.sep2 import written
from tests.grid.sep2.written import element

LFDI = "3E4F45AB31EDFE5B67E343E5E4562E31984E23E5"


def device(*more: str, lfdi: str = LFDI, sfdi: object = 167261211391) -> str:
    return element(
        "EndDevice",
        '<DERListLink href="/edev/1/der" all="1"/>',
        element("deviceCategory", "2000000"),  # seven digits, as a server in the field sends
        element("lFDI", lfdi),
        element("sFDI", sfdi),
        element("changedTime", 0),
        *more,
        href="/edev/1",
    )


def devices(*each: str) -> bytes:
    return written.document(element("EndDeviceList", *each, all=len(each), results=len(each)))


def test_a_device_is_who_it_is_and_where_its_things_are():
    more = (
        element("enabled", "false"),
        '<FunctionSetAssignmentsListLink href="/edev/1/fsa" all="2"/>',
        '<RegistrationLink href="/edev/1/rg"/>',
    )
    (read,) = programs.devices(devices(device(*more)), where="").items
    assert (read.lfdi, read.sfdi, read.enabled) == (LFDI, 167261211391, False)
    assert (read.assignments_href, read.assignments_all) == ("/edev/1/fsa", 2)
    assert (read.ders_href, read.registration_href) == ("/edev/1/der", "/edev/1/rg")
    # what decides nothing may be as old as it likes
    assert read.changed_at == datetime(1970, 1, 1, tzinfo=UTC)


def test_a_device_that_leaves_out_what_it_may():
    body = devices(device().replace(element("lFDI", LFDI), ""))
    (read,) = programs.devices(body, where="").items
    assert (read.lfdi, read.enabled, read.assignments_all) == ("", True, None)


@pytest.mark.parametrize(
    ("each", "said"),
    [
        (device(lfdi=LFDI[:-2]), "lFDI: '3e4f45"),
        (
            device(lfdi=LFDI + "00"),
            "lFDI: '3E4F45AB31EDFE5B67E343E5E4562E31984E23E500'; expected up to",
        ),
        (device(lfdi="X" * 40), "up to 20 bytes in hexadecimal"),
        (device(sfdi=167261211392), "sFDI: 167261211392; expected 36 bits and a digit that checks"),
        (device(sfdi=2**40), "sFDI: "),
        (device(element("enabled", "perhaps")), "enabled: 'perhaps'; expected true or false"),
        (device(element("lFDI", LFDI)), "lFDI: lFDI twice"),
    ],
)
def test_a_device_that_does_not_fit_is_refused_alone(each: str, said: str):
    page = programs.devices(devices(each, device()), where="/edev")
    assert len(page.items) == 1
    assert said.lower() in str(page.refused[0]).lower()


def test_programs_say_their_primacy_and_where_their_controls_are():
    body = written.document(
        element(
            "DERProgramList",
            element(
                "DERProgram",
                element("mRID", "20"),
                element("description", "Grid stress"),
                element("version", 3),
                '<ActiveDERControlListLink href="/derp/1/actderc" all="1"/>',
                '<DefaultDERControlLink href="/derp/1/dderc"/>',
                '<DERControlListLink href="/derp/1/derc" all="3"/>',
                '<DERCurveListLink href="/derp/1/dc" all="0"/>',
                element("primacy", 89),
                href="/derp/1",
            ),
            element("DERProgram", element("mRID", "21"), href="/derp/2"),
            all=2,
            results=2,
            pollRate=60,
        )
    )
    page = programs.programs(body, where="/derp")
    (read,) = page.items
    assert (read.mrid, read.description, read.version, read.primacy) == ("20", "Grid stress", 3, 89)
    assert (read.controls_href, read.controls_all) == ("/derp/1/derc", 3)
    assert read.active_controls_href == "/derp/1/actderc"
    assert (read.default_control_href, read.curves_href) == ("/derp/1/dderc", "/derp/1/dc")
    assert page.poll_rate_s == 60
    # one without primacy could not be weighed against others
    assert [str(one) for one in page.refused] == [
        "/derp, line 2, primacy: nothing; expected a value"
    ]


def test_assignments_lead_to_programs_and_tariffs():
    body = written.document(
        element(
            "FunctionSetAssignments",
            '<DERProgramListLink href="/fsa/1/derp" all="2"/>',
            '<TariffProfileListLink href="/fsa/1/tp"/>',
            '<TimeLink href="/tm"/>',
            element("mRID", "40"),
            element("description"),
            href="/fsa/1",
        )
    )
    (read,) = programs.assignments(body, where="").items
    assert (read.programs_href, read.programs_all) == ("/fsa/1/derp", 2)
    assert (read.tariffs_href, read.tariffs_all, read.time_href) == ("/fsa/1/tp", None, "/tm")


def test_a_server_says_what_it_offers():
    links = {
        "TimeLink": "/tm", "EndDeviceListLink": "/edev", "SelfDeviceLink": "/sdev",
        "DERProgramListLink": "/derp", "TariffProfileListLink": "/tp",
        "FunctionSetAssignmentsListLink": "/fsa", "ResponseSetListLink": "/rsps",
        "MirrorUsagePointListLink": "/mup",
    }  # fmt: skip
    parts = [f'<{name} href="{href}"/>' for name, href in links.items()]
    read = programs.capability(
        written.document(element("DeviceCapability", *parts, href="/dcap")), where=""
    )
    assert [
        read.time_href, read.devices_href, read.self_device_href, read.programs_href,
        read.tariffs_href, read.assignments_href, read.responses_href, read.mirrors_href,
    ] == list(links.values())  # fmt: skip
    assert (read.href, read.poll_rate_s, read.devices_all) == ("/dcap", POLL_RATE_DEFAULT_S, None)
    # a server that offers nothing says so
    none = programs.capability(written.document("<DeviceCapability></DeviceCapability>"), where="")
    assert (none.href, none.time_href, none.devices_href) == ("", "", "")


def test_ders_lead_to_their_settings():
    body = written.document(
        element(
            "DERList",
            element(
                "DER",
                '<DERCapabilityLink href="/der/1/dercap"/>',
                '<DERSettingsLink href="/der/1/derg"/>',
                '<DERStatusLink href="/der/1/ders"/>',
                href="/der/1",
            ),
            all=1,
            results=1,
        )
    )
    (read,) = programs.ders(body, where="").items
    assert (read.settings_href, read.capability_href) == ("/der/1/derg", "/der/1/dercap")
    assert read.status_href == "/der/1/ders"


def test_a_registration_has_its_pin():
    body = written.document(
        element("Registration", element("dateTimeRegistered", 0), element("pIN", 111115))
    )
    assert programs.registration(body, where="").pin == 111115
    with pytest.raises(Sep2Error, match="pIN: 1111150; expected a whole number from 0 to 999999"):
        programs.registration(body.replace(b"111115", b"1111150"), where="")


def time(now: object, **more: object) -> bytes:
    parts = [element(name, value) for name, value in ({"quality": 4} | more).items()]
    return written.document(element("Time", element("currentTime", now), *parts, href="/tm"))


def test_a_clock_says_seconds_also_when_it_is_far_off():
    read = tm.server_time(time(written.START, tzOffset=-18_000), where="")
    assert read.now == datetime.fromtimestamp(written.START, UTC)
    assert (read.quality, read.zone_offset_s) == (4, -18_000)
    # a clock that was never set is off, and can be read
    assert tm.server_time(time(5), where="").now == datetime(1970, 1, 1, 0, 0, 5, tzinfo=UTC)
    for wrong in (-1, "now", 10**11):
        with pytest.raises(Sep2Error, match="currentTime: "):
            tm.server_time(time(wrong), where="/tm")
