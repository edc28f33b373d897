"""What XML can do besides elements, refused before it does it."""

import time

import pytest

from iso20022 import Iso20022Error, read_notification
from iso20022.documents import FILE_MAX_BYTES, tree
from tests.iso20022.samples import entry, notification, payment

GOOD = notification([entry([payment("e1")])])
BOMB = b"""<?xml version="1.0"?><!DOCTYPE lolz [<!ENTITY a "aaaaaaaaaa">
<!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;"><!ENTITY c "&b;&b;&b;&b;&b;&b;&b;&b;&b;&b;">]>
<Document>&c;</Document>"""
OUTSIDE = b"""<!DOCTYPE d [<!ENTITY x SYSTEM "file:///etc/hostname">]><Document>&x;</Document>"""


@pytest.mark.parametrize(
    ("body", "found"),
    [
        (BOMB, "document type declaration"),
        (OUTSIDE, "document type declaration"),
        (b'<!DOCTYPE d SYSTEM "http://127.0.0.1:9/d.dtd"><Document/>', "document type declaration"),
        (b"<!DOCTYPE d><Document/>", "document type declaration"),
        (b"<a>" * 40 + b"</a>" * 40, "deep"),
        (b"<a>" * 200_000, "deep"),
        (b"<a " + b" ".join(b'b%d=""' % n for n in range(50)) + b"/>", "attributes"),
        (b"<a>" + b"x" * 100_000 + b"</a>", "too long"),
        (b'<a b="' + b"x" * 100_000 + b'"/>', "too long"),
        (b"<a>\xff</a>", "UTF-8"),
        (b'<?xml version="1.0" encoding="UTF-16"?><a/>', "encoding"),
        ("<a/>".encode("utf-16"), "UTF-8"),
        (b"<a>&nothing;</a>", "well-formed"),
        (b"", "well-formed"),
        (GOOD[:-20], "well-formed"),
    ],
    ids=range(15),
)
def test_it_is_refused_where_it_stands(body: bytes, found: str) -> None:
    with pytest.raises(Iso20022Error, match=found):
        read_notification(body, where="july.xml")


def test_a_file_of_a_hundred_megabytes_is_refused_without_being_parsed() -> None:
    body = b"<a>" + b" " * (100 * 2**20)
    started = time.process_time()

    with pytest.raises(Iso20022Error, match=f"at most {FILE_MAX_BYTES}"):
        tree(body, where="july.xml")

    assert time.process_time() - started < 0.2


def test_comments_and_instructions_are_left_out_and_a_byte_order_mark_is_no_harm() -> None:
    body = b"\xef\xbb\xbf" + GOOD.replace(b"<GrpHdr>", b"<!-- x --><?y z?><GrpHdr>")

    assert len(read_notification(body, where="july.xml").entries) == 1
