"""Whether a past run can be told again: computed as known at its time, and held against its digest."""

from dataclasses import dataclass
from importlib.metadata import version

from storage import books, runs
from tasks import computing


class UndigestedRunError(ValueError):
    """``run_id`` was recorded before runs had digests: there is nothing to hold a replay against."""

    def __init__(self, run_id: str) -> None:
        super().__init__(f"run {run_id} was recorded without a digest; expected one that has it")
        self.run_id = run_id


@dataclass(frozen=True)
class Verification:
    """A past run and its replay.

    Attributes:
        period: ISO 8601.
        known_at: ISO 8601.
        stands: the replay came to the same, bit for bit.
        inputs_same: it read the same; where it did and does not stand, the code came to differ.
        recorded: the digest of what the run came to, in hexadecimal.
        replayed: the digest of what its replay came to.
        recorded_by: version of the software that made the run.
        replayed_by: version of the software that replayed it.
    """

    run_id: str
    period: str
    known_at: str
    stands: bool
    inputs_same: bool
    recorded: str
    replayed: str
    recorded_by: str
    replayed_by: str


def verify_run(dsn: str, run_id: str) -> Verification:
    """Replay a run as known at its time and compare; books nothing.

    Raises:
        UnknownRunError: there is no such run.
        UndigestedRunError: it has no digest.
        ProgramError: a stored program cannot be used.
    """
    with books.reading(dsn) as conn:
        run = runs.load(conn, run_id)
        if run.outputs_digest is None:
            raise UndigestedRunError(run_id)
        computed = computing.compute(
            conn, dsn, run.period, known_at=run.known_at, programs=run.programs
        )
    return Verification(
        run_id=run_id,
        period=str(run.period),
        known_at=run.known_at.isoformat(),
        stands=computed.outputs.all == run.outputs_digest,
        inputs_same=computed.inputs_digest == run.inputs_digest,
        recorded=run.outputs_digest.hex(),
        replayed=computed.outputs.all.hex(),
        recorded_by=run.code_version,
        replayed_by=version("v2g-settlement"),
    )
