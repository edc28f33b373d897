"""A partner's statement, imported: kept as it came, compared, and taken as proof where it is one."""

from dataclasses import replace
from datetime import timedelta
from hashlib import sha256

import pytest

from settlement.posting import State
from settlement.reconciling import Kind
from storage.engine import Role, connect
from storage.outbox import claim
from storage.partner_statements import StatementTakenError
from tasks.reconciling.comparing import compare
from tasks.reconciling.export import to_csv
from tasks.reconciling.rows import UnreadableStatementError
from tests.postings import posting
from tests.tasks.reconciling.scene import AUGUST, JULY, Scene, clock, row, statement


@pytest.fixture
def scene(plain_database: str) -> Scene:
    return Scene(plain_database)


def kinds(scene: Scene) -> dict[str, str]:
    """What the comparison in force says about each posting."""
    return dict(
        scene.ask(
            "select posting_id, kind from reconciliation_difference where reconciliation_id ="
            " (select reconciliation_id from reconciliation order by number desc limit 1)"
        )
    )


def test_a_statement_is_compared_and_every_difference_is_listed_with_its_money(
    scene: Scene,
) -> None:
    # given acknowledged postings of which the partner lists one rightly, and others otherwise
    right, missing, other_sum = (scene.in_state(n, State.ACKNOWLEDGED) for n in (1, 2, 3))
    rejected = scene.in_state(4, State.REJECTED)
    stranger = posting(99)

    # when its statement comes
    done = scene.bring(
        statement(
            [
                row(right, 1),
                row(other_sum, 2, amount_minor=1),
                row(rejected, 3),
                row(stranger, 4),
                ",,USD,-25,2026-07-01T18:00:06Z,CH-FEE-000001,fee",
                row(right, 5),
            ]
        )
    )

    # then each difference has its kind and its money
    found = {(one.kind, one.posting_id): one.at_stake_minor for one in done.compared.differences}
    assert found == {
        (Kind.MISSING_AT_PARTNER, missing.posting_id): 102,
        (Kind.AMOUNT_DIFFERS, other_sum.posting_id): 102,
        (Kind.PAID_UNEXPECTED, rejected.posting_id): -104,
        (Kind.UNKNOWN_TO_US, stranger.posting_id): -199,
        (Kind.FEE, ""): 25,
        (Kind.PAID_TWICE, right.posting_id): -101,
    }
    totals = {one.kind: one for one in done.compared.reconciliation.totals}
    assert (totals[Kind.MATCHED].ours_minor, totals[Kind.MATCHED].theirs_minor) == (101, 101)
    # and the file is kept as it came
    ((content, digest),) = scene.ask("select content, digest from partner_statement")
    assert sha256(content).digest() == digest


@pytest.mark.parametrize("state", [State.UNKNOWN, State.DISPUTED, State.PARKED])
def test_what_we_were_not_sure_of_is_acknowledged_by_the_line_that_lists_it(
    scene: Scene, state: State
) -> None:
    # given a posting of which we do not know whether it took effect
    doubted = scene.in_state(1, state)

    # when the partner lists it as we sent it
    done = scene.bring(statement([row(doubted)]))

    # then it is acknowledged, by a receipt that names the line
    assert scene.states() == {doubted.posting_id: "acknowledged"}
    assert done.compared.proven == 1
    assert done.compared.differences == []
    ((attempt, outcome, status, detail),) = scene.ask(
        "select attempt, outcome, http_status, detail from receipt where attempt > 1"
    )
    assert (attempt, outcome, status) == (2, "acknowledged", None)
    assert f"line 2 of statement {done.statement.statement_id}" in detail


@pytest.mark.parametrize(
    "changes", [{"amount_minor": 1}, {"currency": "EUR"}, {"account": "bob"}, {"status": "pending"}]
)
def test_a_line_that_is_not_as_we_sent_it_proves_nothing(
    scene: Scene, changes: dict[str, object]
) -> None:
    doubted = scene.in_state(1, State.UNKNOWN)

    done = scene.bring(statement([row(doubted, **changes)]))  # type: ignore[arg-type]

    assert scene.states() == {doubted.posting_id: "unknown"}
    assert done.compared.proven == 0


def test_what_was_never_sent_is_not_acknowledged_and_goes_on_its_way(scene: Scene) -> None:
    waiting = scene.in_state(1, State.PENDING)
    scene.do("update posting_state set state = 'parked' where posting_id = %s", waiting.posting_id)
    other = scene.in_state(2, State.PENDING)

    done = scene.bring(statement([row(waiting), row(other, 2)]))

    assert {one.kind for one in done.compared.differences} == {Kind.PAID_UNEXPECTED}
    assert scene.states() == {waiting.posting_id: "parked", other.posting_id: "pending"}


def test_what_is_being_sent_at_this_moment_is_left_to_who_sends_it(scene: Scene) -> None:
    # given a posting that a poster has claimed
    out = scene.in_state(1, State.PENDING)
    with connect(scene.dsn, Role.POSTER) as conn:
        assert claim(
            conn, partner="clearinghouse", now=AUGUST, limit=1, lease=timedelta(seconds=30)
        )

    done = scene.bring(statement([row(out)]))

    assert scene.states() == {out.posting_id: "sent"}
    assert done.compared.differences == []


def test_bad_rows_never_stop_the_good_ones(scene: Scene) -> None:
    # given a statement in which every second row is bad, each in another way
    good = [scene.in_state(n, State.ACKNOWLEDGED) for n in range(1, 4)]
    rows = [
        row(good[0], 1),
        row(good[0], 2, amount_minor="1.5"),
        row(good[1], 3),
        row(good[1], 4, paid_at="2026-07-01T18:00:05"),
        row(good[2], 5),
        "too,few",
        row(good[2], 6, status="perhaps"),
        row(good[2], 7, posting_id=""),
        row(good[2], 8, currency="usd"),
        row(good[2], 9, reference="a\x00b"),
        '"open,,,,,,',
    ]

    # when it is imported
    done = scene.bring(statement(rows))

    # then the good rows match, and each bad one says where, what was found and what was expected
    assert done.lines == 3
    assert done.compared.differences == []
    assert [(one.number, one.column) for one in done.refusals] == [
        (3, "amount_minor"), (5, "paid_at"), (7, "row"), (8, "status"), (9, "posting_id"),
        (10, "currency"), (11, "reference"), (12, "row"),
    ]  # fmt: skip
    assert all(one.found and one.expected for one in done.refusals)
    assert scene.ask("select count(*) from statement_refusal") == [(8,)]


@pytest.mark.parametrize(
    "data",
    [
        statement(["{id};alice;USD;1,01"], "posting_id;account;currency;amount"),
        b"",
        b"\xff\xfe",
        b"what,is,this\r\n",
        b"posting_id,currency,paid_at\r\n",
        b"posting_id,currency,paid_at,amount,amount_minor\r\n",
        b"<Document/>",
        statement([]),
    ],
    ids=range(8),
)
def test_a_file_that_says_nothing_is_refused_whole(scene: Scene, data: bytes) -> None:
    with pytest.raises(UnreadableStatementError, match="expected"):
        scene.bring(data, period=None)

    assert scene.ask("select count(*) from partner_statement") == [(0,)]


@pytest.mark.parametrize("separator", [",", ";"])
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_either_separator_a_byte_order_mark_and_decimals_are_read(
    scene: Scene, separator: str, mark: bytes
) -> None:
    one = scene.in_state(1, State.ACKNOWLEDGED)
    header = separator.join(("posting_id", "account", "currency", "amount", "paid_at"))
    cells = (one.posting_id, one.account, "USD", "1.01", "2026-07-01T20:00:05+02:00")

    done = scene.bring(mark + statement([separator.join(cells)], header), period=None)

    assert done.compared.differences == []
    assert done.statement.period.started_at.isoformat() == "2026-07-01T00:00:00+00:00"


def test_the_same_file_again_stores_nothing_and_finds_nothing_new(scene: Scene) -> None:
    one, two = (scene.in_state(n, State.ACKNOWLEDGED) for n in (1, 2))
    data = statement([row(one)])
    first = scene.bring(data)

    again = scene.bring(data, name="again.csv", by="berta")

    assert (first.is_new, again.is_new) == (True, False)
    assert not again.compared.is_new
    assert again.compared.reconciliation == first.compared.reconciliation
    assert again.statement.imported_by == "anna"
    assert scene.ask("select count(*) from reconciliation") == [(1,)]
    assert kinds(scene) == {two.posting_id: "missing_at_partner"}
    with pytest.raises(StatementTakenError):
        scene.bring(data, partner="other")


def test_a_later_statement_clears_a_difference_and_the_earlier_comparison_stays(
    scene: Scene,
) -> None:
    # given a posting that the first statement lacks
    one, late = (scene.in_state(n, State.ACKNOWLEDGED) for n in (1, 2))
    first = scene.bring(statement([row(one)]))
    assert len(first.compared.differences) == 1

    # when a later statement lists it, and repeats what the first one said
    second = scene.bring(
        statement([row(one), row(late, 2, paid_at="2026-07-05T00:00:00Z")]), name="august.csv"
    )

    # then nothing differs any more, the repetition is no second payment, and both versions stand
    assert second.compared.differences == []
    assert {one.kind for one in second.compared.reconciliation.totals} == {
        Kind.MATCHED,
        Kind.REPEATED,
    }
    assert scene.ask("select count(*) from reconciliation") == [(2,)]
    again = compare(
        scene.dsn,
        partner="clearinghouse",
        way="api",
        period=JULY,
        by="berta",
        clock=clock,
        tolerance=timedelta(),
    )
    assert not again.is_new


def test_a_payment_listed_in_the_next_period_is_not_missing_in_its_own(scene: Scene) -> None:
    one = scene.in_state(1, State.ACKNOWLEDGED)
    first = scene.bring(statement([",,USD,-25,2026-07-01T18:00:06Z,F,fee"]))
    assert Kind.MISSING_AT_PARTNER in {each.kind for each in first.compared.differences}

    scene.bring(
        statement([row(one, paid_at="2026-08-02T00:00:00Z")]), name="august.csv", period=None
    )
    done = scene.bring(statement([",,USD,-25,2026-07-01T18:00:06Z,F,fee"]))

    assert {each.kind for each in done.compared.differences} == {Kind.FEE}


def test_differences_open_in_a_spreadsheet_as_text_and_never_as_formulas(scene: Scene) -> None:
    evil = "=HYPERLINK(1)"
    done = scene.bring(statement([row(replace(posting(1), account=evil), posting_id="＝1+1")]))

    table = to_csv(done.compared.differences).decode("utf-8-sig")

    assert "'=HYPERLINK(1)" in table
    assert "'＝1+1" in table
    assert ",=" not in table
    assert ",-1.01," in table


def test_a_line_outside_of_what_its_statement_covers_is_compared_with_it(scene: Scene) -> None:
    stranger = row(posting(99), paid_at="2026-06-30T22:00:00Z")

    done = scene.bring(statement([stranger]))

    assert [one.kind for one in done.compared.differences] == [Kind.UNKNOWN_TO_US]


def test_what_is_tried_again_and_again_is_not_for_ever_under_way(scene: Scene) -> None:
    # given a posting of July whose last attempt was a moment ago
    one = scene.in_state(1, State.UNKNOWN)
    scene.do(
        "update posting_state set changed_at = %s where posting_id = %s", AUGUST, one.posting_id
    )

    done = scene.bring(statement([",,USD,-25,2026-07-01T18:00:06Z,F,fee"]))

    assert {each.kind for each in done.compared.differences} == {Kind.FEE, Kind.STILL_OPEN}


@pytest.mark.parametrize(
    "data",
    [
        b"x" * 200_000,
        b"posting_id,currency,paid_at,amount_minor\ra,EUR,2026-07-01T00:00:00Z,1",
        b"posting_id,currency,paid_at,amount_minor\na,EUR,9999-12-31T23:59:59Z,1",
    ],
    ids=["one long cell", "carriage returns", "the last day"],
)
def test_what_no_partner_would_write_is_refused_in_words(scene: Scene, data: bytes) -> None:
    with pytest.raises(UnreadableStatementError, match="expected"):
        scene.bring(data, period=None)


def test_money_that_came_back_is_negative_or_refused(scene: Scene) -> None:
    one = scene.in_state(1, State.ACKNOWLEDGED)

    done = scene.bring(statement([row(one, status="returned")]))

    assert [(bad.number, bad.column) for bad in done.refusals] == [(2, "amount")]
