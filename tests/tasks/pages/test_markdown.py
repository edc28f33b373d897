"""Names from outside stand on a page as they are; a CommonMark parser that is not ours says so."""

import html
import re
from pathlib import Path

import prefect
import pytest
from markdown_it import MarkdownIt

from tasks.pages.markdown import (
    CELL_MAX,
    Link,
    bullets,
    image,
    link,
    page,
    part,
    plain,
    sentence,
    table,
)

PARSER = MarkdownIt("commonmark", {"html": True}).enable("table")
HOSTILE = [
    "a|b",
    "[click](https://evil.example)",
    "![pixel](https://evil.example/p.png)",
    "<img src=x onerror=alert(1)>",
    "# heading",
    "`code` *strong* _under_ ~~gone~~",
    "back\\slash \\| &lt; &#60;",
    "two\nlines\n\n* and a list",
]


class WithPictures(MarkdownIt):
    """Lets pictures stand in the page itself, as the parser of Prefect's UI does."""

    def validateLink(self, url: str) -> bool:  # noqa: N802 - the library's name
        return url.startswith("data:image/")


def test_prefects_ui_lets_pictures_stand_in_a_page():
    assets = Path(prefect.__file__).parent / "server" / "ui-v2" / "assets"

    (parser,) = assets.glob("lazy-markdown-*.js")

    written = parser.read_text()
    assert "=/^data:image\\//;" in written
    assert "`data`" in written


def shown(markdown: str) -> str:
    """The text that a reader sees."""
    return html.unescape(re.sub(r"<[^>]*>", "", PARSER.render(markdown))).strip()


@pytest.mark.parametrize("hostile", HOSTILE)
def test_a_name_from_outside_is_shown_as_it_is_and_does_nothing(hostile):
    written = PARSER.render(table(["event", "money"], [[hostile, "1"]]))

    cells = re.findall(r"<td>(.*?)</td>", written)
    assert [html.unescape(cell) for cell in cells] == [" ".join(hostile.split()), "1"]


@pytest.mark.parametrize("hostile", HOSTILE)
def test_so_it_is_in_headings_lists_sentences_and_links(hostile):
    one_line = " ".join(hostile.split())

    assert shown(page(hostile)) == one_line
    assert shown(bullets([hostile])) == one_line
    assert shown(sentence(f"of {hostile}")) == f"of {one_line}."
    rendered = PARSER.render(str(Link(hostile, "https://v2g.example/x")))
    assert re.findall(r'href="([^"]*)"', rendered) == ["https://v2g.example/x"]
    assert "<img" not in rendered


def test_a_long_name_is_cut():
    assert len(plain("x" * 10_000)) == CELL_MAX


def test_a_table_says_how_many_rows_it_leaves_out():
    cut = table(["number"], [[number] for number in range(40)], most=25)

    assert cut.count("\n| ") == 26
    assert cut.endswith("…and 15 more.")
    assert table(["number"], []) == "none"
    assert bullets(range(30), most=25).endswith("…and 5 more")
    assert bullets([]) == "nothing"


def test_links_lead_below_the_root_and_are_text_without_one():
    given = link("the report", "https://v2g.example/base/", "operator", "quality", "id/1")

    assert str(given) == "[the report](https://v2g.example/base/operator/quality/id%2F1)"
    assert str(link("the report", "", "operator")) == "the report"
    assert "[the report](" in bullets([given])


def test_a_picture_stands_in_the_page_itself_and_is_told_in_words():
    written = WithPictures("commonmark").render(image("<svg/>", "a [curve]"))

    (tag,) = re.findall("<img[^>]*>", written)

    assert 'src="data:image/svg+xml;base64,PHN2Zy8+"' in tag
    assert 'alt="a [curve]"' in tag


def test_a_section_without_content_is_left_out_of_the_page():
    assert page("title", "", part("A", "text"), "") == "# title\n\n## A\n\ntext"
