"""The clearinghouse on a loopback port, over HTTP or TLS, in a thread.

with ClearingHouse(token="secret", misbehaviour=WELL_BEHAVED) as house:
    house.script.posting("*", "ok", "reset_after")
    …  # house.url, house.truth(), house.statement(), house.elsewhere.arrived
"""

import threading
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType

from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey

from simulators.clearinghouse.app import ClearingApp
from simulators.clearinghouse.book import Ledger, PayoutBook
from simulators.clearinghouse.certificates import Pair, server_context
from simulators.clearinghouse.elsewhere import Elsewhere
from simulators.clearinghouse.misbehaviour import WELL_BEHAVED, Misbehaviour
from simulators.clearinghouse.script import Script
from simulators.clearinghouse.script_file import Behaviour, read_behaviour, require_shares
from simulators.clearinghouse.signatures import AnswerSigner, RequestGate
from simulators.clearinghouse.statement import Lies, statement
from simulators.serving import BearerGate, Lines, LoopbackServer, Simulator


def _utc_now() -> datetime:
    return datetime.now(UTC)


class ClearingHouse(Simulator):
    """A clearinghouse's server on a loopback port, in a thread. A context manager.

    Args:
        token: the bearer token it asks for.
        seed: decides which call gets which fault.
        misbehaviour: how often each fault occurs; by default as ``Misbehaviour()``.
        port: 0 takes a free one.
        status_misbehaviour: the same for status queries; by default they are answered well.
        latency_s: before each answer to a posting or a status query.
        tls: speak TLS and show this certificate; see ``simulators.clearinghouse.certificates``.
        tls11_only: speak TLS 1.1 and nothing newer.
        require_key: PEM file with the public key, or its certificate, by which every posting and
            every status query must be signed.
        sign_with: P-256 key that signs the answers.
        now: the time of payments and signatures, UTC.

    Raises:
        ValueError: a fault that can do nothing, or a key that cannot be used.
        OSError: a file that cannot be read, or a port that is taken.
    """

    def __init__(
        self,
        *,
        token: str,
        seed: int = 0,
        misbehaviour: Misbehaviour | None = None,
        port: int = 0,
        status_misbehaviour: Misbehaviour = WELL_BEHAVED,
        latency_s: float = 0.0,
        tls: Pair | None = None,
        tls11_only: bool = False,
        require_key: Path | None = None,
        sign_with: EllipticCurvePrivateKey | None = None,
        now: Callable[[], datetime] = _utc_now,
    ) -> None:
        self._signs = sign_with is not None
        self._lock = threading.Lock()
        self._book = PayoutBook(now)
        self.elsewhere = Elsewhere()
        """The other host, to which redirects lead; ``.arrived`` says what came there."""
        lines = Lines()
        self._app = ClearingApp(
            self._book,
            self._checked(
                Behaviour(
                    Script(signs=self._signs),
                    shares=Misbehaviour() if misbehaviour is None else misbehaviour,
                    status_shares=status_misbehaviour,
                )
            ),
            seed=seed,
            lines=lines,
            elsewhere=self.elsewhere,
            latency_s=latency_s,
            gate=None if require_key is None else RequestGate(require_key, now=now),
            signer=None if sign_with is None else AnswerSigner(sign_with, now=now),
            now=now,
        )
        self._server = LoopbackServer(
            BearerGate(self._app.application(), token=token),
            port=port,
            lines=lines,
            tls=None if tls is None else server_context(tls, tls11_only=tls11_only),
        )

    def _checked(self, behaviour: Behaviour) -> Behaviour:
        require_shares(behaviour.shares, signs=self._signs, queries=False)
        require_shares(behaviour.status_shares, signs=self._signs, queries=True)
        return behaviour

    @property
    def script(self) -> Script:
        """Exactly which call meets what; add to it at any time."""
        return self._app.behaviour.script

    @property
    def lies(self) -> Lies:
        """What the statement says wrongly; add to it at any time."""
        return self._app.behaviour.lies

    def truth(self) -> Ledger:
        """What really took effect."""
        return self._book.ledger()

    def calls(self) -> int:
        """How many postings came so far, repeats included. Quick, for a test that waits."""
        return self._book.calls()

    def statement(self, start: datetime | None = None, end: datetime | None = None) -> bytes:
        """The statement of what was paid from ``start`` until before ``end``, lies included."""
        return statement(self._book.payments(), self.lies, start=start, end=end)

    def misbehave(self, misbehaviour: Misbehaviour, *, status: Misbehaviour = WELL_BEHAVED) -> None:
        """Misbehave so often from now on, where the script does not speak. Raises ValueError."""
        with self._lock:
            self._app.behaviour = self._checked(
                self._app.behaviour.having(shares=misbehaviour, status_shares=status)
            )

    def follow(self, script: bytes) -> None:
        """Behave as a script's bytes say from now on. Raises ValueError."""
        with self._lock:
            self._app.behaviour = read_behaviour(script, signs=self._signs)

    def healthy(self) -> None:
        """Answer every call well from now on; the statement goes on lying, if it does."""
        self.misbehave(WELL_BEHAVED)
        self.script.clear()

    def run_here(self) -> None:
        """Serve from this thread until SIGINT or SIGTERM."""
        try:
            super().run_here()
        finally:
            self.elsewhere.stop()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        super().__exit__(kind, error, trace)
        self.elsewhere.stop()
