"""Any history of a posting, by a second hand: what the partner holds is known here, and nowhere else.

The machine is driven by attempts, kills, screenings, statements and people. A model of the partner
says whether the posting has taken effect; the machine never sees it. Whatever happens, it must not
end a posting as unpaid that the partner may hold, and must not forget one.
"""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from random import Random

import pytest

from settlement.posting import (
    ALLOWED,
    DISPUTING,
    DOUBTFUL,
    OPEN,
    RETRY_AFTER_MAX,
    Outcome,
    State,
    next_attempt_at,
    require_move,
    state_after,
)
from tests.postings import NOON

UNSIGNED = [
    Outcome.SIGNATURE_WRONG, Outcome.REFUSED_TEMPORARILY, Outcome.NOT_SERVED, Outcome.SERVER_FAILED,
]  # fmt: skip
"""What an answer without a signature can be, of a partner that signs."""

HISTORIES = 3_000
STEPS = 40
LEASE = timedelta(seconds=30)

CAN_TAKE_EFFECT = {
    Outcome.SERVER_FAILED, Outcome.NO_ANSWER, Outcome.LOST, Outcome.ECHO_DIFFERS,
    Outcome.SIGNATURE_WRONG, Outcome.CONFLICT,
}  # fmt: skip
"""Answers, and silences, behind which a partner may have paid. Written from the partner's side: a
conflict is one with what stands under our id already."""
WITHOUT_EFFECT = {
    Outcome.REFUSED_TEMPORARILY, Outcome.CONNECTION_FAILED, Outcome.NOT_SENT, Outcome.NOT_SERVED,
    Outcome.REJECTED,
}  # fmt: skip


@dataclass
class Told:
    """A posting, what our side knows of it, and what is true."""

    random: Random
    state: State = State.PENDING
    attempts: int = 0
    disputes: int = 0
    due_at: datetime = NOON
    now: datetime = NOON
    effective: bool = False
    by_person: bool = False
    story: list[str] = field(default_factory=list)

    def move(self, after: State, why: str) -> None:
        require_move(self.state, after)
        self.story.append(f"{self.state} -> {after}: {why}")
        self.state = after

    def attempt(self) -> None:
        self.now = max(self.now, self.due_at)
        doubtful = self.state in DOUBTFUL
        self.move(State.SENT, "claimed")
        self.attempts += 1
        self.due_at = self.now + LEASE
        if self.random.random() < 0.15:
            self.effective = self.effective or self.random.random() < 0.5
            self.story.append(f"killed; the partner holds it: {self.effective}")
            return
        signed = self.random.random() < 0.8
        outcome = self.answer() if signed else self.unsigned()
        self.disputes += outcome in DISPUTING
        after = state_after(outcome, doubtful=doubtful or not signed, disputes=self.disputes)
        asked = self.random.choice([None, timedelta(seconds=self.random.randint(0, 9_999))])
        at = next_attempt_at(outcome, self.attempts, self.now, self.random, asked)
        assert (at is None) == (state_after(outcome, doubtful=False, disputes=0) not in OPEN)
        self.move(after, f"{outcome}, signed: {signed}; the partner holds it: {self.effective}")
        self.due_at = at or self.due_at

    def answer(self) -> Outcome:
        """What the partner says; a definite no is true when it says so, and may come too late."""
        if self.effective and self.random.random() < 0.3:
            return Outcome.ACKNOWLEDGED
        outcome = self.random.choice(list(Outcome))
        if outcome is Outcome.ACKNOWLEDGED or outcome in CAN_TAKE_EFFECT:
            self.effective = self.effective or self.random.random() < 0.5
        if outcome is Outcome.ACKNOWLEDGED:
            self.effective = True  # the echo of our id, amount and digest
        return outcome

    def unsigned(self) -> Outcome:
        """What somebody in between says, whatever the partner has done."""
        self.effective = self.effective or self.random.random() < 0.5
        return self.random.choice(UNSIGNED)

    def others(self) -> None:
        """Limits, statements and people, who do what the table lets them."""
        chance = self.random.random()
        if self.state in {State.PENDING, State.QUEUED} and chance < 0.2:
            self.move(State.PARKED, "a limit")
        elif self.state in {State.UNKNOWN, State.DISPUTED} and self.effective and chance < 0.2:
            self.move(State.ACKNOWLEDGED, "the partner's statement")
        elif self.state is State.PARKED and chance < 0.5:
            if self.effective:
                after = self.random.choice([State.UNKNOWN, State.ACKNOWLEDGED])
            elif self.attempts:
                after = self.random.choice([State.UNKNOWN, State.REJECTED])
            else:
                after = self.random.choice([State.PENDING, State.REJECTED])
            self.by_person = after is State.REJECTED
            self.due_at = self.now
            self.move(after, "a person has looked")


def history(seed: int) -> Told:
    """One posting through ``STEPS`` steps, or to its end."""
    told = Told(Random(seed))
    for _ in range(STEPS):
        if told.state in OPEN and told.random.random() < 0.8:
            told.attempt()
        else:
            told.others()
        check(told)
        if not ALLOWED[told.state]:
            break
    return told


def check(told: Told) -> None:
    story = "\n".join(told.story)
    if told.state is State.REJECTED:
        assert not told.effective, f"paid, and taken for unpaid:\n{story}"
    if told.state is State.QUEUED:
        assert not told.effective, f"held by the partner, and called without effect:\n{story}"
    if told.state is State.ACKNOWLEDGED:
        assert told.effective, f"unpaid, and taken for paid:\n{story}"
    if told.state in OPEN:
        wait = told.due_at - told.now
        assert wait <= RETRY_AFTER_MAX + timedelta(seconds=1), f"never due again:\n{story}"


@pytest.mark.parametrize("block", range(3))
def test_no_history_ends_a_paid_posting_as_unpaid_or_leaves_one_that_is_never_due(block):
    ends = [history(block * HISTORIES + n) for n in range(HISTORIES)]

    # then all ends were met, the dangerous ones too
    assert {told.state for told in ends} >= {State.ACKNOWLEDGED, State.REJECTED}
    assert any(told.state is State.REJECTED and told.by_person for told in ends)
    assert any(told.state is State.REJECTED and not told.by_person for told in ends)


def test_a_posting_that_may_be_held_is_never_rejected_by_an_answer():
    # given every outcome behind which an effect can stand, and then every answer
    for first in CAN_TAKE_EFFECT - {Outcome.CONFLICT}:
        state = state_after(first, doubtful=False, disputes=1)
        assert state in DOUBTFUL
        for second in Outcome:
            assert state_after(second, doubtful=True, disputes=2) not in {
                State.REJECTED,
                State.QUEUED,
            }


def test_every_outcome_is_said_to_be_with_or_without_effect():
    assert CAN_TAKE_EFFECT | WITHOUT_EFFECT | {Outcome.ACKNOWLEDGED} == set(Outcome)


def test_once_a_partner_answers_well_every_open_posting_ends():
    # given postings in the middle of their histories, and a partner without faults
    for seed in range(500):
        told = Told(Random(seed))
        for _ in range(seed % 12):
            if told.state in OPEN:
                told.attempt()
        if told.state not in OPEN:
            continue

        # when it is sent once more
        doubtful = told.state in DOUBTFUL
        told.move(State.SENT, "claimed")
        told.move(
            state_after(Outcome.ACKNOWLEDGED, doubtful=doubtful, disputes=told.disputes), "paid"
        )

        # then
        assert told.state is State.ACKNOWLEDGED


def test_a_partner_that_is_down_for_seven_days_is_sent_each_posting_a_bounded_number_of_times():
    # given a hundred postings to a partner that nobody reaches
    random = Random(7)
    week = NOON + timedelta(days=7)
    per_day: list[int] = []
    for _ in range(100):
        at, attempts, times = NOON, 0, [0] * 7
        while at < week:
            attempts += 1
            times[(at - NOON).days] += 1
            due = next_attempt_at(Outcome.CONNECTION_FAILED, attempts, at, random)
            assert due is not None
            at = due
        per_day += times

    # then a day has about 24 h / 7.5 min attempts (the cap's mean), however long it has lasted
    assert max(per_day) < 1.3 * 24 * 60 / 7.5
    assert max(per_day[6::7]) <= max(per_day[0::7])
