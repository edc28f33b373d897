"""Balances, seals, and every way of changing the ledger: each is found and named."""

from datetime import timedelta
from pathlib import Path

import psycopg
import pytest

from settlement import merkle, seals
from storage import ledger
from storage.audit import Audit, Finding, What
from storage.books import ConcurrentRunError
from storage.engine import Role, connect
from tasks.ledger import balance, close_period, verify_ledger
from tasks.seal_file import SealFile, SealFileError
from tests.storage.booked import NOON, book

LATER = NOON + timedelta(days=1)


def close(dsn: str, out: Path | None = None) -> None:
    close_period(dsn, clock=lambda: LATER, out=out)


def tamper(dsn: str, *statements: str) -> None:
    """What a superuser can do, past every trigger."""
    with psycopg.connect(dsn, user="v2g") as conn:
        conn.execute("set session_replication_role = replica")
        for statement in statements:
            conn.execute(statement)


@pytest.fixture
def sealed(plain_database: str) -> str:
    """Five bookings under one seal, and one that no seal covers yet."""
    book(plain_database, 101, 102, 103)
    book(plain_database, 104, 105)
    close(plain_database)
    book(plain_database, 106)
    return plain_database


def found(dsn: str, against: Path | None = None) -> Finding:
    finding = verify_ledger(dsn, against=against).finding
    assert finding is not None
    return finding


def test_balances_are_sums_of_the_journal_and_sum_to_zero(database: str) -> None:
    book(database, 101, 102)
    now = balance(database)
    assert [(one.account, one.balance_minor) for one in now.accounts] == [
        ("payable:owner:alice", -203),
        ("receivable:utility:tariff", 203),
    ]
    (trial,) = now.trial
    assert (trial.debit_minor, trial.credit_minor, trial.balance_minor) == (203, 203, 0)
    assert now.stands


def test_a_ledger_that_does_not_balance_is_told(plain_database: str) -> None:
    book(plain_database, 101)
    tamper(plain_database, "delete from journal_line where account like 'payable%'")
    assert not balance(plain_database).stands


def test_what_was_sealed_stands_and_what_was_not_is_counted(database: str) -> None:
    # given three bookings sealed, and one more
    book(database, 101, 102, 103)
    close(database)
    book(database, 104)
    # when, then
    assert verify_ledger(database) == Audit(bookings=3, seals=1, unsealed=1, finding=None)


def test_an_empty_ledger_stands_and_closing_it_seals_nothing(plain_database: str) -> None:
    assert close_period(plain_database, clock=lambda: LATER).seals == 0
    assert verify_ledger(plain_database) == Audit(0, 0, 0, None)


EDITS = {
    "amount of a settlement": "update settlement set amount_minor = 999 where booking_no = 2",
    "allocation": """update settlement set allocations = '[]' where booking_no = 2""",
    "version of an event": "update settlement set event_version = 4 where booking_no = 2",
    "time of a line": """
        update line set ended_at = ended_at + interval '1 us' where settlement_id = 'settlement-102'
        and started_at = (select min(started_at) from line)""",
    "line deleted": """
        delete from line where settlement_id = 'settlement-102'
        and started_at = (select min(started_at) from line)""",
    "amount in the journal": """
        update journal_line set amount_minor = amount_minor * 2 where entry_id like 'settlement-102%'""",
    "account in the journal": """
        update journal_line set account = 'payable:owner:mallory'
        where entry_id like 'settlement-102%' and account like 'payable%'""",
    "entry deleted": "delete from journal_entry where settlement_id = 'settlement-102'",
    "balanced lines added": """
        insert into journal_line values ('settlement-102:payout', 'payable:owner:x', 'USD', 5),
                                        ('settlement-102:payout', 'payable:owner:y', 'USD', -5)""",
}


@pytest.mark.parametrize("edit", EDITS.values(), ids=EDITS)
def test_an_edit_by_a_superuser_is_found_and_named(sealed: str, edit: str) -> None:
    # given more than one edit, of which the later booking's must not be named
    tamper(sealed, edit, "update settlement set reason = 'x' where booking_no = 4")
    # when
    finding = found(sealed)
    # then
    assert (finding.what, finding.seal, finding.booking_no, finding.settlement_id) == (
        What.EDITED,
        1,
        2,
        "settlement-102",
    )


def test_a_deletion_is_found_and_named(sealed: str) -> None:
    tamper(
        sealed,
        *(
            f"delete from {table} where settlement_id = 'settlement-103'"
            for table in ("settlement", "line", "journal_entry")
        ),
    )
    finding = found(sealed)
    assert (finding.what, finding.booking_no, finding.settlement_id) == (
        What.DELETED,
        3,
        "settlement-103",
    )


COPY = """
    insert into settlement ({columns}) overriding system value
    select {values} from settlement where booking_no = 1
"""


@pytest.mark.parametrize("number", [0, -1], ids=["before the first", "far before it"])
def test_an_insertion_is_found_and_named(sealed: str, number: int) -> None:
    with connect(sealed, Role.READ) as conn:
        names = [
            column.name for column in conn.execute("select * from settlement").description or ()
        ]
    values = {"settlement_id": "'forged'", "booking_no": f"{number}", "vehicle_id": "'mallory'"}
    tamper(
        sealed,
        COPY.format(
            columns=", ".join(names), values=", ".join(values.get(name, name) for name in names)
        ),
    )
    finding = found(sealed)
    assert (finding.what, finding.booking_no, finding.settlement_id) == (
        What.INSERTED,
        number,
        "forged",
    )


SWAPS = {
    "two swapped": [(2, 900), (4, 2), (900, 4)],
    "one moved behind the sealed ones": [(2, 900)],
    "one moved before the first": [(2, 0)],
}


@pytest.mark.parametrize("moves", SWAPS.values(), ids=SWAPS)
def test_a_reordering_is_found_and_named(sealed: str, moves: list[tuple[int, int]]) -> None:
    tamper(
        sealed,
        "alter table settlement alter booking_no drop identity",
        *(
            f"update settlement set booking_no = {after} where booking_no = {before}"
            for before, after in moves
        ),
    )
    finding = found(sealed)
    assert (finding.what, finding.booking_no, finding.settlement_id) == (
        What.REORDERED,
        2,
        "settlement-102",
    )


LOOSE = {
    "an entry without a settlement": (
        """insert into journal_entry (entry_id, settlement_id, period_at, booked_at, kind)
           values ('e', 'nobody', now(), now(), 'payout')""",
        What.INSERTED,
    ),
    "journal lines without an entry": (
        "insert into journal_line values ('e', 'a', 'USD', 5), ('e', 'b', 'USD', -5)",
        What.INSERTED,
    ),
    "an unsealed entry that does not balance": (
        "update journal_line set amount_minor = 7 where entry_id like 'settlement-106%'",
        What.UNBALANCED,
    ),
    "an unsealed settlement deleted": (
        "delete from settlement where settlement_id = 'settlement-106'",
        What.DELETED,
    ),
}


@pytest.mark.parametrize(("change", "what"), LOOSE.values(), ids=LOOSE)
def test_what_hangs_on_no_seal_is_looked_at_too(sealed: str, change: str, what: What) -> None:
    tamper(sealed, change)
    assert found(sealed).what is what


SEAL_CHANGES = {
    "a leaf": "update sealed_leaf set leaf = sha256('x') where booking_no = 2",
    "a leaf deleted": "delete from sealed_leaf where booking_no = 2",
    "a root": "update seal set root = sha256('x')",
    "a time": "update seal set sealed_at = sealed_at + interval '1 s'",
    "a number": "update seal set number = 7",
}


@pytest.mark.parametrize("change", SEAL_CHANGES.values(), ids=SEAL_CHANGES)
def test_a_changed_seal_is_found(sealed: str, change: str) -> None:
    tamper(sealed, change)
    assert found(sealed).what is What.SEAL_BROKEN


def reseal(dsn: str) -> None:
    """Forge leaves and seals that fit the ledger as it stands, the whole chain anew."""
    with psycopg.connect(dsn, user="v2g") as conn:
        conn.execute("set session_replication_role = replica")
        old = ledger.load_seals(conn)
        conn.execute("delete from sealed_leaf")
        conn.execute("delete from seal")
        previous = None
        for one in old:
            bookings = list(ledger.bookings(conn, after=one.first - 1, until=one.last))
            contents = [booking.content for booking in bookings]
            previous = seals.seal(previous, one.first, one.last, contents, one.sealed_at)
            ledger._insert(conn, previous, [booking.leaf for booking in bookings])


def test_whoever_rewrites_the_seals_too_is_found_by_a_copy_kept_elsewhere(
    plain_database: str, tmp_path: Path
) -> None:
    # given seals that were also written to a file
    kept = tmp_path / "seals.ndjson"
    book(plain_database, 101, 102, 103)
    close(plain_database, kept)
    book(plain_database, 104)
    close(plain_database, kept)
    assert verify_ledger(plain_database, against=kept).finding is None
    # when a booking is edited and all seals are made anew
    tamper(plain_database, "update settlement set amount_minor = 999 where booking_no = 2")
    reseal(plain_database)
    # then the database alone stands, and the copy names the booking
    assert verify_ledger(plain_database).finding is None
    finding = found(plain_database, kept)
    assert (finding.what, finding.seal, finding.booking_no) == (What.EDITED, 1, 2)


def test_a_copy_without_hashes_still_finds_that_a_seal_is_another(
    plain_database: str, tmp_path: Path
) -> None:
    import json

    # given a copy of which only the digests were kept
    kept = tmp_path / "seals.ndjson"
    book(plain_database, 101, 102)
    close(plain_database, kept)
    body = json.loads(kept.read_text())
    kept.write_text(
        json.dumps({name: of for name, of in body.items() if name != "bookings"}) + "\n"
    )
    tamper(plain_database, "update settlement set amount_minor = 999 where booking_no = 2")
    reseal(plain_database)
    # when, then
    assert found(plain_database, kept).what is What.SEAL_BROKEN


def test_bookings_cut_off_with_their_seal_are_found_by_the_copy(
    plain_database: str, tmp_path: Path
) -> None:
    # given an older backup put back: the last seal and all it covers are gone
    kept = tmp_path / "seals.ndjson"
    book(plain_database, 101)
    close(plain_database, kept)
    book(plain_database, 102)
    close(plain_database, kept)
    tamper(
        plain_database,
        "delete from seal where number = 2",
        "delete from sealed_leaf where number = 2",
        *(
            f"delete from {table} where settlement_id = 'settlement-102'"
            for table in ("settlement", "line", "journal_entry")
        ),
        "delete from journal_line where entry_id like 'settlement-102%'",
    )
    # when, then
    assert verify_ledger(plain_database).finding is None
    finding = found(plain_database, kept)
    assert (finding.what, finding.seal, finding.settlement_id) == (
        What.DELETED,
        2,
        "settlement-102",
    )


def test_a_close_of_many_makes_several_seals_in_one_chain(
    plain_database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given room for two bookings in a seal, and batches of one
    monkeypatch.setattr(ledger, "SEAL_MAX", 2)
    monkeypatch.setattr(ledger, "BATCH", 1)
    book(plain_database, 101, 102, 103, 104, 105)
    told: list[int] = []
    # when
    done = close_period(
        plain_database, clock=lambda: LATER, out=tmp_path / "seals", progress=told.append
    )
    # then
    assert (done.seals, done.bookings, done.written, sum(told)) == (3, 5, 3, 5)
    assert verify_ledger(plain_database, against=tmp_path / "seals") == Audit(5, 3, 0, None)
    with connect(plain_database, Role.READ) as conn:
        seals.verify_chain(ledger.load_seals(conn))


def test_what_was_known_later_is_left_to_a_later_close(plain_database: str) -> None:
    # given bookings of two days, the later ones between the earlier
    book(plain_database, 101, known_at=NOON + timedelta(hours=2))
    book(plain_database, 102, known_at=LATER + timedelta(hours=2))
    book(plain_database, 103, known_at=NOON + timedelta(hours=3))
    # when
    done = close_period(plain_database, clock=lambda: LATER, until=LATER)
    # then the order of booking decides
    assert (done.bookings, done.unsealed) == (1, 2)


def test_numbers_that_were_never_booked_leave_no_hole_in_a_seal(plain_database: str) -> None:
    # given a run that books twice what is there already and is rolled back, so that a number is gone
    book(plain_database, 101)
    with pytest.raises(ConcurrentRunError):
        book(plain_database, 101, known_at=LATER)
    book(plain_database, 103)
    # when
    close(plain_database)
    # then
    with connect(plain_database, Role.READ) as conn:
        (one,) = ledger.load_seals(conn)
        leaves = ledger.load_leaves(conn, one)
    assert (one.first, one.last, one.leaves) == (1, leaves[-1].booking_no, 2)
    assert leaves[-1].booking_no > 2
    assert merkle.Tree.of(leaf.leaf for leaf in leaves).root == one.root
    assert verify_ledger(plain_database).finding is None


def test_a_file_that_missed_a_close_catches_up(plain_database: str, tmp_path: Path) -> None:
    kept = tmp_path / "seals.ndjson"
    book(plain_database, 101)
    close(plain_database)
    book(plain_database, 102)
    assert close_period(plain_database, clock=lambda: LATER, out=kept).written == 2
    assert sorted(SealFile(kept).seals) == [1, 2]
    assert close_period(plain_database, clock=lambda: LATER, out=kept).written == 0


@pytest.mark.parametrize(
    ("text", "said"),
    [
        pytest.param("{", "no JSON", id="no JSON"),
        pytest.param('{"form": "another"}', "another document", id="another form"),
        pytest.param(
            '{"form": "v2g-settlement seal 1", "number": 1}',
            "all parts of a seal",
            id="parts missing",
        ),
    ],
)
def test_a_file_that_holds_no_seals_is_refused_and_nothing_is_sealed(
    plain_database: str, tmp_path: Path, text: str, said: str
) -> None:
    kept = tmp_path / "seals.ndjson"
    kept.write_text(text + "\n")
    book(plain_database, 101)
    with pytest.raises(SealFileError, match=said) as refused:
        close(plain_database, kept)
    assert refused.value.line == 1
    assert verify_ledger(plain_database).unsealed == 1
