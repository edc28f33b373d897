"""Stored documents put together: pages, programs of controls, versions, prices, and what is missing."""

from datetime import UTC, datetime

from grid.sep2.stored import Placed, Stored, read
from grid.sep2.stored_prices import priced
from tests.grid.sep2 import test_tariffs as pieces
from tests.grid.sep2 import written
from tests.grid.sep2.written import element

PROGRAM = element(
    "DERProgram",
    element("mRID", "20"),
    '<ActiveDERControlListLink href="/derp/1/actderc" all="0"/>',
    '<DERControlListLink href="/derp/1/derc" all="3"/>',
    element("primacy", 5),
    href="/derp/1",
)


def program() -> bytes:
    return written.document(PROGRAM)


def page(*controls: str, all: int = 3, href: str = "/derp/1/derc") -> bytes:  # noqa: A002
    return written.document(written.control_list(*controls, all=all, href=href))


def control(mrid: str, **changes: object) -> str:
    return written.control({"mRID": mrid, **changes}, href=f"/derp/1/derc/{mrid}")


def captured(body: bytes, address: str) -> bytes:
    """As a capture begins: a comment, and no declaration."""
    return f"<!-- GET {address} -> 200 -->\n".encode() + body.partition(b"?>")[2]


def placed(found: Stored) -> list[Placed]:
    controls, refused = found.controls()
    assert refused == []
    return controls


# --- controls ---------------------------------------------------------------------------------------


def test_pages_of_one_list_are_joined_and_belong_to_the_program_that_links_to_them():
    # given pages in any order, one of which names its query
    found = read(
        [
            ("p2", page(control("0C"), href="/derp/1/derc?s=2")),
            ("programs", program()),
            ("p1", page(control("0A"), control("0B"))),
        ]
    )
    # then
    assert [(one.control.mrid, one.known.where) for one in placed(found)] == [
        ("0a", "p1"),
        ("0b", "p1"),
        ("0c", "p2"),
    ]
    assert {one.program.item.mrid for one in placed(found) if one.program} == {"20"}
    assert found.missing() == []


def test_a_page_that_is_not_there_is_missed_and_so_is_a_list():
    found = read([("p1", page(control("0A"))), ("programs", program())])
    assert [str(one) for one in found.missing()] == [
        "p1: 1 of the 3 items of /derp/1/derc; expected all its pages"
    ]
    found = read([("programs", program())])
    assert [str(one) for one in found.missing()] == [
        "programs: a link to /derp/1/derc; expected that list among the files"
    ]


def test_a_list_that_does_not_say_its_address_is_where_it_was_captured_or_above_its_items():
    bare = page(control("0A"), all=1).replace(b' href="/derp/1/derc"', b"")
    # of its items
    (one,) = placed(read([("p", bare), ("programs", program())]))
    assert one.program is not None
    # of its capture, an item of which says nothing
    nameless = bare.replace(b' href="/derp/1/derc/0A"', b"")
    for address in ("/derp/1/derc?s=0&l=10", "https://utility.example:443/derp/1/derc/"):
        found = read([("p", captured(nameless, address)), ("programs", program())])
        (one,) = placed(found)
        assert one.program is not None, address
    # of nothing
    (one,) = placed(read([("p", nameless), ("programs", program())]))
    assert one.program is None


def test_of_a_controls_versions_the_latest_counts_in_any_order():
    versions = [
        ("a", page(control("0A", version=1), all=1)),
        ("b", page(control("0A", version=2, duration=60), all=1)),
        (
            "c",
            page(
                control("0A", version=2, duration=60, currentStatus=2, dateTime=written.START),
                all=1,
            ),
        ),
    ]
    for order in (versions, versions[::-1]):
        (one,) = placed(read(order))
        assert (one.control.duration_s, one.control.cancelled) == (60, True)


def test_two_contents_of_one_version_are_refused():
    found = read(
        [
            ("a", page(control("0A"), all=1)),
            ("b", page(control("0A", duration=60), all=1)),
        ]
    )
    # and neither is taken, whichever came first
    assert [[str(one) for one in part] for part in found.controls()] == [
        [],
        [
            (
                "a, b: two contents of control 0a; expected one content: version and status are of"
                " the same time; none is taken"
            )
        ],
    ]


def test_the_list_of_active_controls_is_of_the_same_program():
    found = read([("a", page(control("0A"), all=1, href="/derp/1/actderc")), ("p", program())])
    (one,) = placed(found)
    assert (one.control.mrid, one.program is not None) == ("0a", True)


# --- prices -----------------------------------------------------------------------------------------


def whole() -> dict[str, bytes]:
    return {
        "tp": pieces.profile(),
        "rc": pieces.component(),
        "rt": pieces.reading(),
        "tti": pieces.interval(),
        "cti": pieces.steps(pieces.step()),
    }


def test_a_price_is_found_whatever_the_order_of_its_documents():
    documents = list(whole().items())
    for order in (documents, documents[::-1]):
        found = read(order)
        made = priced(found)
        ((price, where),) = made.prices
        assert (price.micros_per_kwh, where) == (214_500, "tti")
        assert price.started_at == datetime.fromtimestamp(written.START, UTC)
        assert (found.refused, made.missing, made.refused) == ([], (), ())


def test_each_piece_that_lacks_is_named():
    said = {
        "tp": "tti: intervals at /tp/1/rc/2/tti; expected a component of theirs",
        "rc": "tp: a link to /tp/1/rc; expected that document among the files",
        "rt": "rc: a link to /rt/2; expected that document among the files",
        "tti": "rc: a link to /tp/1/rc/2/tti; expected that document among the files",
        "cti": "tti: a link to /cti/1; expected that document among the files",
    }
    for lacking, expected in said.items():
        made = priced(read([(name, body) for name, body in whole().items() if name != lacking]))
        assert made.prices == ()
        assert expected in [str(one) for one in made.missing]


def test_a_price_that_contradicts_another_is_refused_with_it():
    other = pieces.interval(mrid="95", steps_href="/cti/2")
    second = pieces.steps(pieces.step(7)).replace(b"/cti/1", b"/cti/2")
    made = priced(read([*whole().items(), ("tti2", other), ("cti2", second)]))
    assert made.prices == ()
    assert len(made.refused) == 2


def test_two_contents_of_one_reading_make_no_price():
    made = priced(read([*whole().items(), ("rt2", pieces.reading(flowDirection=1))]))
    assert made.prices == ()
    assert [str(one) for one in made.refused] == [
        "rt, rt2: two contents of /rt/2; expected one: what a price is per"
    ]


def test_a_piece_that_makes_no_price_is_refused_by_the_place_of_its_interval():
    made = priced(read([*whole().items(), ("cti2", pieces.steps(pieces.step(1, 5)))]))
    assert [str(one) for one in made.refused] == [
        (
            "tti, line 2: 2 steps of consumption; expected one: which of several holds depends on a"
            " customer's consumption"
        )
    ]


# --- anything else ----------------------------------------------------------------------------------


def test_a_document_of_no_interest_is_known_and_one_of_no_standard_is_refused():
    mirrors = written.document(element("MirrorUsagePointList", all=0, results=0, href="/mup"))
    found = read([("mup", mirrors), ("x", written.document("<Thing></Thing>")), ("y", b"no XML")])
    assert [known.kind for known in found.items["MirrorUsagePointList"]] == ["MirrorUsagePointList"]
    assert [one.where for one in found.refused] == ["x, line 2", "y, line 1"]
