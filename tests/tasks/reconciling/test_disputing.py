"""Disputes: a deadline, one course, evidence that anybody can check, and their end in the books."""

import subprocess
from datetime import timedelta
from pathlib import Path

import psycopg
import pytest
from psycopg.errors import UniqueViolation

from settlement.booking.disputes import Outcome
from settlement.posting import State
from settlement.reconciling import Kind
from storage import disputes
from storage.disputes import DisputeClosedError, DisputeExistsError, NotExpiredError
from storage.partner_statements import operating
from storage.reconciliations import NoSuchDifferenceError
from tasks.ledger import balance, close_period, verify_ledger
from tasks.reconciling import disputing
from tasks.reconciling.disputing import UndisputableError
from tasks.reconciling.evidence import FolderTakenError, write_pack
from tests.storage.booked import NOON, book
from tests.tasks.reconciling.scene import AUGUST, Scene, clock, row, statement

LATER = AUGUST + timedelta(days=71)


@pytest.fixture
def scene(plain_database: str) -> Scene:
    return Scene(plain_database)


def missing(scene: Scene, number: int = 101) -> str:
    """A booked, acknowledged payout that the partner's statement lacks: its difference."""
    book(scene.dsn, number)
    one = scene.in_state(number, State.ACKNOWLEDGED, amount_minor=number)
    done = scene.bring(statement([",,USD,-25,2026-07-01T18:00:06Z,F,fee"]))
    return next(
        each.difference_id
        for each in done.compared.differences
        if each.kind is Kind.MISSING_AT_PARTNER and each.posting_id == one.posting_id
    )


def opened(scene: Scene, difference: str) -> str:
    made = disputing.open_on_difference(
        scene.dsn, difference, by="anna", reason="not paid", clock=clock, days=70
    )
    return made.dispute_id


def accounts(scene: Scene) -> dict[str, int]:
    found = balance(scene.dsn)
    assert found.stands
    return {one.account: one.balance_minor for one in found.accounts}


def test_a_dispute_has_a_deadline_and_is_opened_once(scene: Scene) -> None:
    # given a difference
    difference = missing(scene)

    # when it is disputed, and answered
    dispute = opened(scene, difference)
    disputing.answer(scene.dsn, dispute[:8], by="berta", text="they search", clock=clock)

    # then money, deadline and course stand, and it is overdue only after its deadline
    ((one,), unbooked) = disputing.listed(scene.dsn)
    assert (one.amount_minor, one.currency, one.deadline_at) == (
        101, "USD", AUGUST + timedelta(days=70),
    )  # fmt: skip
    assert [(each.kind, each.by) for each in one.events] == [
        ("opened", "anna"),
        ("answered", "berta"),
    ]
    assert (one.is_overdue(AUGUST), one.is_overdue(LATER), unbooked) == (False, True, frozenset())
    # and neither it nor its posting can be disputed again
    with pytest.raises(DisputeExistsError):
        opened(scene, difference)
    with pytest.raises(UndisputableError, match="is in dispute"):
        disputing.open_on_posting(
            scene.dsn, one.posting_id, by="anna", reason="", clock=clock, days=70
        )


def test_what_has_no_money_at_stake_cannot_be_disputed(scene: Scene) -> None:
    one = scene.in_state(1, State.ACKNOWLEDGED)
    done = scene.bring(statement([row(one, status="pending", paid_at="2026-07-31T12:00:00Z")]))
    (difference,) = done.compared.differences

    with pytest.raises(UndisputableError, match="no money at stake"):
        opened(scene, difference.difference_id)


@pytest.mark.parametrize(
    ("outcome", "counter"),
    [
        (Outcome.WON, "received:dispute:clearinghouse"),
        (Outcome.LOST, "written_off:dispute:clearinghouse"),
        (Outcome.EXPIRED, "written_off:dispute:clearinghouse"),
        (Outcome.WITHDRAWN, ""),
    ],
)
def test_how_it_ends_is_booked_once_and_the_sealed_ledger_stands(
    scene: Scene, outcome: Outcome, counter: str
) -> None:
    # given a dispute about a payout whose booking is sealed
    dispute = opened(scene, missing(scene))
    close_period(scene.dsn, clock=lambda: LATER)

    # when it ends, and is ended in the same way again
    for _ in range(2):
        disputing.close(scene.dsn, dispute, outcome, by="anna", text="", clock=lambda: LATER)

    # then the receivable has moved to where the money is, once, and nobody is owed less
    expected = {"payable:owner:alice": -101, "receivable:utility:tariff": 101}
    if counter:
        expected |= {"receivable:utility:tariff": 0, counter: 101}
    assert accounts(scene) == expected
    # and the ledger verifies, before and after another period is closed
    assert verify_ledger(scene.dsn).finding is None
    book(scene.dsn, 102)
    close_period(scene.dsn, clock=lambda: LATER)
    assert verify_ledger(scene.dsn).finding is None
    # and it never ends otherwise
    other = Outcome.LOST if outcome is Outcome.WON else Outcome.WON
    with pytest.raises(DisputeClosedError, match=outcome.value):
        disputing.close(scene.dsn, dispute, other, by="anna", text="", clock=clock)


def test_what_the_partner_gave_too_much_is_booked_the_other_way_round(scene: Scene) -> None:
    book(scene.dsn, 101)
    one = scene.in_state(101, State.ACKNOWLEDGED, amount_minor=101)
    done = scene.bring(statement([row(one), row(one, 2)]))
    (twice,) = done.compared.differences
    dispute = opened(scene, twice.difference_id)

    disputing.close(scene.dsn, dispute, Outcome.WON, by="anna", text="", clock=clock)

    assert accounts(scene)["received:dispute:clearinghouse"] == -101
    assert accounts(scene)["receivable:utility:tariff"] == 202


def test_it_does_not_expire_before_its_deadline(scene: Scene) -> None:
    dispute = opened(scene, missing(scene))

    with pytest.raises(NotExpiredError):
        disputing.close(scene.dsn, dispute, Outcome.EXPIRED, by="anna", text="", clock=clock)


def test_an_end_that_was_not_booked_is_booked_later(scene: Scene) -> None:
    # given an end that was stored by a program that died before it booked it
    dispute = opened(scene, missing(scene))
    with operating(scene.dsn) as conn:
        disputes.close(conn, dispute, Outcome.LOST, by="anna", text="", now=AUGUST)
    assert disputing.listed(scene.dsn)[1] == {dispute}

    assert disputing.book_outcomes(scene.dsn, clock=clock) == 1
    assert disputing.book_outcomes(scene.dsn, clock=clock) == 0
    assert disputing.listed(scene.dsn)[1] == frozenset()


@pytest.mark.parametrize(
    "tampering",
    [
        (
            "insert into journal_entry (entry_id, settlement_id, kind, period_at, booked_at)"
            " values ('dispute:none', 'dispute:none', 'dispute_lost', now(), now())"
        ),
        "update journal_entry set kind = 'dispute_won' where settlement_id like 'dispute:%'",
        "update journal_line set amount_minor = 2 * amount_minor where entry_id like 'dispute:%'",
        "delete from journal_line where entry_id like 'dispute:%'",
    ],
    ids=range(4),
)
def test_whoever_changes_what_was_booked_is_found(scene: Scene, tampering: str) -> None:
    dispute = opened(scene, missing(scene))
    disputing.close(scene.dsn, dispute, Outcome.LOST, by="anna", text="", clock=clock)
    assert verify_ledger(scene.dsn).finding is None

    with psycopg.connect(scene.dsn, user="v2g") as conn:
        conn.execute("set session_replication_role = replica")
        conn.execute(tampering)

    finding = verify_ledger(scene.dsn).finding
    assert finding is not None
    assert "dispute" in finding.detail


def test_the_database_lets_a_dispute_end_once(scene: Scene) -> None:
    dispute = opened(scene, missing(scene))
    for number, kind in ((2, "won"), (3, "lost")):
        query = "insert into dispute_event values (%s, %s, %s, 'x', now(), '')"
        if kind == "won":
            scene.do(query, dispute, number, kind)
        else:
            with pytest.raises(UniqueViolation):
                scene.do(query, dispute, number, kind)


def test_the_evidence_is_checked_by_what_every_machine_has(scene: Scene, tmp_path: Path) -> None:
    # given a dispute about a line of a statement and a posting
    one = scene.in_state(1, State.ACKNOWLEDGED)
    data = statement([row(one, amount_minor=1)])
    (difference,) = scene.bring(data).compared.differences
    dispute = opened(scene, difference.difference_id)

    # when its evidence is written
    folder = tmp_path / "pack"
    _, names = write_pack(scene.dsn, dispute, folder, now=AUGUST)

    # then body and statement are there byte for byte, and sha256sum checks all of it
    assert folder.joinpath("posting-body.json").read_bytes() == one.body
    assert folder.joinpath("statement-file.csv").read_bytes() == data
    assert one.body_digest.hex() in folder.joinpath("posting.json").read_text("utf-8")
    assert {"dispute.json", "receipts.json", "statement-line.json", "README.txt"} < set(names)
    check = ["sha256sum", "-c", "--strict", "MANIFEST.sha256"]
    assert subprocess.run(check, cwd=folder, check=False, capture_output=True).returncode == 0
    folder.joinpath("receipts.json").write_bytes(b"[]")
    assert subprocess.run(check, cwd=folder, check=False, capture_output=True).returncode == 1
    with pytest.raises(FolderTakenError):
        write_pack(scene.dsn, dispute, folder, now=AUGUST)


def test_the_evidence_says_why_the_money_is_owed(scene: Scene, tmp_path: Path) -> None:
    dispute = opened(scene, missing(scene))

    _, names = write_pack(scene.dsn, dispute, tmp_path / "pack", now=NOON + timedelta(days=60))

    assert "settlement-pack.json" in names


def test_what_a_later_comparison_no_longer_finds_cannot_be_disputed(scene: Scene) -> None:
    # given a payment that was missing, and that a later statement lists
    difference = missing(scene)
    one = scene.ask("select posting_id from posting where amount_minor = 101")[0][0]
    late = f"{one},alice,USD,101,2026-07-05T00:00:00Z,R-1,paid"
    scene.bring(statement([late]), name="late.csv")

    with pytest.raises(NoSuchDifferenceError):
        opened(scene, difference)
