"""`v2g reconcile`, `v2g disputes` and `v2g payout-file`, as a shell sees them."""

import json
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner, Result

from cli import disputes, payout_files, reconcile
from settlement.posting import State
from tests.iso20022.samples import IBAN, OTHER_IBAN
from tests.postings import posting
from tests.tasks.reconciling.scene import Scene, row, statement

MONTH = ("--from", "2026-07-01T00:00:00Z", "--to", "2026-08-01T00:00:00Z")


class Shell:
    """Commands against one database."""

    def __init__(self, scene: Scene) -> None:
        self.scene = scene

    def run(self, app: typer.Typer, *words: str) -> Result:
        env = {"V2G_DATABASE_URL": self.scene.dsn, "COLUMNS": "250"}
        return CliRunner().invoke(app, words, env=env)

    def told(self, app: typer.Typer, *words: str, status: int = 0) -> Any:
        done = self.run(app, *words, "--json")
        assert done.exit_code == status, done.output
        return json.loads(done.stdout)

    def refused(self, app: typer.Typer, *words: str, status: int) -> str:
        done = self.run(app, *words)
        assert done.exit_code == status, done.output
        return done.stderr


@pytest.fixture
def shell(plain_database: str) -> Shell:
    return Shell(Scene(plain_database))


def test_from_a_statement_to_the_end_of_a_dispute(shell: Shell, tmp_path: Path) -> None:
    # given a partner's statement that lacks a payment, with a row that cannot be read
    right, lacking = (shell.scene.in_state(n, State.ACKNOWLEDGED) for n in (1, 2))
    file = tmp_path / "july.csv"
    file.write_bytes(statement([row(right), "what is this"]))

    # when it is imported
    done = shell.run(reconcile.app, "import", str(file), "--by", "anna", *MONTH)

    # then the bad row is named, and the difference is listed with its money
    assert done.exit_code == 1
    assert "july.csv line 3" in done.stderr
    assert "missing_at_partner" in done.stdout
    listed = shell.told(reconcile.app, "differences")
    (difference,) = listed["differences"]
    assert (difference["posting_id"], difference["at_stake_minor"]) == (lacking.posting_id, 102)
    assert "1.02" in shell.run(reconcile.app, "differences").stdout
    out = tmp_path / "differences.csv"
    assert shell.run(reconcile.app, "differences", "--csv", str(out)).exit_code == 0
    assert out.read_bytes().startswith(b"\xef\xbb\xbfdifference_id,")
    assert len(shell.told(reconcile.app, "show")["statements"]) == 1
    assert not shell.told(reconcile.app, "run", "--by", "anna", *MONTH)["found_anew"]
    # and it is disputed, answered, shown, packed and ended
    which = difference["difference_id"][:8]
    made = shell.told(disputes.app, "open", which, "--by", "anna", "--reason", "not paid")
    dispute = made["dispute_id"]
    shell.told(disputes.app, "answer", dispute, "--by", "berta", "--text", "they search")
    assert shell.told(disputes.app, "show", dispute)["state"] == "answered"
    pack = shell.told(disputes.app, "evidence", dispute, "--out", str(tmp_path / "pack"))
    assert "MANIFEST.sha256" in pack["files"]
    ended = shell.told(disputes.app, "close", dispute, "--outcome", "won", "--by", "anna")
    assert (ended["state"], ended["booked"]) == ("won", 1)
    shown = shell.run(disputes.app, "list")
    assert shown.exit_code == 0
    assert "won" in shown.stdout


def test_an_overdue_dispute_ends_the_list_with_one(shell: Shell) -> None:
    one = shell.scene.in_state(1, State.ACKNOWLEDGED)
    shell.told(disputes.app, "open", "--posting", one.posting_id, "--by", "anna", "--days", "1")
    shell.scene.do("set session_replication_role = replica; update dispute set deadline_at = now()")

    done = shell.run(disputes.app, "list", "--overdue")

    assert done.exit_code == 1
    assert "overdue" in done.stdout


def test_a_file_of_payouts_is_written_shown_handed_over_and_not_cancelled(
    shell: Shell, tmp_path: Path
) -> None:
    shell.scene.post([posting(1, account="alice", currency="EUR"), posting(2)])
    payees = tmp_path / "payees.csv"
    payees.write_text(f"account,name,iban\nalice,Alice,{IBAN}\nbob,Bob,wrong\n", "utf-8")
    payees.chmod(0o600)
    out = tmp_path / "july.xml"
    debtor = ("--debtor-name", "Example", "--debtor-iban", OTHER_IBAN)
    words = ("write", "--payees", str(payees), "--by", "anna", *debtor)

    done = shell.run(payout_files.app, *words, "--out", str(out))

    assert done.exit_code == 0, done.output
    assert "no bank data" in done.stdout
    assert "line 3: bob" in done.stderr
    (listed,) = shell.told(payout_files.app, "list")["files"]
    again = tmp_path / "again.xml"
    shown = shell.told(payout_files.app, "show", listed["file_id"], "--out", str(again))
    assert (shown["state"], shown["postings"]) == ("written", {"sent": 1})
    assert again.read_bytes() == out.read_bytes()
    shell.told(payout_files.app, "handed-over", listed["file_id"], "--by", "anna")
    told = shell.refused(
        payout_files.app, "cancel", listed["file_id"], "--by", "b", "--why", "late", status=1
    )
    assert "handed over by anna" in told
    shell.refused(payout_files.app, *words, "--out", str(out), status=2)
    shell.refused(payout_files.app, *words, "--out", str(tmp_path / "other.xml"), status=1)


@pytest.mark.parametrize(
    ("app", "words"),
    [
        (reconcile.app, ("import", "/nowhere.csv", "--by", "anna")),
        (reconcile.app, ("import", __file__, "--by", "anna")),
        (reconcile.app, ("import", __file__, "--by", " ")),
        (reconcile.app, ("import", __file__, "--by", "anna", "--from", "2026-07-01T00:00:00Z")),
        (reconcile.app, ("run", "--by", "anna", "--from", "x", "--to", "y")),
        (reconcile.app, ("differences",)),
        (disputes.app, ("open", "--by", "anna")),
        (disputes.app, ("open", "none", "--by", "anna")),
        (disputes.app, ("open", "--posting", "none", "--by", "anna")),
        (disputes.app, ("show", "none")),
        (disputes.app, ("close", "none", "--by", "anna", "--outcome", "won")),
        (payout_files.app, ("show", "none")),
        (payout_files.app, ("write", "--out", "/nowhere/x.xml", "--by", "anna")),
        (payout_files.app, ("cancel", "none", "--by", "anna", "--why", "x")),
    ],
    ids=range(14),
)
def test_what_cannot_be_done_says_what_was_expected(
    shell: Shell, app: typer.Typer, words: tuple[str, ...]
) -> None:
    assert "expected" in shell.refused(app, *words, status=2)
