"""Evidence packs made in memory: packets signed, judged, settled, booked and sealed by the rules' own
steps, without a database.
"""

import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any

import polars as pl
import yaml

from settlement import booking, merkle, programs, seals
from settlement.booking import Policy, Share
from settlement.periods import Period
from settlement.pricing import micros_per_minor
from settlement.schemas import CONTRACT
from settlement.signatures import DeviceKey
from settlement.timeline import Price, Window
from statements.pack import (
    TEMPERATURE_SCHEMA,
    UNPAID_SCHEMA,
    Booking,
    EnrolledKey,
    EventVersion,
    Known,
    Pack,
    ProgramVersion,
    Proof,
    Run,
    SignedPacket,
    Subject,
)
from statements.recompute import computed, judged
from tests.packets import Key, make_key, make_packet, rfc3339
from tests.settlement.frames import EXAMPLE

START = datetime(2026, 7, 1, 17, tzinfo=UTC)
HOUR = timedelta(hours=1)
STEP = timedelta(seconds=60)
PERIOD = Period(START - HOUR, START + 2 * HOUR)
EVSE = "DE*V2G*E00001"
VEHICLE = "VEHICLE-00001"
KNOWN_AT = START + timedelta(days=1)
PROGRAM = "example-energy"
SHARES = (Share("aggregator", "agg", 100_000), Share("owner", "anna", 900_000))


def signed(key: Key, number: int, wh: int = 120, **fields: Any) -> bytes:
    """The packet of a minute, ``number`` minutes after the start."""
    start = START + number * STEP
    register = 1_000_000 + wh * (number + 60)
    watts = str(wh * 60)
    return make_packet(
        key,
        evse_id=EVSE,
        sequence=number + 60,
        started_at=rfc3339(start),
        ended_at=rfc3339(start + STEP),
        power_start_w=watts,
        power_end_w=watts,
        export_start_wh=f"{register}.000",
        export_end_wh=f"{register + wh}.000",
        soc_start_pct="60.0000",
        soc_end_pct="60.0000",
        **fields,
    )


def program_body(**changes: Any) -> dict[str, Any]:
    body = yaml.safe_load(EXAMPLE.read_text())
    body["checks"] = {"register_vs_power_pct": 5}
    return {key: value for key, value in (body | changes).items() if value is not None}


def make_pack(**changes: Any) -> Pack:
    """Half an hour before the event, and the event's hour, at 7.2 kW; the price changes half-way.

    Beside parts of the pack, ``changes`` may be key, body (of the program), packets, prices, and
    changes of its ``run`` and of what that has ``known``.
    """
    key = changes.pop("key", None) or make_key()
    body = changes.pop("body", None) or program_body()
    packets = changes.pop("packets", None) or [signed(key, n) for n in range(-30, 60)]
    prices = changes.pop("prices", None) or (
        Price(PROGRAM, START - HOUR, START + HOUR / 2, 420_000, START - HOUR),
        Price(PROGRAM, START + HOUR / 2, START + HOUR, 615_000, START - HOUR),
    )
    program = programs.parse(body, "test")
    document = b"<DERControl>peak</DERControl>"
    window = Window("peak", PROGRAM, START, START + HOUR, START - HOUR)
    contract = {
        "contract_id": "c-1", "vehicle_id": VEHICLE, "evse_id": "", "site_id": "",
        "program": PROGRAM, "incentive_rate_ppm": 850_000, "valid_from": START - 30 * HOUR,
        "valid_to": None, "capacity_milliwh": None, "rated_w": None,
    }  # fmt: skip
    temperatures = pl.DataFrame(
        [
            (EVSE, VEHICLE, START + n * STEP, 25_000, KNOWN_AT - HOUR, KNOWN_AT - HOUR)
            for n in range(-60, 61)
        ],
        schema=TEMPERATURE_SCHEMA,
        orient="row",
    )
    run = Run(
        run_id="run-1",
        period=PERIOD,
        known_at=KNOWN_AT,
        programs=None,
        stretch=timedelta(hours=4),
        accounts=((PROGRAM, "", VEHICLE), (PROGRAM, "peak", VEHICLE)),
        known=Known(
            programs=((PROGRAM, program.version),),
            events=(("peak", 1),),
            prices=tuple(prices),
            contracts=pl.DataFrame([contract], schema=CONTRACT.schema),
            temperatures=Period(START - 24 * HOUR, START + 2 * HOUR) if program.thermal else None,
        ),
    )
    run = replace(run, known=replace(run.known, **changes.pop("known", {})))
    run = replace(run, **changes.pop("run", {}))
    pack = Pack(
        made_at=KNOWN_AT + HOUR,
        made_by="test",
        subject=Subject(vehicle_id=VEHICLE),
        runs=(run,),
        programs=(ProgramVersion(PROGRAM, program.version, None, json.dumps(body)),),
        events=(
            EventVersion(window, 1, "scheduled", START - HOUR, sha256(document).digest(), document),
        ),
        temperatures=temperatures if program.thermal else temperatures.clear(),
        packets=tuple(
            SignedPacket(one, _digest(one), KNOWN_AT - HOUR, KNOWN_AT - HOUR) for one in packets
        ),
        keys=(
            EnrolledKey(
                DeviceKey(key.key_id, EVSE, key.public_key, START - 30 * HOUR), START - 30 * HOUR
            ),
        ),
    )
    return booked(replace(pack, **changes))


def _digest(packet: bytes) -> bytes:
    return sha256(packet.rpartition(b".")[0]).digest()


def settled(pack: Pack):
    """What the first run of a pack comes to."""
    with ThreadPoolExecutor(2) as executor:
        return computed(pack, pack.runs[0], judged(pack, executor).readings)


def booked(pack: Pack) -> Pack:
    """The pack with what its run comes to booked, sealed among two other leaves, and proven."""
    found = settled(pack)
    run = pack.runs[0]
    program = programs.parse(json.loads(pack.programs[0].body), "test")
    policy = Policy(program.correction, 0, micros_per_minor(program))
    revised = booking.revisions(
        found.settlements, found.lines, {}, {"c-1": SHARES}, {PROGRAM: policy}
    )
    contents = [_content(one, run, number + 2) for number, one in enumerate(revised.revisions)]
    leaves = [b"another", *contents, b"and another"]
    seal = seals.seal(None, 1, len(leaves), leaves, KNOWN_AT)
    tree = merkle.Tree.of(map(merkle.leaf_hash, leaves))
    bookings = [
        Booking(
            settlement=content["settlement"],
            lines=tuple(content["lines"]),
            entries=tuple(content["entries"]),
            supersedes=None,
            before=(),
            shares=SHARES,
            proof=Proof(1, number + 1, tuple(tree.path(number + 1))),
        )
        for number, content in enumerate(map(json.loads, contents))
    ]
    unpaid = found.unpaid.with_columns(run_id=pl.lit(run.run_id)).select(UNPAID_SCHEMA.names())
    return replace(pack, bookings=tuple(bookings), seals=(seal,), unpaid=unpaid.cast(UNPAID_SCHEMA))


def _content(one: booking.Revision, run: Run, number: int) -> bytes:
    row = {
        **one.settlement,
        "settlement_id": one.settlement_id,
        "revision": one.revision,
        "run_id": run.run_id,
        "adjustment_minor": one.adjustment_minor,
        "known_at": run.known_at,
        "event_version": 1,
        "contract_version": 1,
        "allocations": [asdict(share) for share in one.allocations],
        "booking_no": number,
    }
    shared = {"program", "event_id", "vehicle_id"}
    lines: Sequence[dict[str, object]] = [
        {name: value for name, value in line.items() if name not in shared}
        | {"settlement_id": one.settlement_id}
        for line in one.lines
    ]
    entries = [
        {
            "settlement_id": one.settlement_id,
            "entry_id": f"{one.settlement_id}:{entry.kind}",
            "kind": entry.kind.value,
            "period_at": run.period.started_at,
            "booked_at": run.known_at,
            "account": entry.account,
            "currency": entry.currency,
            "amount_minor": entry.amount_minor,
        }
        for entry in one.entries
    ]
    return seals.leaf(row, lines, entries)
