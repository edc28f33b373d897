"""The generated pages of commands and metrics say what the code has; that they are fresh, tests/engineering says."""

import re

import pytest

from cli import docs_metrics
from cli.docs_cli import cli_page, leaves, paragraphs, root
from tests.engineering.house import ROOT, sources

COMMANDS = dict(leaves(root()))


@pytest.fixture(scope="module")
def page() -> str:
    return cli_page()


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_is_there_with_each_of_its_options(page, name):
    section = page.partition(f"\n### v2g {name}\n")[2].partition("\n##")[0]

    assert section
    shown = {
        one: one.opts[0] if one.param_type_name == "option" else (one.metavar or one.name)
        for one in COMMANDS[name].params
    }
    assert [one.name for one in shown if shown[one].upper() not in section.upper()] == []


def test_a_list_in_the_help_stays_a_list():
    (found,) = paragraphs("\b\nprograms   with their primacy\nwindows    in time order")

    assert found == "```\nprograms   with their primacy\nwindows    in time order\n```"


def test_every_metric_that_the_code_makes_is_there_with_type_and_meaning():
    # given every name of a figure in the code
    made = {
        name
        for package in ("ingest_daemon", "thermal_guard")
        for path in sources(package)
        for name in re.findall(
            r'"(v2g_(?:ingest|modbus|thermal)_[a-z_]+)"', path.read_text("utf-8")
        )
    }

    # when the page is read
    rows = re.findall(
        r"^\| `(\w+)` \| (\w+) \|.*\| ([^|]*) \|$", docs_metrics.metrics_page(), re.MULTILINE
    )

    # then each has its row
    assert len(made) > 30
    assert {name.removesuffix("_total") for name, _, _ in rows} == made
    assert {kind for _, kind, _ in rows} == {"counter", "gauge", "histogram"}
    assert [name for name, _, meaning in rows if len(meaning) < 10] == []


def test_no_other_package_measures_for_prometheus():
    """Whoever measures elsewhere must be added to cli.docs_metrics, or nobody would know of it."""
    assert {
        path.relative_to(ROOT).parts[0]
        for path in sources()
        if "import" in (text := path.read_text("utf-8")) and "from prometheus_client import" in text
    } <= {"cli", "ingest_daemon", "thermal_guard"}
