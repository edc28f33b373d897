"""What is found by following links: devices, programs, tariffs, clocks; and what is missing, by name."""

from datetime import timedelta
from decimal import Decimal

import pytest

from grid.sep2 import identity
from simulators.sep2 import FaultKind, Flow, Settings

ELSEWHERE = "B" * 40


def found(reading, words: str) -> list[str]:
    return [
        one.found for one in reading.refused if words in f"{one.where} {one.found} {one.expected}"
    ]


@pytest.fixture
def stress(site):
    soon = site.time.second + timedelta(minutes=10)
    program = site.world.add_program("Grid stress", primacy=0)
    site.world.add_control(program, start=soon, duration_s=900, modes={"opModTargetW": 5_000})
    return site


def test_no_address_is_guessed(stress):
    with stress.serve() as server:
        stress.read(server.url)
        asked = [one.path for one in server.trail]
    assert asked[0] == "/dcap"
    # What nobody links to, or leads to nothing that is needed, is not asked for.
    assert set(asked) <= {
        "/dcap",
        "/tm",
        "/edev",
        *(f"/edev/{n}/fsa{rest}" for n in (1, 2, 3) for rest in ("", "/1/derp", "/1/tp")),
        "/derp/1/derc",
        "/derp/1/dderc",
    }


def test_a_server_with_its_root_elsewhere_is_read_from_there(stress):
    with stress.serve() as server:
        server.faults.add(FaultKind.ERROR, path="/dcap", number=404)
        reading = None
        with pytest.raises(Exception, match="which must name its DeviceCapability"):
            reading = stress.read(server.url)
    assert reading is None


def test_devices_are_looked_at_by_lfdi_and_others_are_left_alone(stress):
    with stress.serve() as server:
        reading = stress.read(server.url, devices=[stress.devices[1].lower()])
        asked = {one.path for one in server.trail}
    assert {one.lfdi for one in reading.responses} == {stress.client_pair.lfdi, stress.devices[1]}
    assert "/edev/2/fsa" not in asked


def test_a_device_that_the_server_does_not_show_is_named(stress):
    with stress.serve() as server:
        reading = stress.read(server.url, devices=[ELSEWHERE, stress.devices[0]])
    assert found(reading, "each of `devices`") == [f"no EndDevice with LFDI {ELSEWHERE}"]


def test_we_say_what_the_utility_needs_to_register_us(stress):
    stress.world.devices[:] = [one for one in stress.world.devices if one.manager is not None]
    with stress.serve() as server:
        reading = stress.read(server.url)
    own = stress.client_pair.lfdi
    assert found(reading, f"SFDI {identity.sfdi(own)}") == [f"no EndDevice with LFDI {own}"]
    assert len(reading.events) == 1  # the devices that it does show are read all the same


def test_a_device_whose_two_identities_contradict_each_other_is_left_out(stress):
    device = stress.world.devices[1]
    device.sfdi = identity.sfdi("C" * 40)
    with stress.serve() as server:
        reading = stress.read(server.url)
    assert found(reading, f"beside lFDI {device.lfdi}")
    assert device.lfdi not in {one.lfdi for one in reading.responses}


def test_the_list_of_devices_may_have_pages(stress):
    stress.world.page_max = 1
    with stress.serve() as server:
        reading = stress.read(server.url)
    assert {one.lfdi for one in reading.responses} == {stress.client_pair.lfdi, *stress.devices}


def test_a_program_is_meant_by_mrid_or_address_as_well_as_by_description(stress):
    program = stress.world.programs[0]
    with stress.serve() as server:
        for match in (
            {"mrid": program.mrid.upper()},
            {"href": "/derp/1"},
            {"mrid": program.mrid, "description": "Grid stress"},
        ):
            one = {"match": match, "program": "energy"}
            assert len(stress.read(server.url, programs=[one]).events) == 1
        for match in ({"mrid": "00" * 16}, {"mrid": program.mrid, "description": "Other"}):
            one = {"match": match, "program": "energy"}
            assert len(stress.read(server.url, programs=[one]).events) == 0


def test_two_lines_that_mean_one_program_differently_are_named(stress):
    lines = [
        {"match": {"description": "Grid stress"}, "program": "energy"},
        {"match": {"href": "/derp/1"}, "program": "capacity"},
    ]
    with stress.serve() as server:
        reading = stress.read(server.url, programs=lines)
    assert reading.events == []
    assert len(found(reading, "several fit")) == 1


def test_the_same_mrid_with_other_content_is_named_and_neither_is_taken(stress):
    control = stress.world.programs[0].controls[0]
    second = stress.world.add_program("Second", primacy=4)
    stress.world.add_control(
        second,
        start=control.contents[0].start,
        duration_s=60,
        modes={"opModTargetW": 1_000},
        mrid=control.mrid,
    )
    lines = [
        {"match": {"description": name}, "program": "energy"} for name in ("Grid stress", "Second")
    ]
    with stress.serve() as server:
        reading = stress.read(server.url, programs=lines)
    assert reading.events == []
    assert found(reading, control.mrid)[0].startswith("the same mRID says something else in /derp/")
    assert not reading.responses


def test_settings_are_fetched_where_a_control_asks_for_a_share_of_them(stress):
    with stress.serve() as server:
        stress.read(server.url)
        assert "/edev/2/der" not in {one.path for one in server.trail}
        stress.world.devices[1].settings = Settings(max_w=11_000)
        stress.world.add_control(
            stress.world.programs[0],
            start=stress.time.second + timedelta(hours=3),
            duration_s=900,
            modes={"opModFixedW": 8_000},
        )
        reading = stress.read(server.url)
    kept = [document.href for document in reading.documents if document.href.endswith("/derg")]
    assert len(kept) == 1  # the others have set none, which is no trouble
    assert not found(reading, "derg")


# --- prices ------------------------------------------------------------------------------------


@pytest.fixture
def priced(site):
    tariff = site.world.add_tariff("RTP export")
    return site, tariff


def test_what_flows_back_is_priced_and_what_flows_forward_is_not(priced):
    site, tariff = priced
    start = site.time.second
    for flow, price in ((Flow.IMPORT, "0.3000"), (Flow.EXPORT, "0.2145")):
        rate = site.world.add_rate(tariff, flow=flow)
        site.world.add_price(rate, start=start, duration_s=300, price=price)
    with site.serve() as server:
        reading = site.read(server.url)
    assert [one.price_micros_per_kwh for one in reading.prices] == [214_500]


@pytest.mark.parametrize(("unit", "micros"), [("kWh", 50_000), ("MWh", 50), ("Wh", 50_000_000)])
def test_the_unit_is_that_of_the_reading_type(priced, unit, micros):
    site, tariff = priced
    rate = site.world.add_rate(tariff, unit=unit)
    site.world.add_price(rate, start=site.time.second, duration_s=300, price=Decimal("0.05"))
    with site.serve() as server:
        reading = site.read(server.url)
    assert [one.price_micros_per_kwh for one in reading.prices] == [micros]


def test_of_two_prices_of_one_interval_the_one_created_last_counts(priced):
    site, tariff = priced
    rate = site.world.add_rate(tariff)
    start = site.time.second + timedelta(minutes=5)
    for minutes, price in ((9, "0.3000"), (3, "0.2000")):
        created = start - timedelta(minutes=minutes)
        site.world.add_price(
            rate, start=start, duration_s=300, price=price, created_at=created - timedelta(hours=1)
        )
    with site.serve() as server:
        reading = site.read(server.url)
    assert [one.price_micros_per_kwh for one in reading.prices] == [200_000]


def test_two_prices_of_one_interval_and_one_time_are_named_and_neither_is_taken(priced):
    site, tariff = priced
    rate = site.world.add_rate(tariff)
    start = site.time.second
    for price in ("0.3000", "0.2000"):
        site.world.add_price(rate, start=start, duration_s=300, price=price, created_at=start)
    site.world.add_price(
        rate, start=start + timedelta(minutes=5), duration_s=300, price="0.1", created_at=start
    )
    with site.serve() as server:
        reading = site.read(server.url)
    assert [one.price_micros_per_kwh for one in reading.prices] == [100_000]
    assert len(found(reading, "and another price at")) == 2


def test_a_tariff_that_is_not_ours_is_named_once(priced):
    site, _ = priced
    site.world.add_tariff("Other")
    with site.serve() as server:
        reading = site.read(server.url)
    assert [one for one in reading.notes if "no line of `tariffs` fits" in one] == reading.notes
    assert len(reading.notes) == 1


def test_a_tariff_without_an_export_price_is_named(priced):
    site, tariff = priced
    site.world.add_rate(tariff, flow=Flow.IMPORT)
    with site.serve() as server:
        reading = site.read(server.url)
    assert found(reading, "flowDirection 19")


def test_a_price_that_the_server_does_not_say_is_named_and_the_others_are_taken(priced):
    site, tariff = priced
    rate = site.world.add_rate(tariff)
    start = site.time.second
    site.world.add_price(rate, start=start, duration_s=300, price=None)
    site.world.add_price(rate, start=start + timedelta(minutes=5), duration_s=300, price="0.1")
    with site.serve() as server:
        server.faults.add(FaultKind.ERROR, path="/tp/*/rc/*/tti/nowhere", number=500)
        reading = site.read(server.url)
    assert [one.price_micros_per_kwh for one in reading.prices] == [100_000]
    assert found(reading, "a step without a price")
