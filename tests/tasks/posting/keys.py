"""Settlement keys for tests, as `v2g keys init` makes them."""

from datetime import UTC, datetime
from pathlib import Path

from tasks.posting.key_making import init
from tasks.posting.settlement_key import CERTIFICATE, PRIVATE, Place, SettlementKey, load

NOW = datetime(2026, 7, 1, 12, 0, 0, 500_000, tzinfo=UTC)


def place_in(folder: Path, **changes: object) -> Place:
    return Place(**({"certificate": folder / CERTIFICATE, "key_file": folder / PRIVATE} | changes))  # type: ignore[arg-type]


def made_in(
    folder: Path, *, now: datetime = NOW, days: int = 397, rsa_too: bool = False, **changes: object
) -> SettlementKey:
    place = place_in(folder, **changes)
    init(place, now=now, days=days, rsa_too=rsa_too)
    return load(place)
