"""Documents: limits at their edges, canonical bytes, and the library's models of them."""

import re

import pytest
from defusedxml import ElementTree  # type: ignore[import-untyped]
from py20305.models import sep

from grid.sep2 import documents, validation
from grid.sep2.controls import controls
from grid.sep2.errors import Sep2Error
from tests.grid.sep2 import written
from tests.grid.sep2.written import NAMESPACE, element

TIME = (
    element("currentTime", written.START)
    + element("dstEndTime", 0)
    + element("dstOffset", 0)
    + element("dstStartTime", 0)
    + element("quality", 4)
    + element("tzOffset", 0)
)


def time(inside: str = TIME, **attributes: object) -> bytes:
    return written.document(element("Time", inside, **attributes))


def attributes(count: int) -> str:
    return element("a", **{f"b{number}": 1 for number in range(count)})


def raw(body: bytes) -> bytes:
    (only,) = controls(body, where="").items
    return only.raw


# --- limits -----------------------------------------------------------------------------------------


def test_each_limit_is_met_and_not_passed():
    deep = documents.DEPTH_MAX - 1
    longest = "x" * documents.VALUE_MAX_CHARS
    inside = [
        ("<a>" * deep + "</a>" * deep, "<a>" * (deep + 1) + "</a>" * (deep + 1)),
        (f"<a>{longest}</a>", f"<a>{longest}x</a>"),
        (f'<a b="{longest}"/>', f'<a b="{longest}x"/>'),
        (attributes(documents.ATTRIBUTES_MAX), attributes(documents.ATTRIBUTES_MAX + 1)),
    ]
    for fits, does_not in inside:
        documents.tree(time(fits), where="")
        with pytest.raises(Sep2Error):
            documents.tree(time(does_not), where="")


def test_a_limit_of_ones_own_may_be_smaller_and_larger():
    body = time("<a/><a/>")
    documents.tree(body, where="", limits=documents.Limits(len(body), 3))
    with pytest.raises(Sep2Error, match="more than 2 elements"):
        documents.tree(body, where="", limits=documents.Limits(len(body), 2))
    with pytest.raises(Sep2Error, match="more than 10 bytes"):
        documents.tree(body, where="", limits=documents.Limits(10, 2))


def test_an_element_knows_its_line_and_an_error_says_it():
    body = written.controls(written.control(), written.control({"start": "soon"})).replace(
        b"<DERControl>", b"\n<DERControl>"
    )
    page = controls(body, where="/derc")
    assert [one.line for one in page.items] == [3]
    assert [str(one) for one in page.refused] == [
        "/derc, line 4, interval/start: 'soon'; expected a whole number"
    ]


# --- canonical bytes --------------------------------------------------------------------------------

SAME = {
    "another prefix": lambda body: re.sub(rb"<(/?)(?!/|csipaus:|\?)", rb"<\1s:", body).replace(
        b"xmlns=", b"xmlns:s="
    ),
    "space between elements": lambda body: body.replace(b"><", b">\n  <"),
    "a comment": lambda body: body.replace(b"<mRID>", b"<!-- new --><mRID>"),
    "an instruction": lambda body: body.replace(b"<mRID>", b"<?x y?><mRID>"),
    "attributes in another order": lambda body: body.replace(
        b'href="/a" replyTo="/b"', b'replyTo="/b"  href="/a"'
    ),
    "attributes of others in another order": lambda body: body.replace(
        b'a:k="1" b:l="2"', b'b:l="2" a:k="1"'
    ),
    "another list around it": lambda body: body.replace(
        b'results="1"', b'results="1" pollRate="1"'
    ),
    "an element that ends at once": lambda body: body.replace(b"></x>", b"/>"),
    "another prefix of an extension": lambda body: body.replace(b"csipaus:", b"au:").replace(
        b"xmlns:csipaus", b"xmlns:au"
    ),
    "a prefix declared where it is used": lambda body: body.replace(
        b"<csipaus:opModExpLimW>",
        b'<csipaus:opModExpLimW xmlns:csipaus="https://csipaus.org/ns">',
    ),
}
OTHER = {
    "a number": lambda body: body.replace(b"<duration>1800", b"<duration>1801"),
    "an attribute": lambda body: body.replace(b'href="/a"', b'href="/c"'),
    "an element that nobody knows": lambda body: body.replace(b"></x>", b">1</x>"),
    "a namespace": lambda body: body.replace(b"https://csipaus.org/ns", b"https://csipaus.org/n"),
    "an element in no namespace": lambda body: body.replace(b"<x ", b'<x xmlns="" '),
    "the status": lambda body: body.replace(b"<currentStatus>0", b"<currentStatus>1"),
}
BASE = "<csipaus:opModExpLimW><multiplier>0</multiplier><value>5</value></csipaus:opModExpLimW>"
UNKNOWN = '<x xmlns:a="urn:a" xmlns:b="urn:b" a:k="1" b:l="2"></x>'
ONE = written.controls(
    written.control({"DERControlBase": BASE, "more": UNKNOWN}, href="/a", replyTo="/b")
)


@pytest.mark.parametrize("change", SAME.values(), ids=SAME.keys())
def test_a_control_that_says_the_same_has_the_same_bytes(change):
    changed = change(ONE)
    assert changed != ONE
    assert raw(changed) == raw(ONE)


@pytest.mark.parametrize("change", OTHER.values(), ids=OTHER.keys())
def test_a_control_that_says_something_else_has_other_bytes(change):
    changed = change(ONE)
    assert changed != ONE
    assert raw(changed) != raw(ONE)


def test_canonical_bytes_are_a_document_that_says_the_same():
    # given its bytes alone
    alone = raw(ONE)
    # then they are read like the list they stood in, again and again
    assert controls(alone, where="").items[0].modes == ("csipaus:opModExpLimW",)
    assert raw(alone) == alone
    # and what nobody knows is in them, for any other reader of XML
    root = ElementTree.fromstring(alone)
    assert root.find(f"{{{NAMESPACE}}}x") is not None
    assert root.find(f".//{{{written.CSIPAUS}}}opModExpLimW/{{{NAMESPACE}}}value").text == "5"
    assert root.attrib == {"href": "/a", "replyTo": "/b"}


# --- models -----------------------------------------------------------------------------------------


def test_a_document_becomes_the_librarys_model_by_its_roots_name():
    made = documents.parse(time(href="/tm"), where="/tm")
    assert isinstance(made, sep.Time)
    assert (made.href, made.current_time.value, made.quality) == ("/tm", written.START, 4)


def test_an_element_of_a_newer_edition_is_left_out_of_the_model():
    made = documents.parse(time(TIME + "<leapSeconds>2</leapSeconds>"), where="/tm")
    assert isinstance(made, sep.Time)
    assert made.current_time.value == written.START


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (time(TIME + element("quality", 5)), "quality: quality twice; expected it once"),
        (
            time(TIME.replace(str(written.START), "1_795_401_796")),
            "'1_795_401_796'; expected a whole",
        ),
        (time(TIME.replace(str(written.START), "١٧٩٥")), "expected a whole number"),
        (time(TIME.replace(str(written.START), "")), "a Time as the standard has it"),
        (time(""), "a Time as the standard has it"),
        (time(TIME.replace(str(written.START), "9" * 19)), "expected a whole number"),
        (written.document("<Thyme></Thyme>"), "the root 'Thyme'; expected a document that the"),
        (written.document("<TimeType>1</TimeType>"), "the root 'TimeType'"),
    ],
)
def test_what_a_model_would_take_for_something_else_is_refused(body: bytes, said: str):
    with pytest.raises(Sep2Error) as caught:
        documents.parse(body, where="/tm")
    assert said in str(caught.value)
    assert str(caught.value).isprintable()


def test_a_list_may_have_its_items_as_often_as_it_likes():
    body = written.controls(*[written.control()] * 3)
    made = documents.parse(body, where="")
    assert isinstance(made, sep.DercontrolList)
    assert len(made.dercontrol) == 3


# --- schemas ----------------------------------------------------------------------------------------


def test_what_a_schema_does_not_allow_is_said_and_no_reason_to_refuse():
    # given what no edition has, and what only the later has
    unknown = time(TIME + "<leapSeconds>2</leapSeconds>")
    completed = written.controls(
        written.control({"DERControlBase": element("opModFixedW", disabled="true")})
    )
    # then
    for edition in validation.EDITIONS:
        assert validation.findings(time(), where="/tm", edition=edition) == []
        (found,) = validation.findings(unknown, where="/tm", edition=edition)
        assert (found.where, found.line, found.edition) == ("/tm", 2, edition)
        assert "'leapSeconds'" in found.text
    assert any("disabled" in one.text for one in findings(completed, 2018))
    assert not any("disabled" in one.text for one in findings(completed, 2023))
    assert controls(completed, where="").items


def findings(body: bytes, edition: int) -> list[validation.Finding]:
    return validation.findings(body, where="", edition=edition)


def test_a_schema_of_no_edition_is_refused():
    with pytest.raises(ValueError, match="expected one of 2018, 2023"):
        validation.findings(time(), where="", edition=2013)


def test_what_is_not_read_is_not_validated():
    with pytest.raises(Sep2Error, match="a document type declaration"):
        validation.findings(b"<!DOCTYPE a><a/>", where="", edition=2018)


def test_findings_are_bounded():
    body = written.controls(*[written.control({"more": "<x/>"})] * 300)
    assert len(findings(body, 2023)) == validation.FINDINGS_MAX
