"""Posters in processes of their own, which are killed: by somebody else, or at an exact point."""

import multiprocessing
import os
import signal
import time
from collections.abc import Iterable
from dataclasses import dataclass
from multiprocessing.context import ForkServerContext, ForkServerProcess
from pathlib import Path
from random import Random
from typing import Self

import pytest

from tasks.posting.run import Clearinghouse, post_pending
from tasks.posting.settlement_key import Place, load, read_partner_key
from tasks.posting.signing import Signer, Verifier
from tests.chaos import crashes, setting

CALL_S, LEASE_S = 0.6, 2.0
LOOK_AGAIN_S = 0.02
FOREVER_S = 3_600.0
JOIN_S = 10.0
KILLED = -signal.SIGKILL


@dataclass(frozen=True)
class Partner:
    """What a poster has to know of its partner; goes over to another process.

    Attributes:
        url: of the clearinghouse.
        ca_file: whose certificates it shows.
        ours: our key, which signs what we send.
        theirs: the public key by which its answers are signed.
    """

    url: str
    ca_file: Path
    ours: Place
    theirs: Path

    def reached(self) -> Clearinghouse:
        """The clearinghouse, as a poster has it."""
        public, _ = read_partner_key(self.theirs)
        return Clearinghouse(
            self.url,
            setting.TOKEN,
            deadline_s=CALL_S,
            backoff=setting.BACKOFF,
            ca_file=self.ca_file,
            signer=Signer(load(self.ours), clock=setting.now),
            verifier=Verifier(public, clock=setting.now),
        )


@dataclass(frozen=True)
class Crashing:
    """Where a poster ends of itself: at the nth passage of a point (``crashes.POINTS``)."""

    point: str
    nth: int


def live(dsn: str, partner: Partner, seed: int, crashing: Crashing | None) -> None:
    """Post what there is, and what will be, until killed."""
    if crashing:
        crashes.arm(pytest.MonkeyPatch(), crashing.point, crashing.nth, _kill_myself)
    random = Random(seed)
    while True:
        post_pending(
            dsn,
            partner.reached(),
            clock=setting.now,
            random=random,
            lease_s=LEASE_S,
            until_empty=True,
            deadline_s=FOREVER_S,
        )
        time.sleep(LOOK_AGAIN_S)  # nothing is open: somebody books meanwhile


def _kill_myself() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def forkserver() -> ForkServerContext:
    """Processes that need not import everything anew, each time they start."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    return context


class Posters:
    """So many posters at once; whoever is killed is followed by another at once. A context manager.

    Args:
        dsn: the database.
        partner: where they post to.
        random: which of them ends, when and how.
        context: of ``forkserver``.
    """

    def __init__(
        self, dsn: str, partner: Partner, random: Random, context: ForkServerContext, *, count: int
    ) -> None:
        self._dsn = dsn
        self._partner = partner
        self._random = random
        self._context = context
        self._slots = [self._started(None) for _ in range(count)]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.end(range(len(self._slots)))

    def end(self, which: Iterable[int]) -> None:
        """Kill these."""
        for slot in which:
            self._slots[slot].kill()
        for slot in which:
            self._slots[slot].join(JOIN_S)

    def follow(self, slot: int, crashing: Crashing | None = None) -> None:
        """Another one in place of one that has ended."""
        self._slots[slot].close()
        self._slots[slot] = self._started(crashing)

    def alive(self, slot: int) -> bool:
        """Whether that one has not ended."""
        return self._slots[slot].is_alive()

    def fallen(self) -> int:
        """How many have ended though nobody killed them; others have followed them."""
        fell = [slot for slot, one in enumerate(self._slots) if one.exitcode not in (None, KILLED)]
        for slot in fell:
            self.follow(slot)
        return len(fell)

    def _started(self, crashing: Crashing | None) -> ForkServerProcess:
        process = self._context.Process(
            target=live,
            args=(self._dsn, self._partner, self._random.getrandbits(32), crashing),
            daemon=True,
        )
        process.start()
        return process
