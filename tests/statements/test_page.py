"""A statement that a person can recompute, that is well-formed, and that lets nothing in unescaped."""

import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from html.parser import HTMLParser
from xml.etree import ElementTree as ET

import polars as pl
import pytest
import yaml

from settlement import programs
from settlement.engine import compute
from settlement.facts import Facts
from settlement.periods import Period
from settlement.reasons import UnpaidReason
from settlement.schemas import CONTRACT, READING, TEMPERATURE
from settlement.timeline import Price, Window
from statements import REASONS, Statement, render
from statements.words import in_words

START = datetime(2026, 7, 1, 17, tzinfo=UTC)
NAMESPACE = {"h": "http://www.w3.org/1999/xhtml", "s": "http://www.w3.org/2000/svg"}
PROGRAM = """\
program: {name}
version: 1
currency: USD
timezone: America/Los_Angeles
product: energy
quantity: export_only
tiers: {{power_kw: [{{from: "0", multiplier: "1"}}, {{from: "5", multiplier: "1.15"}}]}}
"""


def at(minutes: float) -> datetime:
    return START + timedelta(minutes=minutes)


def reading(
    vehicle: str, start: float, end: float, register: int, milliwh: int, power: int | None
) -> dict[str, object]:
    return {
        "evse_id": f"E-{vehicle}"[:64],
        "vehicle_id": vehicle,
        "session_id": "S",
        "stream_epoch": 1,
        "sequence": int(start + 10),
        "started_at": at(start),
        "ended_at": at(end),
        "power_start_w": power,
        "power_end_w": power,
        "export_start_milliwh": register,
        "export_end_milliwh": register + milliwh,
        "import_start_milliwh": 0,
        "import_end_milliwh": 0,
        "clock_offset_us": 0,
        "key_id": "",
        "digest": b"",
        "received_at": at(end),
        "conflicted": False,
    }


def statement(
    *,
    vehicles: tuple[str, ...] = ("V1",),
    event: str = "EV1",
    name: str = "evening",
    priced: bool = True,
) -> Statement:
    """Each vehicle discharges before, in and after an event of an hour, at two prices."""
    body = yaml.safe_load(PROGRAM.format(name="x")) | {"program": name}
    versions = {name: [programs.parse(body, "test")]}
    rows = [
        row
        for vehicle in vehicles
        for row in (
            reading(vehicle, -10, 0, 0, 10**6, 6000),
            reading(vehicle, 0, 30, 1_000_000, 3_600_000, 7200),
            reading(vehicle, 30, 60, 4_600_000, 4_050_000, None),
            reading(vehicle, 60, 90, 8_650_000, 500_000, 1000),
        )
    ]
    readings = pl.DataFrame(rows, schema={**READING.schema, "conflicted": pl.Boolean()})
    contracts = pl.DataFrame(
        [
            {
                "contract_id": f"c{number}",
                "vehicle_id": vehicle,
                "evse_id": "",
                "site_id": "",
                "program": name,
                "incentive_rate_ppm": 850_000,
                "valid_from": at(-1000),
            }
            for number, vehicle in enumerate(vehicles)
        ],
        schema=CONTRACT.schema,
    )
    temperatures = pl.DataFrame(
        [
            ("E", vehicles[0], at(minute), 30_000 + minute * 100, at(minute))
            for minute in (-5, 10, 40)
        ],
        schema=TEMPERATURE.schema,
        orient="row",
    )
    prices = [
        Price(name, at(0), at(30), 420_000, at(-60)),
        *([Price(name, at(30), at(60), 615_000, at(-60))] if priced else []),
    ]
    windows = [Window(event, name, at(0), at(60), at(-600))]
    facts = Facts(versions, windows, prices, contracts, temperatures=temperatures)
    computed = compute(lambda _: readings, facts, Period(at(-600), at(600)))
    return Statement(
        title=f"Settlement of {name}",
        settlements=computed.settlements,
        lines=computed.lines,
        unpaid=computed.unpaid,
        readings=readings,
        temperatures=temperatures,
        programs=versions,
        windows=windows,
        prices=prices,
    )


def page(made: Statement, **options: int) -> str:
    return "".join(render(made, **options))


def parsed(text: str) -> ET.Element:
    return ET.fromstring(text.removeprefix("<!DOCTYPE html>\n"))  # noqa: S314 - our own page


def texts(root: ET.Element, path: str) -> list[str]:
    return ["".join(found.itertext()) for found in root.findall(path, NAMESPACE)]


def test_a_person_recomputes_every_line_and_the_sum():
    # given
    root = parsed(page(statement()))

    # when the products as printed are multiplied, and rounded to millionths
    amounts = []
    for row in root.findall(".//h:section//h:tbody/h:tr", NAMESPACE):
        cells = ["".join(cell.itertext()) for cell in row]
        if cells[1] != "energy":
            continue
        product = Decimal(1)
        for factor in cells[2].removesuffix("=").split("×"):
            product *= Decimal(re.findall(r"[0-9.]+", factor.replace(",", ""))[0])
        amount = product.quantize(Decimal("0.000001"), ROUND_HALF_UP)
        assert Decimal(cells[3].split(" ")[0]) == amount
        amounts.append(amount)

    # then they are the worked figures, and sum, difference and payable are shown
    assert amounts == [Decimal("1.477980"), Decimal("2.434708")]
    assert texts(root, ".//h:tfoot/h:tr/h:td") == ["3.912688 USD", "−0.002688 USD", "3.91 USD"]


def test_times_are_local_and_say_their_offset():
    assert "2026-07-01 10:00–10:30 −07:00" in page(statement())


HOSTILE = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "'><svg/onload=alert(1)>",
    "</style><b>&amp;",
    "]]>--></title>",
]


@pytest.mark.parametrize("name", HOSTILE)
def test_nothing_that_came_from_outside_is_taken_as_markup(name: str):
    # given the same statement with a harmless name, and with a hostile one everywhere
    plain = parsed(page(statement(vehicles=("V1",), event="EV1", name="evening")))
    hostile = parsed(page(statement(vehicles=(name,), event=name, name=name)))

    # then both have the same elements and attributes, and the name is text
    def skeleton(root: ET.Element) -> list[tuple[str, tuple[str, ...]]]:
        return [(one.tag, tuple(sorted(one.attrib))) for one in root.iter()]

    assert skeleton(hostile) == skeleton(plain)
    assert texts(hostile, ".//h:section/h:h3") == [f"{name} in {name}"]


class Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.links: list[str] = []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.links += [
            f"{k}={v}"
            for k, v in attrs
            if k in {"src", "href", "action", "data"} or k.startswith("on")
        ]


def test_a_page_runs_nothing_and_loads_nothing():
    # given a page as a browser reads it
    text = page(statement())
    reader = Tags()
    reader.feed(text)

    # then
    assert not {"script", "link", "img", "iframe", "object", "form"} & set(reader.tags)
    assert reader.links == []
    assert "@import" not in text
    assert re.findall(r"url\((?!#)", text) == []


def test_charts_and_tables_speak_to_those_who_do_not_see():
    # given
    root = parsed(page(statement()))

    # then every chart has a title and a description, every table a caption and scopes
    assert root.get("lang") == "en"
    charts = root.findall(".//s:svg[@role='img']", NAMESPACE)
    assert len(charts) == 1
    (described,) = texts(charts[0], "s:desc")
    assert "power in kW, discharge positive from 1 to 8.1" in described
    assert "price in USD per kWh from 0.42 to 0.615" in described
    assert "battery temperature as measured, in °C from 29.5 to 34" in described
    assert "2 paid and 0 unpaid intervals" in described
    for table in root.findall(".//h:table", NAMESPACE):
        assert table.find("h:caption", NAMESPACE) is not None
        assert all(th.get("scope") for th in table.iter(f"{{{NAMESPACE['h']}}}th"))


def test_a_held_settlement_says_why_in_words_and_what_is_missing_is_hatched():
    # given no price for the second half
    root = parsed(page(statement(priced=False)))

    # then
    (held,) = texts(root, ".//h:p[@class='held']")
    assert in_words("PRICE_MISSING") in held
    assert len(root.findall(".//s:rect[@class='unpaid']", NAMESPACE)) == 1
    assert any("not known" in text for text in texts(root, ".//h:section//h:td"))


def test_what_lies_outside_of_every_settlement_is_shown_with_its_reason():
    text = page(statement())
    assert "Not paid, outside of these settlements" in text
    assert in_words("OUTSIDE_WINDOW") in text


def test_beyond_its_bound_a_page_says_what_it_leaves_out():
    # given five vehicles, of which two are shown in full
    root = parsed(page(statement(vehicles=("V1", "V2", "V3", "V4", "V5")), detailed=2))

    # then
    assert len(root.findall(".//h:section", NAMESPACE)) == 2
    assert any(
        "The first 2 settlements are shown in full above; 3 more follow" in text
        for text in texts(root, ".//h:p")
    )
    listed = [t for t in root.findall(".//h:table", NAMESPACE) if "More" in (t[0].text or "")]
    assert [row[0].text for row in listed[0].findall("h:tbody/h:tr", NAMESPACE)] == [
        "V3",
        "V4",
        "V5",
    ]


def test_an_empty_statement_is_a_page_too():
    made = statement()
    empty = replace(
        made,
        settlements=made.settlements.clear(),
        lines=made.lines.clear(),
        unpaid=made.unpaid.clear(),
        notes=["Nothing & nobody."],
    )
    assert any("Nothing & nobody." in text for text in texts(parsed(page(empty)), ".//h:p"))


def test_every_reason_is_said_in_words():
    assert set(REASONS) == set(UnpaidReason)
    assert all(words.endswith(".") for words in REASONS.values())


def contrast(one: str, other: str) -> float:
    """WCAG 2.2, relative luminance and contrast ratio."""

    def luminance(colour: str) -> float:
        if len(colour) == 4:
            colour = "#" + "".join(c * 2 for c in colour[1:])
        parts = (int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5))
        r, g, b = (p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts)
        return 0.2126 * r + 0.7152 * g + 0.0722 * b

    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def test_text_and_lines_stand_out_from_the_page():
    from statements.style import CSS

    # given the colours of text, and of the strokes of charts
    colours = set(re.findall(r"(?<![-a-z])(?:color|stroke): (#[0-9a-f]{3,6})", CSS))

    # then
    assert len(colours) >= 5
    assert {c: contrast(c, "#fff") for c in colours if contrast(c, "#fff") < 4.5} == {}
