"""Case folders for tests: a small one that can be settled, with any of its files changed."""

from collections.abc import Mapping
from pathlib import Path

import cases
from cases import Case
from settlement.engine import Computed, compute

PROGRAM = """\
program: evening
version: 1
currency: USD
product: energy
quantity: export_only
"""
CONTRACTS = """\
vehicle_id,evse_id,site_id,program,incentive_rate,valid_from,valid_to,capacity_kwh,rated_kw
V1,E1,,evening,0.85,2026-01-01T00:00:00Z,,60,11
"""
EVENTS = """\
event_id,program,started_at,ended_at,created_at,status,primacy,group,superseded_or_cancelled_at
EV1,evening,2026-07-01T17:00:00Z,2026-07-01T18:00:00Z,2026-07-01T09:00:00Z,scheduled,0,,
"""
PRICES = """\
started_at,ended_at,price_per_kwh,currency
2026-07-01T17:00:00Z,2026-07-01T17:30:00Z,0.42,USD
2026-07-01T17:30:00Z,2026-07-01T18:00:00Z,0.615,USD
"""
READINGS = """\
evse_id,vehicle_id,session_id,sequence,started_at,ended_at,export_start_wh,export_end_wh,import_start_wh,import_end_wh,power_start_w,power_end_w,soc_start_pct,soc_end_pct,lat,lon,received_at
E1,V1,S1,1,2026-07-01T17:00:00Z,2026-07-01T17:30:00Z,1000,4600,0,0,7200,7200,,,,,2026-07-01T17:30:01Z
E1,V1,S1,2,2026-07-01T17:30:00Z,2026-07-01T18:00:00Z,4600,8650,0,0,8100,8100,,,,,2026-07-01T18:00:01Z
"""
THERMAL = """\
evse_id,vehicle_id,measured_at,battery_c
E1,V1,2026-07-01T16:59:00Z,30.5
"""
BASELINES = """\
vehicle_id,started_at,ended_at,baseline_kw
V1,2026-07-01T17:00:00Z,2026-07-01T18:00:00Z,-1.5
"""
ORDERS = """\
event_id,vehicle_id,started_at,ended_at,ordered_kw
EV1,V1,2026-07-01T17:00:00Z,2026-07-01T18:00:00Z,7
"""
SITES = """\
site_id,lat,lon,group
home,52.52,13.4,north
"""
KEYS = """\
key_id,evse_id,valid_from,valid_to,public_key_pem_or_hex
k1,E1,2026-01-01T00:00:00Z,,00ff
"""

FILES: Mapping[str, str] = {
    "program.yaml": PROGRAM,
    "contracts.csv": CONTRACTS,
    "events.csv": EVENTS,
    "prices.csv": PRICES,
    "readings.csv": READINGS,
}


def folder(at: Path, changes: Mapping[str, str | bytes | None] | None = None) -> Path:
    """A case in a folder of its own, with some files replaced, added, or (None) left out."""
    at.mkdir(parents=True, exist_ok=True)
    for name, content in {**FILES, **(changes or {})}.items():
        if content is None:
            continue
        path = at / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return at


def settled(case: Case) -> Computed:
    return compute(case.readings_in, case.facts, cases.PERIOD)
