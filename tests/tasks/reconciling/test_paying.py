"""Files of payouts: what stands in one is paid by nobody else, and the bank's word decides it."""

from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest

from iso20022 import Debtor, Iso20022Error, end_to_end_id
from settlement.posting import Posting, State
from settlement.reconciling import Kind
from storage import payout_files
from storage.engine import Role, connect
from storage.errors import InsecureSecretError
from storage.outbox import claim
from storage.outbox_figures import next_due_at
from storage.payout_files import PayoutFileAtBankError, PayoutFileEndedError
from tasks.reconciling.payees import Payees, UnusablePayeesError, read_payees
from tasks.reconciling.paying import Written, write_file
from tests.iso20022.samples import IBAN, OTHER_IBAN, entry, notification, payment
from tests.postings import posting
from tests.tasks.reconciling.scene import AUGUST, Scene, clock, row, statement

PAYEES = f"account,name,iban,bic\nalice,Alice Example,{IBAN},COBADEFFXXX\nbob,Bob,{OTHER_IBAN},\n"


@pytest.fixture
def scene(plain_database: str) -> Scene:
    return Scene(plain_database)


@pytest.fixture
def payees(tmp_path: Path) -> Payees:
    return read_payees(kept(tmp_path, PAYEES))


def kept(folder: Path, text: str, mode: int = 0o600) -> Path:
    path = folder / "payees.csv"
    path.write_text(text, "utf-8")
    path.chmod(mode)
    return path


def due(scene: Scene, number: int, **changes: Any) -> Posting:
    one = posting(number, **({"account": "alice", "currency": "EUR"} | changes))
    scene.post([one])
    return one


def write(scene: Scene, payees: Payees, **changes: Any) -> Written:
    given: dict[str, Any] = {
        "partner": "clearinghouse",
        "payees": payees,
        "debtor": Debtor("Example Energy", OTHER_IBAN),
        "currencies": ["EUR"],
        "execute_on": date(2026, 7, 2),
        "by": "anna",
        "clock": clock,
        "most": 10,
    }
    return write_file(scene.dsn, **(given | changes))


def written_id(done: Written) -> str:
    assert done.file is not None
    return done.file.file_id


def claimed(scene: Scene) -> list[str]:
    with connect(scene.dsn, Role.POSTER) as conn:
        found = claim(
            conn, partner="clearinghouse", now=AUGUST, limit=100, lease=timedelta(seconds=30)
        )
    return [one.posting.posting_id for one in found]


def told(scene: Scene, *entries: str, payees: Payees) -> Any:
    return scene.bring(
        notification(entries), name="july.xml", accounts=payees.accounts_by_iban
    ).compared


def test_a_file_takes_what_it_pays_and_says_what_it_leaves_out_and_why(
    scene: Scene, payees: Payees
) -> None:
    # given postings that can be paid by file, and one for every reason not to
    one, two = due(scene, 1), due(scene, 2, account="bob")
    due(scene, 3, amount_minor=-5)
    due(scene, 4, account="carol")
    due(scene, 5, currency="USD")
    unscreened = due(scene, 6)
    scene.do(
        "update posting_state set screened_at = null where posting_id = %s", unscreened.posting_id
    )

    # when a file is written
    done = write(scene, payees)

    # then it pays those two, they are out, and the others are named with their reason
    assert done.file is not None
    assert (done.file.payments, done.file.totals) == (2, {"EUR": 203})
    for paid in (one, two):
        assert end_to_end_id(paid.posting_id).encode() in done.content
        assert scene.states()[paid.posting_id] == "sent"
    assert {each.why for each in done.left_out} == {
        "negative", "no bank data", "currency not supported",
    }  # fmt: skip
    # and no poster takes them, however late it is
    assert one.posting_id not in claimed(scene)
    assert two.posting_id not in claimed(scene)
    # and no second file does
    assert write(scene, payees).file is None


def test_a_full_file_leaves_the_rest_for_the_next(scene: Scene, payees: Payees) -> None:
    due(scene, 1)
    due(scene, 2)

    first, second = write(scene, payees, most=1), write(scene, payees, most=1)

    assert [each.why for each in first.left_out] == ["the file is full"]
    assert second.left_out == []
    assert written_id(first) != written_id(second)


def test_what_a_poster_has_taken_no_file_takes(scene: Scene, payees: Payees) -> None:
    one = due(scene, 1)
    assert claimed(scene) == [one.posting_id]

    assert write(scene, payees).file is None


def test_where_a_file_cannot_be_written_nothing_is_taken(scene: Scene, payees: Payees) -> None:
    one = due(scene, 1)

    with pytest.raises(Iso20022Error):
        write(scene, payees, debtor=Debtor("Example", "nothing"))

    assert scene.states() == {one.posting_id: "pending"}
    assert scene.ask("select count(*) from payout_file_line") == [(0,)]


def test_the_banks_word_acknowledges_and_rejects(scene: Scene, payees: Payees) -> None:
    # given a file with three payouts
    paid, back, waiting = due(scene, 1), due(scene, 2, account="bob"), due(scene, 3)
    write(scene, payees)

    # when the bank tells that it paid one, and that another came back
    ids = {one: end_to_end_id(one.posting_id) for one in (paid, back)}
    done = told(
        scene,
        entry([payment(ids[paid], "1.01")], "1.01", reference="R-1"),
        entry(
            [payment(ids[back], "1.02", side="CRDT", iban=OTHER_IBAN, returned="AC04")],
            "1.02",
            side="CRDT",
            reference="R-2",
        ),
        payees=payees,
    )

    # then each is final, with a receipt, and the third is still under way
    assert scene.states() == {
        paid.posting_id: "acknowledged",
        back.posting_id: "rejected",
        waiting.posting_id: "sent",
    }
    assert (done.proven, done.refused) == (1, 1)
    assert {one.kind for one in done.differences} == {Kind.RETURNED, Kind.NOT_YET_DUE}
    assert scene.ask("select outcome from receipt order by outcome") == [
        ("acknowledged",),
        ("rejected",),
    ]


def test_a_bank_that_paid_somebody_else_acknowledges_nothing(scene: Scene, payees: Payees) -> None:
    one = due(scene, 1)
    write(scene, payees)

    done = told(
        scene,
        entry([payment(end_to_end_id(one.posting_id), "1.01", iban=OTHER_IBAN)], "1.01"),
        payees=payees,
    )

    assert [each.kind for each in done.differences] == [Kind.ACCOUNT_DIFFERS]
    assert scene.states() == {one.posting_id: "sent"}


def test_what_is_paid_by_the_api_and_by_the_bank_is_paid_twice(
    scene: Scene, payees: Payees
) -> None:
    # given a payout in a file, which the bank paid
    one = due(scene, 1)
    write(scene, payees)
    told(scene, entry([payment(end_to_end_id(one.posting_id), "1.01")], "1.01"), payees=payees)

    # when the clearinghouse lists it too
    done = scene.bring(statement([row(one)]))

    assert Kind.PAID_TWICE in {each.kind for each in done.compared.differences}


def test_a_payment_by_api_is_not_missing_at_the_bank_nor_the_other_way_round(
    scene: Scene, payees: Payees
) -> None:
    by_api = scene.in_state(7, State.ACKNOWLEDGED)
    by_file = due(scene, 1)
    write(scene, payees)

    bank = told(
        scene, entry([payment(end_to_end_id(by_file.posting_id), "1.01")], "1.01"), payees=payees
    )
    house = scene.bring(statement([row(by_api)]))

    assert (bank.differences, house.compared.differences) == ([], [])


def test_a_file_that_was_never_handed_over_can_be_cancelled_and_a_person_decides_on(
    scene: Scene, payees: Payees
) -> None:
    one = due(scene, 1)
    file_id = written_id(write(scene, payees))

    with payout_files.paying(scene.dsn) as conn:
        payout_files.cancel(conn, file_id, by="berta", why="wrong account", now=AUGUST)

    assert scene.states() == {one.posting_id: "parked"}
    with payout_files.paying(scene.dsn) as conn:
        found = payout_files.find(conn, file_id[:8])
        assert (found.state, found.said_by, found.why) == ("cancelled", "berta", "wrong account")
        with pytest.raises(PayoutFileEndedError, match="cancelled by berta"):
            payout_files.hand_over(conn, file_id, by="anna", why="", now=AUGUST)


def test_a_file_that_the_bank_has_cannot_be_cancelled(scene: Scene, payees: Payees) -> None:
    one = due(scene, 1)
    file_id = written_id(write(scene, payees))
    with payout_files.paying(scene.dsn) as conn:
        payout_files.hand_over(conn, file_id, by="anna", why="uploaded", now=AUGUST)

    with (
        pytest.raises(PayoutFileEndedError, match="handed over by anna"),
        payout_files.paying(scene.dsn) as conn,
    ):
        payout_files.cancel(conn, file_id, by="berta", why="late", now=AUGUST)

    assert scene.states() == {one.posting_id: "sent"}


def test_bad_payees_are_named_and_paid_nothing(tmp_path: Path) -> None:
    rows = [
        f"alice;Alice;{IBAN}",
        "bob;Bob;DE88370400440532013000",
        f"carol;M\u00fcller;{IBAN}",
        f";Nobody;{IBAN}",
        f"dora;Dora;{IBAN}",
        f"dora;Dora;{OTHER_IBAN}",
        "few;columns",
    ]
    found = read_payees(kept(tmp_path, "account;name;iban\n" + "\n".join(rows)))

    assert list(found.by_account) == ["alice"]
    assert [(one.line, one.account) for one in found.bad] == [
        (3, "bob"), (4, "carol"), (5, ""), (7, "dora"), (8, "few"),
    ]  # fmt: skip


def test_a_file_of_payees_that_others_can_read_or_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InsecureSecretError, match="chmod 600"):
        read_payees(kept(tmp_path, PAYEES, mode=0o640))
    with pytest.raises(UnusablePayeesError, match="expected account, name, iban"):
        read_payees(kept(tmp_path, "who,where\n"))


@pytest.mark.parametrize("status", ["paid", "refused", "returned"])
def test_only_the_bank_decides_what_stands_in_a_file(
    scene: Scene, payees: Payees, status: str
) -> None:
    one = due(scene, 1)
    write(scene, payees)

    changes = {"amount_minor": -one.amount_minor} if status == "returned" else {}
    done = scene.bring(statement([row(one, status=status, **changes)])).compared

    assert scene.states() == {one.posting_id: "sent"}
    assert (done.proven, done.refused) == (0, 0)
    if status == "paid":
        assert [each.kind for each in done.differences] == [Kind.PAID_UNEXPECTED]


def test_what_the_bank_paid_and_has_back_by_now_is_not_acknowledged(
    scene: Scene, payees: Payees
) -> None:
    one = due(scene, 1)
    write(scene, payees)

    name = end_to_end_id(one.posting_id)
    back = payment(name, "1.01", side="CRDT", returned="AC04")
    done = told(
        scene,
        entry([payment(name, "1.01")], "1.01", reference="R-1"),
        entry([back], "1.01", side="CRDT", reference="R-2"),
        payees=payees,
    )

    assert scene.states() == {one.posting_id: "rejected"}
    assert sum(each.at_stake_minor for each in done.differences) == 0


def test_a_file_of_which_the_bank_has_told_cannot_be_cancelled(
    scene: Scene, payees: Payees
) -> None:
    # given a file that nobody said was handed over, and of which the bank paid one payment
    paid, waiting = due(scene, 1), due(scene, 2)
    file_id = written_id(write(scene, payees))
    told(scene, entry([payment(end_to_end_id(paid.posting_id), "1.01")], "1.01"), payees=payees)

    # when it is cancelled, then it is refused, and the other payment stays with the bank
    with (
        pytest.raises(PayoutFileAtBankError, match="1 of its payments"),
        payout_files.paying(scene.dsn) as conn,
    ):
        payout_files.cancel(conn, file_id, by="berta", why="late", now=AUGUST)
    assert scene.states() == {paid.posting_id: "acknowledged", waiting.posting_id: "sent"}
    assert scene.ask("select count(*) from payout_file_line") == [(2,)]


def test_what_stands_in_a_file_is_never_due_to_the_poster(scene: Scene, payees: Payees) -> None:
    due(scene, 1)
    write(scene, payees)

    with connect(scene.dsn, Role.POSTER) as conn:
        assert next_due_at(conn, partner="clearinghouse") is None
