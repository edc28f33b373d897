"""Signatures checked per second, with all cores, against `openssl speed` on the same cores.

Both are timed by the clock on the wall, in turn, in the same run. The fleet is a thousand chargers
with a key each, whose packets come in the order of their time, as the judge has them: no two
neighbours under one key.
"""

import os
import re
import shutil
import subprocess
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime
from typing import Final

from benchmarks.figure import Figure, interleaved, rate
from settlement import packets
from settlement.signatures import SPARE_THREADS, DeviceKey, stand
from simulators.evening import Evening
from simulators.keys import derive_key
from simulators.signing import Signer, sign_all

KEYS: Final = 1_000
PACKETS_PER_KEY: Final = 20
AIM: Final = 0.85
ROUNDS: Final = 7
OPENSSL_SECONDS: Final = 1
"""About what our own round takes, so that what disturbs the machine meets both alike."""


def run() -> Sequence[Figure]:
    """Measure. Where there is no openssl command, the limit is missing and the aim cannot be met."""
    cores = len(os.sched_getaffinity(0))
    checks = _checks(cores)
    with ThreadPoolExecutor(cores + SPARE_THREADS) as threads:

        def ours() -> float:
            return rate(len(checks), lambda: _all_stand(checks, threads))

        if shutil.which("openssl") is None:
            (measured,) = interleaved(ours)
            return [_figure(measured, None, "openssl is not installed")]
        measured, limit = interleaved(ours, lambda: _openssl(cores), rounds=ROUNDS)
        return [_figure(measured, limit, f"{_version()} speed ecdsap256, {cores} cores")]


def _figure(measured: float, limit: float | None, limit_name: str) -> Figure:
    return Figure(
        f"signatures checked, {KEYS:,} keys",
        measured,
        "/s",
        limit,
        limit_name,
        f"ratio {AIM}",
        limit is not None and measured / limit >= AIM,
    )


def _checks(cores: int) -> list[tuple[DeviceKey, packets.Envelope]]:
    """Packets of a thousand keys, one of each in turn."""
    evening = Evening(seed=1, day=date(2026, 7, 1), received_by=datetime(2026, 7, 2, tzinfo=UTC))
    contents = [step.content for step in evening.steps[:PACKETS_PER_KEY]]
    signers = [Signer(derive_key(1, f"charger {n}")) for n in range(KEYS)]
    long_ago = datetime(2026, 1, 1, tzinfo=UTC)
    keys = {
        one.key_id: DeviceKey(one.key_id, f"charger {n}", one.public_key, long_ago)
        for n, one in enumerate(signers)
    }
    for key in keys.values():
        key.verifier  # noqa: B018 - loaded before the clock runs, as the judge has it
    signed = sign_all([(s, c) for c in contents for s in signers], threads=cores)
    envelopes = [packets.split(packet) for packet in signed]
    return [(keys[envelope.key_id], envelope) for envelope in envelopes]


def _all_stand(
    checks: Sequence[tuple[DeviceKey, packets.Envelope]], threads: ThreadPoolExecutor
) -> None:
    if not all(stand(checks, threads)):
        raise AssertionError("a good signature was refused: what was measured is no verification")


def _version() -> str:
    """Such as "OpenSSL 3.0.19": the command's, not that of the library we use."""
    out = subprocess.run(
        ["openssl", "version"], capture_output=True, text=True, check=True, timeout=20
    ).stdout
    return " ".join(out.split()[:2])


def _openssl(cores: int) -> float:
    """Verifications per second, from the last number of openssl's last line."""
    command = (
        *("openssl", "speed", "-elapsed", "-seconds", str(OPENSSL_SECONDS)),
        *("-multi", str(cores), "ecdsap256"),
    )
    out = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120).stdout
    found = re.findall(r"nistp256.*?([0-9.]+)\s*$", out, flags=re.MULTILINE)
    return float(found[-1])
