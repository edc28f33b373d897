"""Hostile and broken bytes: each is refused by name or read as it is meant, in bounded time and memory."""

import resource
import time
import tracemalloc
from collections.abc import Iterator

import pytest

from grid.sep2 import documents
from grid.sep2.controls import controls
from grid.sep2.errors import Sep2Error
from tests.grid.sep2 import written
from tests.grid.sep2.written import NAMESPACE

GOOD = written.controls(
    written.control({"DERControlBase": "<opModFixedW>8765</opModFixedW>"})
).decode()
BODY = GOOD.partition("?>")[2].strip()
SECONDS_MAX = 5.0
"""Of processor time, for one body; the slowest takes half a second."""

MEMORY_MAX_BYTES = 160 * 2**20
"""Of one body, its elements included."""


def doctype(subset: str, inside: str = "&b;") -> bytes:
    return f'<!DOCTYPE a [{subset}]><Time xmlns="{NAMESPACE}">{inside}</Time>'.encode()


def laughs() -> bytes:
    lines = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 12))
    return doctype(f'<!ENTITY l0 "lol">{lines}', "&l11;")


REFUSED: dict[str, tuple[bytes, str]] = {
    "a billion laughs": (laughs(), "a document type declaration"),
    "one long entity, often": (
        doctype(f'<!ENTITY b "{"x" * 60_000}">', "&b;" * 30_000),
        "a document type declaration",
    ),
    "a file of the machine": (
        doctype('<!ENTITY b SYSTEM "file:///etc/passwd">'),
        "a document type declaration",
    ),
    "an address to fetch": (
        doctype('<!ENTITY b SYSTEM "http://127.0.0.1:1/x">'),
        "a document type declaration",
    ),
    "a DTD elsewhere": (
        b'<!DOCTYPE a SYSTEM "http://127.0.0.1:1/x.dtd">' + BODY.encode(),
        "a document type declaration",
    ),
    "a parameter entity": (
        doctype('<!ENTITY % b SYSTEM "file:///etc/passwd"> %b;', ""),
        "a document type declaration",
    ),
    "a DTD that does nothing": (b"<!DOCTYPE a>" + BODY.encode(), "a document type declaration"),
    "an attribute by default": (
        doctype('<!ATTLIST Time href CDATA "/x">', ""),
        "a document type declaration",
    ),
    "an entity that nobody declared": (
        BODY.replace("8765", "&b;").encode(),
        "no well-formed XML (undefined entity",
    ),
    "elements too deep": (
        f'<Time xmlns="{NAMESPACE}">{"<a>" * 100_000}'.encode(),
        "elements more than 64 deep",
    ),
    "elements too many": (
        f'<Time xmlns="{NAMESPACE}">{"<a/>" * 300_000}</Time>'.encode(),
        "more than 200000 elements",
    ),
    "an attribute too long": (
        f'<Time xmlns="{NAMESPACE}" a="{"x" * 2_000_000}"/>'.encode(),
        "an attribute that is too long",
    ),
    "attributes too many": (
        f'<Time xmlns="{NAMESPACE}" {" ".join(f"""a{n}="1" """ for n in range(20_000))}/>'.encode(),
        "20000 attributes",
    ),
    "a name too long": (f'<{"a" * 100_000} xmlns="{NAMESPACE}"/>'.encode(), "a name that is too"),
    "a namespace too long": (f'<a xmlns="{"a" * 100_000}"/>'.encode(), "a name that is too long"),
    "a text too long": (
        f'<Time xmlns="{NAMESPACE}">{"1" * 3_000_000}</Time>'.encode(),
        "a text that is too long",
    ),
    "a text too long in pieces": (
        f'<Time xmlns="{NAMESPACE}">{"1<!-- x -->" * 100_000}</Time>'.encode(),
        "a text that is too long",
    ),
    "a document too large": (b" " * (documents.BODY_MAX_BYTES + 1), "more than 4194304 bytes"),
    "100 MB": (b"<a>" + b"x" * 100_000_000, "more than 4194304 bytes"),
    "nothing": (b"", "an empty body"),
    "space": (b" \n\t ", "an empty body"),
    "a byte order mark alone": (b"\xef\xbb\xbf", "no well-formed XML"),
    "bytes": (bytes(range(256)), "byte 128 is no UTF-8"),
    "no XML": (b"HTTP/1.1 200 OK", "no well-formed XML"),
    "a web page": (b"<html><body>busy</body></html>", "the root 'html'"),
    "cut off": (GOOD[:-30].encode(), "no well-formed XML"),
    "cut off in a number": (GOOD.partition("1800")[0].encode() + b"18", "no well-formed XML"),
    "two documents": (BODY.encode() * 2, "no well-formed XML"),
    "something behind": (BODY.encode() + b"x", "no well-formed XML"),
    "an attribute twice": (
        BODY.replace('all="1"', 'all="1" all="0"').encode(),
        "no well-formed XML (duplicate attribute",
    ),
    "an attribute twice by two prefixes": (
        BODY.replace('all="1"', 'xmlns:a="u" xmlns:b="u" a:x="1" b:x="2"').encode(),
        "no well-formed XML (duplicate attribute",
    ),
    "a prefix of nothing": (
        BODY.replace("<DERControl>", "<x:DERControl>").encode(),
        "no well-formed",
    ),
    "an empty prefix": (BODY.replace("xmlns:csipaus", "xmlns:").encode(), "no well-formed XML"),
    "the prefix xml for something else": (
        BODY.replace("xmlns:csipaus", "xmlns:xml").encode(),
        "no well-formed XML",
    ),
    "no namespace": (
        BODY.replace(f'xmlns="{NAMESPACE}"', "").encode(),
        "the root 'DERControlList'",
    ),
    "almost the namespace": (
        BODY.replace(NAMESPACE, NAMESPACE + "/").encode(),
        "expected a document in urn:ieee:std:2030.5:ns",
    ),
    "the namespace of an old draft": (
        BODY.replace(NAMESPACE, "http://zigbee.org/sep").encode(),
        "expected a document in urn:ieee:std:2030.5:ns",
    ),
    "UTF-16": (GOOD.encode("utf-16"), "byte 0 is no UTF-8"),
    "UTF-16 that says so": (
        GOOD.replace("UTF-8", "UTF-16").encode("utf-16-le"),
        "a NUL",
    ),
    "UTF-32": (BODY.encode("utf-32"), "is no UTF-8"),
    "EBCDIC": (GOOD.encode("cp037"), "no UTF-8"),
    "EBCDIC of one's own saying": (
        b'<?xml version="1.0" encoding="cp037"?>' + BODY.encode(),
        "the encoding 'cp037'",
    ),
    "UTF-7": (b'<?xml version="1.0" encoding="utf-7"?>' + BODY.encode(), "the encoding 'utf-7'"),
    "Latin-1": (
        GOOD.replace("UTF-8", "ISO-8859-1").encode(),
        "the encoding 'ISO-8859-1'",
    ),
    "an encoding that nobody knows": (GOOD.replace("UTF-8", "x-none").encode(), "'x-none'"),
    "UTF-8 of two bytes for one": (BODY.replace("8765", "1").encode() + b"\xc0\xbc", "no UTF-8"),
    "half a surrogate": (BODY.encode() + b"\xed\xa0\x80", "is no UTF-8"),
    "a NUL": (BODY.replace("8765", "1\0").encode(), "a NUL"),
    "a NUL by reference": (BODY.replace("8765", "&#0;").encode(), "no well-formed XML"),
    "a control character": (BODY.replace("8765", "\x01").encode(), "no well-formed XML"),
    "a bell by reference": (BODY.replace("8765", "&#7;").encode(), "no well-formed XML"),
    "a declaration in the middle": (
        BODY.encode().replace(b"<mRID>", b'<?xml version="1.0"?><mRID>'),
        "no well-formed XML",
    ),
    "an end of CDATA in text": (BODY.replace("8765", "1]]>").encode(), "no well-formed XML"),
}

READ: dict[str, bytes] = {
    "as it is": GOOD.encode(),
    "without a declaration": BODY.encode(),
    "with a byte order mark": b"\xef\xbb\xbf" + GOOD.encode(),
    "in ASCII that says so": GOOD.replace("UTF-8", "us-ascii").encode(),
    "with a comment before it": b"<!-- <!DOCTYPE a> -->" + BODY.encode(),
    "with instructions to nobody": (
        b'<?xml-stylesheet href="http://127.0.0.1:1/x"?>'
        + BODY.replace("<mRID>", "<?php exit() ?><mRID>").encode()
    ),
    "a number in CDATA": BODY.replace("8765", "<![CDATA[8765]]>").encode(),
    "a number around a comment": BODY.replace("8765", "87<!-- 99 -->65").encode(),
    "a number around an instruction": BODY.replace("8765", "87<?x 99?>65").encode(),
    "a number by reference": BODY.replace("8765", "&#56;765").encode(),
    "a number in space": BODY.replace("8765", "\n\t 8765 \r\n").encode(),
    "by another prefix": (
        BODY.replace("<", "<x:")
        .replace("<x:/", "</x:")
        .replace("xmlns=", "xmlns:x=")
        .replace("<x:!", "<!")
        .encode()
    ),
    "with prefixes by the thousand": BODY.replace(
        'all="1"', f"""all="1" {" ".join(f'xmlns:p{n}="urn:{n}"' for n in range(30_000))}"""
    ).encode(),
    "with prefixes bound anew by the thousand": BODY.replace(
        "<DERControl>", "".join(f'<a xmlns:p="urn:{n}"/>' for n in range(30_000)) + "<DERControl>"
    ).encode(),
    "with comments by the thousand": BODY.replace(
        "<mRID>", "<!-- -->" * 100_000 + "<mRID>"
    ).encode(),
    "with an inclusion that stays out": BODY.replace(
        "</DERControl>",
        '<xi:include xmlns:xi="http://www.w3.org/2001/XInclude" href="file:///etc/passwd"'
        ' parse="text"/></DERControl>',
    ).encode(),
    "with a schema that is not fetched": BODY.replace(
        'all="1"',
        'all="1" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"'
        ' xsi:schemaLocation="urn:ieee:std:2030.5:ns http://127.0.0.1:1/x.xsd"',
    ).encode(),
}


@pytest.fixture
def bounded() -> Iterator[None]:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    began = time.process_time()
    yield
    assert time.process_time() - began < SECONDS_MAX
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024
    assert grown < MEMORY_MAX_BYTES


@pytest.mark.usefixtures("bounded")
@pytest.mark.parametrize(("body", "said"), REFUSED.values(), ids=REFUSED.keys())
def test_what_is_no_document_is_refused_by_name(body: bytes, said: str):
    # a large one once: what reads it first is the same for all
    readers = (documents.tree, documents.parse, controls) if len(body) < 10**6 else (controls,)
    for read in readers:
        with pytest.raises(Sep2Error) as caught:
            read(body, where="/derp/1/derc")
        # one line that says where, what was found and what was expected
        assert said in str(caught.value)
        assert str(caught.value).startswith("/derp/1/derc")
        assert "; expected " in str(caught.value)
        assert str(caught.value).isprintable()
        assert len(str(caught.value)) < 300


@pytest.mark.usefixtures("bounded")
@pytest.mark.parametrize("body", READ.values(), ids=READ.keys())
def test_what_is_a_document_is_read_as_it_is_meant(body: bytes):
    (expected,) = controls(GOOD.encode(), where="").items
    page = controls(body, where="")
    (read,) = page.items
    assert read.setpoints == expected.setpoints
    assert (read.mrid, read.started_at, read.ended_at) == (
        expected.mrid,
        expected.started_at,
        expected.ended_at,
    )
    assert b"root:" not in read.raw


def test_a_body_of_100_mb_is_refused_before_it_is_held():
    # given a server that never stops, piece by piece
    sent = 0

    def pieces() -> Iterator[bytes]:
        nonlocal sent
        for _ in range(1600):
            sent += 2**16
            yield b"x" * 2**16

    # when
    tracemalloc.start()
    with pytest.raises(Sep2Error, match="more than 4194304 bytes"):
        documents.collect(pieces(), where="/edev")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    # then it was left at the first piece too much
    assert sent == documents.BODY_MAX_BYTES + 2**16
    assert peak < 3 * documents.BODY_MAX_BYTES


def test_a_whole_body_is_put_together_from_its_pieces():
    assert documents.collect(iter([b"<a", b"", b"/>"]), where="") == b"<a/>"
    full = b"x" * documents.BODY_MAX_BYTES
    assert documents.collect([full], where="") == full


def test_the_largest_document_that_is_read_stays_within_its_bounds():
    # given as many controls as fit
    one = written.control()
    count = (documents.BODY_MAX_BYTES - 500) // len(one)
    body = written.controls(*[one] * count)
    assert len(body) > documents.BODY_MAX_BYTES * 0.99
    # when
    began = time.process_time()
    root = documents.tree(body, where="")
    # then
    assert len(root) == count
    assert time.process_time() - began < SECONDS_MAX
