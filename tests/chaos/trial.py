"""Two posters, killed again and again while most answers are bad; then left alone; then judged.

Every second kill comes from outside at a random moment; the others are the poster's own, at an exact
point (``crashes.POINTS``), and now and then both posters go at once. Postings are booked all the time.
"""

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from multiprocessing.context import ForkServerContext
from pathlib import Path
from random import Random

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from embedded.errors import DeadlineExceededError
from embedded.processes import wait_until
from settlement.posting import Posting
from simulators.clearinghouse import Authority, ClearingHouse
from tests.chaos import crashes, setting
from tests.chaos.judgement import Judgement, judge, needless
from tests.chaos.posters import Crashing, Partner, Posters
from tests.tasks.posting.keys import made_in

SPKI = PublicFormat.SubjectPublicKeyInfo
POSTERS = 2
BOTH_IN = 10
"""One kill in so many meets both posters."""
LONGEST_LIFE_S = 0.25
PASSAGES_MAX = 6
CRASH_WITHIN_S = 1.5
"""A poster that has not reached its point by then is killed from outside."""
FIRST_CALL_WITHIN_S = 1.5
DRAIN_S = 120.0
QUIET = 100
LATENCY_S = 0.01


@dataclass
class Trial:
    """One trial on one database.

    Attributes:
        dsn: a database without postings.
        folder: for certificates.
        seed: of everything that is drawn.
        postings: how many are booked while posters are killed.
        kills: how many.
        tell: told after each kill how many there were.
        deaths: how many died how.
        calls: that the clearinghouse had.
        cut_off: attempts that left no receipt.
        released: parked postings that a person let go on.
        fell: posters that ended though nobody killed them.
    """

    dsn: str
    folder: Path
    seed: int
    postings: int
    kills: int
    tell: Callable[[int], None] = lambda _: None
    deaths: Counter[str] = field(default_factory=Counter)
    calls: int = 0
    cut_off: int = 0
    released: int = 0
    fell: int = 0

    def run(self, context: ForkServerContext, *, deadline_s: float) -> Judgement:
        """Carry it out.

        Args:
            context: of ``posters.forkserver``.
            deadline_s: no more kills after that; what was booked by then is judged.
        """
        ends_at = time.monotonic() + deadline_s
        random = Random(self.seed)
        authority = Authority(self.folder / "ca")
        ours = made_in(self.folder / "settlement", now=setting.now()).place
        theirs = ec.generate_private_key(ec.SECP256R1())
        public = self.folder / "partner.pem"
        public.write_bytes(theirs.public_key().public_bytes(Encoding.PEM, SPKI))
        with ClearingHouse(
            token=setting.TOKEN,
            seed=self.seed,
            misbehaviour=setting.FAULTY,
            status_misbehaviour=setting.FAULTY_STATUS,
            latency_s=LATENCY_S,
            tls=authority.server(),
            require_key=ours.certificate,
            sign_with=theirs,
        ) as house:
            partner = Partner(house.url, authority.certificate, ours, public)
            with Posters(self.dsn, partner, random, context, count=POSTERS) as posters:
                booked = self._kill_all(house, posters, random, ends_at)
                self.cut_off = setting.cut_off(self.dsn)
                house.healthy()
                self._drain(posters)
                quiet = setting.made(len(booked) + 1, QUIET)
                setting.book(self.dsn, quiet, at=setting.now())
                self._drain(posters)
            truth = house.truth()
        self.calls = sum(truth.attempts.values())
        judgement = judge(self.dsn, [*booked, *quiet], truth)
        found = {
            f"only {self.deaths.total()} of {self.kills} kills in {deadline_s:.0f} s": (
                self.deaths.total() < self.kills
            ),
            f"{self.fell} posters ended though nobody killed them": self.fell > 0,
        }
        wrong = [*judgement.wrong, *needless(self.dsn, quiet)]
        wrong += [text for text, is_so in found.items() if is_so]
        return replace(judgement, wrong=tuple(wrong))

    def _kill_all(
        self, house: ClearingHouse, posters: Posters, random: Random, ends_at: float
    ) -> list[Posting]:
        booked: list[Posting] = []
        crashing: list[Crashing | None] = [None] * POSTERS
        while (done := self.deaths.total()) < self.kills and time.monotonic() < ends_at:
            self.fell += posters.fallen()
            more = setting.made(
                len(booked) + 1, self.postings * (done + 1) // self.kills - len(booked)
            )
            setting.book(self.dsn, more, at=setting.now())
            booked += more
            both = random.randrange(BOTH_IN) == 0
            chosen = range(POSTERS) if both else [random.randrange(POSTERS)]
            for slot in chosen:
                self._let_die(house, posters, slot, crashing[slot], random)
            posters.end(chosen)
            for slot in chosen:
                crashing[slot] = _drawn(random)
                posters.follow(slot, crashing[slot])
            self.tell(min(self.deaths.total(), self.kills))
        everyone = range(POSTERS)
        posters.end(everyone)
        for slot in everyone:  # by others that will not crash of themselves
            posters.follow(slot)
        rest = setting.made(len(booked) + 1, self.postings - len(booked))
        setting.book(self.dsn, rest, at=setting.now())
        return booked + rest

    def _let_die(
        self,
        house: ClearingHouse,
        posters: Posters,
        slot: int,
        crashing: Crashing | None,
        random: Random,
    ) -> None:
        """Until the moment at which a poster is to be killed, or has killed itself."""
        if crashing and _came(lambda: not posters.alive(slot), CRASH_WITHIN_S):
            self.deaths[crashing.point] += 1
            return
        self.deaths["at a random moment"] += 1
        before = house.calls()
        _came(lambda: house.calls() > before, FIRST_CALL_WITHIN_S)
        time.sleep(random.random() * LONGEST_LIFE_S)

    def _drain(self, posters: Posters) -> None:
        """Until nothing is open; a person lets go on what is parked."""

        def finished() -> bool:
            self.fell += posters.fallen()
            self.released += setting.released(self.dsn)
            return not setting.unfinished(self.dsn)

        _came(finished, DRAIN_S)


def _drawn(random: Random) -> Crashing | None:
    if random.random() < 0.5:
        return None
    return Crashing(random.choice(crashes.POINTS), random.randint(1, PASSAGES_MAX))


def _came(check: Callable[[], bool], within_s: float) -> bool:
    try:
        wait_until(check, deadline_s=within_s, what="it")
    except DeadlineExceededError:
        return False
    return True
