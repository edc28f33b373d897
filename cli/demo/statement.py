"""What the owner of one vehicle is given: a page that explains the evening, and the evidence for it."""

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from settlement.signatures import SPARE_THREADS
from statements import packing, page
from statements.pack import Subject
from statements.shown import statement_of
from statements.verify import Verified, verify
from tasks.seal_file import SealFile
from tasks.statement import collect


@dataclass(frozen=True)
class Told:
    """What was written for one vehicle, and what became of verifying it.

    Attributes:
        settlements: that the evidence is about.
        packets: signed ones in it.
    """

    settlements: int
    packets: int
    verified: Verified


def tell(dsn: str, vehicle_id: str, *, shown: Path, evidence: Path, seals: Path) -> Told:
    """Write a vehicle's statement and evidence, and verify the evidence as its owner would.

    Args:
        dsn: the database.
        vehicle_id: whose.
        shown: the page to write.
        evidence: the evidence pack to write.
        seals: those that were kept outside of the database.
    """
    pack = collect(dsn, Subject(vehicle_id), now=datetime.now(UTC))
    with ThreadPoolExecutor((os.cpu_count() or 1) + SPARE_THREADS) as threads:
        with shown.open("w", encoding="utf-8", newline="\n") as out:
            out.writelines(page.render(statement_of(pack, threads)))
        evidence.write_bytes(packing.write(pack))
        read = packing.read(evidence.read_bytes())
        verified = verify(read, threads, against=dict(SealFile(seals).seals))
    return Told(len(pack.bookings), len(pack.packets), verified)
