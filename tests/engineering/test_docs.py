"""The documentation says what the code says, mentions all that must be mentioned, and leads nowhere empty."""

import re
from pathlib import Path

import pytest

from cli import docs as generated
from cli import docs_settings
from settlement import reasons, schemas
from storage import tables
from tests.engineering.house import ROOT, files, packages, read, sources

FOR_PEOPLE = {"V2G_INTAKE_URL"}
"""Written into the kept demonstration's environment for curl; no program reads it."""

PAGES = sorted(path for path in files() if path.suffix == ".md")
DECISIONS = sorted((ROOT / "docs" / "decisions").glob("[0-9]*.md"))
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")


@pytest.fixture(scope="module")
def pages() -> dict[str, str]:
    return generated.pages()


@pytest.mark.parametrize(
    "page",
    ["docs/cli.md", "docs/columns.md", "docs/metrics.md", "docs/programs.md", "docs/reasons.md",
     "docs/settings.md"],
)  # fmt: skip
def test_a_generated_page_says_what_the_code_says(pages: dict[str, str], page: str):
    assert read(ROOT / page) == pages[page], "run `make docs`"


def test_a_page_that_says_something_else_is_named(pages: dict[str, str], tmp_path: Path):
    # given freshly written pages
    generated.write(pages, tmp_path)
    assert generated.stale(pages, tmp_path) == []

    # when one is changed by hand
    (tmp_path / "docs" / "reasons.md").write_text("Everything is paid.")

    # then it is named, and writing mends it
    assert generated.stale(pages, tmp_path) == ["docs/reasons.md"]
    assert generated.write(pages, tmp_path) == ["docs/reasons.md"]
    assert generated.stale(pages, tmp_path) == []


@pytest.mark.parametrize("reason", [*reasons.PacketReason, *reasons.UnpaidReason])
def test_every_reason_is_documented_with_its_meaning(pages: dict[str, str], reason: str):
    assert re.search(
        rf"^\| \d+ \| `{reason}` \| \w.{{10,}} \|$", pages["docs/reasons.md"], re.MULTILINE
    )


@pytest.mark.parametrize("frame", schemas.FRAMES, ids=lambda frame: frame.name)
def test_every_column_of_a_frame_is_documented_with_its_meaning(
    pages: dict[str, str], frame: schemas.Frame
):
    # given the section of the frame
    section = pages["docs/columns.md"].partition(f"\n### {frame.name}\n")[2].partition("\n##")[0]

    # then every column has its row, and the row its meaning
    rows = {
        row.split("|")[1].strip(" `"): row for row in section.splitlines() if row.startswith("| `")
    }
    assert list(rows) == [column.name for column in frame.columns]
    assert all(rows[column.name].endswith(f"{column.meaning} |") for column in frame.columns)


@pytest.mark.parametrize("table", tables.metadata.tables.values(), ids=lambda table: table.name)
def test_every_column_of_a_table_is_documented(pages: dict[str, str], table):
    section = pages["docs/columns.md"].partition(f"\n### {table.name}\n")[2].partition("\n##")[0]
    assert [column.name for column in table.columns if f"`{column.name}`" not in section] == []


def test_every_setting_is_documented_with_its_meaning(pages: dict[str, str]):
    # given every variable that a class of settings reads
    classes = docs_settings.settings_classes()
    named = [variable for one in classes for _, variable, _ in docs_settings.variables(one)]

    # when the rows of the page are read
    rows = re.findall(r"^\| `(\w+)` \|.*\| ([^|]*) \|$", pages["docs/settings.md"], re.MULTILINE)

    # then each variable has one, with a meaning
    assert len(classes) >= 2
    assert [variable for variable, _ in rows] == named
    assert [variable for variable, meaning in rows if len(meaning) < 3] == []


def test_no_module_reads_a_variable_that_is_no_setting():
    # given the variables that classes of settings read
    known = {
        variable
        for one in docs_settings.settings_classes()
        for _, variable, _ in docs_settings.variables(one)
    }

    # when the code is searched for others of ours
    used = {
        (variable, path.relative_to(ROOT).as_posix())
        for path in sources()
        for variable in re.findall(r"""["'](V2G_[A-Z][A-Z_]+)["']""", read(path))
    }

    # then there is none: it would be a setting that nobody can know of
    assert (
        sorted((v, p) for v, p in used if v not in known | FOR_PEOPLE and not v.endswith("_")) == []
    )


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(page: Path):
    # given the links of a page to files, code blocks left out
    text = re.sub(r"^```.*?^```", "", read(page), flags=re.MULTILINE | re.DOTALL)
    targets = [
        t for t in LINK.findall(text) if "://" not in t and not t.startswith(("#", "mailto:"))
    ]

    # then each file, and each heading in it, is there
    broken = []
    for target in targets:
        name, _, anchor = target.partition("#")
        there = page.parent / name
        if not there.exists() or (anchor and anchor not in anchors(there)):
            broken.append(target)
    assert broken == []


def anchors(page: Path) -> set[str]:
    """The anchors that a forge makes of a page's headings."""
    headings = re.findall(r"^#+ (.+)$", read(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_pages_that_the_code_names_exist():
    # given every mention of a page in the code
    mentions = {
        (path.relative_to(ROOT).as_posix(), name)
        for path in [*sources(), ROOT / "pyproject.toml", *sorted((ROOT / "infra").iterdir())]
        for name in re.findall(r"docs/[\w./-]*\w", read(path))
    }

    # then it is a file, a folder, or the number of a decision
    missing = [
        (p, n)
        for p, n in sorted(mentions)
        if not (ROOT / n).exists() and not list(ROOT.glob(f"{n}-*.md"))
    ]
    assert missing == []


def test_decisions_are_numbered_without_gaps_and_listed():
    # given the decisions in order
    numbers = [int(path.name[:4]) for path in DECISIONS]

    # then none is missing, and the list names each
    assert numbers == list(range(1, len(numbers) + 1))
    listed = LINK.findall(read(ROOT / "docs" / "decisions" / "README.md"))
    assert [path.name for path in DECISIONS if path.name not in listed] == []


@pytest.mark.parametrize("decision", DECISIONS, ids=lambda p: p.stem)
def test_a_decision_is_one_page_with_context_choice_and_cost(decision: Path):
    text = read(decision)
    assert re.findall(r"^#+ .+$", text, re.MULTILINE)[1:] == [
        "## Context",
        "## Decision",
        "## Cost",
    ]
    assert text.startswith(f"# {decision.name[:4]} ")
    assert len(text.split()) <= 500


def test_the_changelog_has_a_place_for_the_next_change():
    assert re.findall(r"^## (.+)$", read(ROOT / "CHANGELOG.md"), re.MULTILINE)[0] == "Unreleased"


def test_the_architecture_page_shows_every_room():
    page = read(ROOT / "docs" / "architecture.md")
    assert [name for name in packages() if "." not in name and f"{name}/" not in page] == []


def test_the_licence_is_the_one_that_is_declared():
    text = read(ROOT / "LICENSE")
    assert "Apache License" in text
    assert "Version 2.0, January 2004" in text
