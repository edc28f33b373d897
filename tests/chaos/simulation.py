"""A trial in one process: hours pass between runs, so nobody waits, and posters crash at exact points.

The partner and the database are real. Each round is a poster's life: it sends what is due, once each,
and ends of itself or crashes; the next one comes two hours later, when every lease and every wait is
over.
"""

import contextlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime, timedelta
from random import Random

import pytest

from simulators.clearinghouse import ClearingHouse
from tasks.posting.run import Clearinghouse, post_pending
from tests.chaos import crashes, setting
from tests.chaos.judgement import Judgement, judge, needless

CALL_S = 0.2
LEASE_S = 1.0
HOURS = timedelta(hours=2)
ROUNDS_MAX = 16
CRASHING_ROUNDS = 6
LATENCY_S = 0.02
QUIET = 30
"""Postings that two posters send together at the end, when every answer is good."""

Sabotage = Callable[[pytest.MonkeyPatch], None]


class Crash(BaseException):
    """The poster is no more."""


def simulate(dsn: str, seed: int, *, postings: int, sabotage: Sabotage | None = None) -> Judgement:
    """Book, post through faults and crashes, then without, and judge.

    Args:
        dsn: a database without postings.
        seed: of the faults, the crashes and the waits.
        postings: how many are booked.
        sabotage: a bug to post with.
    """
    random = Random(seed)
    booked = setting.made(1, postings)
    at = setting.now()
    setting.book(dsn, booked, at=at)
    with (
        ClearingHouse(
            token=setting.TOKEN,
            seed=seed,
            misbehaviour=setting.FAULTY,
            status_misbehaviour=setting.FAULTY_STATUS,
            latency_s=LATENCY_S,
        ) as house,
        pytest.MonkeyPatch.context() as bug,
    ):
        if sabotage:
            sabotage(bug)
        for number in range(ROUNDS_MAX):
            at += HOURS
            if number == CRASHING_ROUNDS:
                house.healthy()
            crashing = number < CRASHING_ROUNDS
            _live(dsn, house.url, at, random, passages=postings if crashing else 0)
            if not crashing:
                setting.released(dsn)
                if not setting.unfinished(dsn):
                    break
        quiet = setting.made(postings + 1, QUIET)
        setting.book(dsn, quiet, at=at)
        with ThreadPoolExecutor() as pool:
            for one in [pool.submit(_post, dsn, house.url, at, Random(n)) for n in range(2)]:
                one.result()
        truth = house.truth()
    judgement = judge(dsn, [*booked, *quiet], truth)
    return replace(judgement, wrong=(*judgement.wrong, *needless(dsn, quiet)))


def _live(dsn: str, url: str, at: datetime, random: Random, *, passages: int) -> None:
    """A poster's life; it crashes at one of so many passages of a point."""
    with pytest.MonkeyPatch.context() as patch, contextlib.suppress(Crash):
        if passages:
            point = random.choice(crashes.POINTS)
            crashes.arm(patch, point, random.randint(1, passages), _crash)
        _post(dsn, url, at, random)


def _post(dsn: str, url: str, at: datetime, random: Random) -> None:
    clearinghouse = Clearinghouse(url, setting.TOKEN, deadline_s=CALL_S, backoff=setting.BACKOFF)
    post_pending(dsn, clearinghouse, clock=lambda: at, random=random, lease_s=LEASE_S)


def _crash() -> None:
    raise Crash
