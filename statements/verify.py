"""Whether an evidence pack stands: recomputed from the signed packets, offline, without any database.

What each check shows:

    packets     every packet is as its device signed it, and is the reading that it is used as
    events      the documents of the events are those that were received
    lines       the rules, applied to the packets and to what the run knew, give every line, amount and
                settlement that was booked
    unpaid      and everything that was not paid, with its reason
    money       the amount is divided as the contract says, and the journal moves just that
    identity    the settlement's id is derived from its content
    proofs      each booking stands, with its lines and journal lines, in the tree that was sealed
    seals       each seal is what its digest says, and is the one that was kept elsewhere, if one is given

A pack that was made up as a whole, with keys and seals of its own, stands in itself. Only what the
reader has from elsewhere tells it: the seals (``--against``, ``--root``) and the devices' keys.
"""

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Executor
from dataclasses import dataclass
from enum import StrEnum
from hashlib import sha256
from typing import Final

import polars as pl

from settlement.engine import Computed
from settlement.packets import ocmf
from settlement.seals import BrokenSealError, Seal
from settlement.verdicts import Verdict, standing_record
from statements import compare, sealed
from statements.money import money_differences
from statements.pack import Pack
from statements.recompute import Judged, computed, judged


class State(StrEnum):
    """How a check came out."""

    HOLDS = "holds"
    BROKEN = "broken"
    OPEN = "open"
    """Nothing speaks against it, and something that would vouch for it is not there."""


@dataclass(frozen=True, slots=True)
class Check:
    """One check: what was looked at, how much of it, and the first thing that is wrong."""

    name: str
    state: State
    looked_at: str
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Verified:
    """What became of a pack."""

    checks: tuple[Check, ...]

    @property
    def stands(self) -> bool:
        return all(check.state is not State.BROKEN for check in self.checks)

    @property
    def first_difference(self) -> str:
        """Of the first broken check; empty where there is none."""
        return next((f"{c.name}: {c.detail}" for c in self.checks if c.state is State.BROKEN), "")


_Identity = tuple[str, int, int]

_UNUSABLE: Final = (ValueError, LookupError, ArithmeticError, TypeError, pl.exceptions.PolarsError)
"""What a pack that was tampered with may end in, anywhere below; each is a pack that does not stand."""


def verify(
    pack: Pack,
    executor: Executor,
    *,
    against: Mapping[int, Seal] | None = None,
    roots: frozenset[bytes] = frozenset(),
) -> Verified:
    """Verify a pack.

    Args:
        pack: see ``statements.packing.read``.
        executor: threads that check signatures.
        against: seals that were kept elsewhere, by number.
        roots: roots of seals that were kept elsewhere.
    """
    evidence, packets = _packets(pack, executor)
    lines, unpaid = _recomputed(pack, evidence)
    vouched = against is not None or bool(roots)
    return Verified(
        (
            packets,
            _check("events", f"{len(pack.events)} events", lambda: _documents(pack)),
            lines,
            unpaid,
            _check("money", _settlements(pack), lambda: money_differences(pack)),
            _check("identity", _settlements(pack), lambda: sealed.identities(pack)),
            _proofs(pack, vouched=vouched),
            _seals(pack, against, roots),
        )
    )


def _settlements(pack: Pack) -> str:
    return f"{len(pack.bookings)} settlements"


def _check(name: str, looked_at: str, differences: Callable[[], Iterator[str]]) -> Check:
    """Broken by the first difference; and by whatever keeps it from being looked for."""
    try:
        first = next(iter(differences()), "")
    except _UNUSABLE as error:
        first = f"cannot be checked: {_one_line(error)}"
    return Check(name, State.BROKEN if first else State.HOLDS, looked_at, first)


def _one_line(error: BaseException) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]


def _packets(pack: Pack, executor: Executor) -> tuple[Judged | None, Check]:
    name, looked_at = "packets", f"{len(pack.packets)} packets, {len(pack.keys)} keys"
    try:
        evidence = judged(pack, executor)
    except _UNUSABLE as error:
        return None, Check(name, State.BROKEN, looked_at, _one_line(error))
    return evidence, _check(name, looked_at, lambda: _bad_packets(pack, evidence))


def _bad_packets(pack: Pack, evidence: Judged) -> Iterator[str]:
    others: set[tuple[_Identity, bytes]] = set()
    for number, (packet, verdict) in enumerate(zip(pack.packets, evidence.verdicts, strict=True)):
        envelope = verdict.envelope
        if verdict.reason is not None or envelope is None:
            yield f"packet {number}: {verdict.reason}: {verdict.detail}"
            continue
        if envelope.digest != packet.digest:
            yield f"packet {number}: digest {envelope.digest.hex()}; stated {packet.digest.hex()}"
        if packet.judged_at is None:
            others |= {(identity, envelope.digest) for identity in _speaks_of(verdict)}
    taken: dict[_Identity, set[bytes]] = {}
    columns = ("evse_id", "stream_epoch", "sequence", "digest")
    for evse, epoch, sequence, digest in evidence.readings.select(columns).iter_rows():
        identity = evse, epoch, sequence
        if identity in taken:
            yield f"packets: a second reading of {identity}; expected one"
        # Another content of a meter's record speaks against the reading up to the next record too.
        taken.setdefault(identity, set()).add(digest)
    for one in pack.conflicts:
        identity = one.evse_id, one.stream_epoch, one.sequence
        if taken.get(identity) in (None, {one.digest}) or (identity, one.digest) not in others:
            yield f"conflict of {identity}: two signed contents are not both in the pack"


def _speaks_of(verdict: Verdict) -> set[_Identity]:
    """The readings that a packet makes, or that its record has a part in."""
    record = standing_record(verdict)
    if record is None or verdict.record is None:
        return {(one.evse_id, one.stream_epoch, one.sequence) for one in verdict.contents}
    first = record.number * ocmf.READINGS_PER_RECORD
    # Up to and including the one that the next record completes.
    numbers = range(first, first + ocmf.READINGS_PER_RECORD + 1)
    return {(record.evse_id, record.stream_epoch, number) for number in numbers}


def _documents(pack: Pack) -> Iterator[str]:
    stated = {one.window.event_id for one in pack.events if one.document}
    for one in pack.events:
        found = sha256(one.document).digest()
        if one.document and found != one.digest:
            yield (
                f"event {one.window.event_id}, version {one.version}: document {found.hex()};"
                f" received {one.digest.hex()}"
            )
    known = {one.window.event_id for one in pack.events}
    for booking in pack.bookings:
        event = booking.key[1]
        if event in known and event not in stated:
            yield f"event {event}: no document"


def _recomputed(pack: Pack, evidence: Judged | None) -> tuple[Check, Check]:
    lines = f"{_settlements(pack)}, {sum(len(one.lines) for one in pack.bookings)} lines"
    unpaid = f"{pack.unpaid.height} rows"
    if evidence is None:
        why = "cannot be checked: the packets cannot be judged"
        return (
            Check("lines", State.BROKEN, lines, why),
            Check("unpaid", State.BROKEN, unpaid, why),
        )
    found: dict[str, Computed] = {}

    def run_all() -> Iterator[str]:
        for run in pack.runs:
            found[run.run_id] = computed(pack, run, evidence.readings)
        return compare.settlements(pack, found)

    checked = _check("lines", lines, run_all)
    if len(found) < len(pack.runs):
        return checked, Check("unpaid", State.BROKEN, unpaid, "cannot be checked: see lines")
    return checked, _check("unpaid", unpaid, lambda: compare.unpaid(pack, found))


def _proofs(pack: Pack, *, vouched: bool) -> Check:
    unsealed = [one.settlement_id for one in pack.bookings if one.proof is None]
    looked_at = f"{len(pack.bookings) - len(unsealed)} of {_settlements(pack)} sealed"
    check = _check("proofs", looked_at, lambda: sealed.proofs(pack))
    if check.state is State.HOLDS and unsealed:
        state = State.BROKEN if vouched else State.OPEN
        return Check("proofs", state, looked_at, f"settlement {unsealed[0]}: not sealed yet")
    return check


def _seals(pack: Pack, against: Mapping[int, Seal] | None, roots: frozenset[bytes]) -> Check:
    looked_at = f"{len(pack.seals)} seals"

    def differences() -> Iterator[str]:
        try:
            yield from sealed.seals(pack, against, roots)
        except BrokenSealError as error:
            yield str(error)

    check = _check("seals", looked_at, differences)
    if check.state is State.HOLDS and pack.seals and against is None and not roots:
        return Check(
            "seals",
            State.OPEN,
            looked_at,
            "not compared with seals kept elsewhere (--against, --root)",
        )
    return check
