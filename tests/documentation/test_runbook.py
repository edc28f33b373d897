"""The runbook has a heading for each word that an operator may meet, and for nothing else."""

import re

from evse_agent import plc
from settlement import throttling
from settlement.posting import answers, states
from settlement.reasons import PacketReason, UnpaidReason
from tasks.grid_status import Health
from tests.engineering.house import ROOT, read

REQUIRED = {
    "ERR_AUTH_EXPIRED",
    "ERR_DATA_INCONSISTENCY",
    "THERMAL_LIMIT_REACHED",
    plc.MESSAGE,
}
"""The error strings of the original requirements."""

PARKED_AS = {"LIMIT", "APPROVAL", "ACCOUNT_HELD"}
"""How a parked posting's detail begins, as ``settlement.limits.judging`` writes it."""

ENUMERATIONS = (
    PacketReason, UnpaidReason, states.State, answers.Outcome, Health, throttling.Reason,
)  # fmt: skip


def headed() -> list[str]:
    """The runbook's third-level headings, in their order."""
    return re.findall(r"^### (.+)$", read(ROOT / "docs" / "runbook.md"), re.MULTILINE)


def known() -> set[str]:
    """Every word that the code may show."""
    return REQUIRED | PARKED_AS | {member.value for one in ENUMERATIONS for member in one}


def test_every_reason_state_and_error_string_has_its_heading():
    assert sorted(known() - set(headed())) == []


def test_every_heading_names_something_that_the_code_says():
    assert sorted(set(headed()) - known()) == []


def test_no_word_has_two_headings():
    assert sorted(headed()) == sorted(set(headed()))


def test_every_heading_says_something_below_it():
    # given what stands below each heading
    parts = re.findall(
        r"^### (.+)\n((?:(?!#).*\n?)*)", read(ROOT / "docs" / "runbook.md"), re.MULTILINE
    )

    # then none is empty
    assert len(parts) == len(headed())
    assert [name for name, below in parts if not below.strip()] == []
