"""A small world in a real database: one program, one event, prices, and chargers that deliver."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

import psycopg
import yaml

from grid.records import EventSaid, PriceSaid
from settlement.periods import Period
from settlement.signatures import DeviceKey
from storage.engine import Role, connect
from storage.event_decisions import Decision, decide
from storage.grid import put_events, put_prices
from storage.keys import enrol_keys
from storage.landing import Arrival, Fate, Lander
from storage.registry import Contract, put_contracts, put_program
from tasks.judge import JudgeSummary, judge_packets
from tasks.settle import SettleSummary, settle_period
from tests.packets import PERIOD, Key, evening, make_key, make_packet, rfc3339

PROGRAM = "example-energy"
PROGRAM_FILE = Path(__file__).parents[2] / "programs" / f"{PROGRAM}.yaml"
START = evening()
"""17:00 UTC of yesterday."""
HOUR = timedelta(hours=1)
WHOLE = Period(START - HOUR, START + 3 * HOUR)


def now() -> datetime:
    return datetime.now(UTC)


@dataclass
class Scene:
    """What the tests do to a database, in the words of the people who do it."""

    dsn: str
    keys: dict[str, Key] = field(default_factory=dict)

    def enrol(self, *evses: str, rate_ppm: int = 850_000, contract: bool = True) -> None:
        """Enrol a key for each EVSE, and a contract for the vehicle that charges there."""
        long_ago = START - timedelta(days=30)
        with connect(self.dsn, Role.REGISTRY) as conn:
            for evse in evses:
                key = self.keys.setdefault(evse, make_key())
                record = DeviceKey(key.key_id, evse, key.public_key, long_ago)
                enrol_keys(conn, [record], now=now())
        with connect(self.dsn, Role.SETTLE) as conn:
            put_program(
                conn,
                yaml.safe_load(PROGRAM_FILE.read_text()),
                valid_from=long_ago,
                source=PROGRAM_FILE.name,
                now=now(),
            )
            for evse in evses:
                if contract:
                    vehicle = vehicle_of(evse)
                    terms = Contract(
                        f"c-{vehicle}", vehicle, PROGRAM, rate_ppm, f"a-{vehicle}", long_ago
                    )
                    put_contracts(conn, [terms], now=now())

    def program(self, *, valid_from: datetime, **changes: Any) -> None:
        """A version of the program."""
        body = yaml.safe_load(PROGRAM_FILE.read_text()) | changes
        with connect(self.dsn, Role.SETTLE) as conn:
            put_program(conn, body, valid_from=valid_from, source="test", now=now())

    def contract(self, evse: str, **changes: Any) -> None:
        """A further version of the contract of the vehicle that charges at an EVSE."""
        vehicle = vehicle_of(evse)
        terms: dict[str, Any] = {
            "contract_id": f"c-{vehicle}",
            "vehicle_id": vehicle,
            "program": PROGRAM,
            "incentive_rate_ppm": 850_000,
            "account": f"a-{vehicle}",
            "valid_from": START - timedelta(days=30),
        }
        with connect(self.dsn, Role.SETTLE) as conn:
            put_contracts(conn, [Contract(**(terms | changes))], now=now())

    def event(
        self,
        name: str = "peak",
        start: datetime = START,
        end: datetime = START + HOUR,
        **facts: Any,
    ) -> None:
        """A version of an event, received now."""
        row = EventSaid(
            event_id=name,
            program=facts.get("program", PROGRAM),
            started_at=start,
            ended_at=end,
            created_at=facts.pop("created_at", min(start, START) - HOUR),
            status=facts.get("status", "scheduled"),
            document=f"{name} {start} {end} {facts}".encode(),
            received_at=now(),
            primacy=facts.get("primacy", 0),
            site_group=facts.get("group", ""),
            cancelled_at=facts.get("cancelled_at"),
            modes=facts.get("modes", ()),
            randomize_start_s=facts.get("randomize_start_s", 0),
            randomize_duration_s=facts.get("randomize_duration_s", 0),
            resumes=facts.get("resumes", True),
        )
        with connect(self.dsn, Role.SETTLE) as conn:
            put_events(conn, [row])

    def approve(self, version: int, name: str = "peak") -> None:
        """A person approves a version of an event that came after it had ended."""
        with connect(self.dsn, Role.SETTLE) as conn:
            decide(conn, name, version, Decision.APPROVED, by="Ada", now=now())

    def price(self, start: datetime, end: datetime, micros: int) -> None:
        """A version of a price, received now."""
        digest = sha256(f"{start} {end} {micros}".encode()).digest()
        with connect(self.dsn, Role.SETTLE) as conn:
            put_prices(conn, [PriceSaid(PROGRAM, start, end, micros, "USD", digest, now())])

    def set_up(self, *evses: str) -> None:
        """An event from 17:00 to 18:00, one price around it, and these EVSEs enrolled."""
        self.enrol(*evses)
        self.event()
        self.price(WHOLE.started_at, WHOLE.ended_at, 420_000)

    def packet(self, evse: str, sequence: int, **fields: Any) -> bytes:
        """A packet of an enrolled EVSE, 15 s at 7.2 kW."""
        return make_packet(self.keys[evse], evse_id=evse, sequence=sequence, **fields)

    def land(self, packets: Iterable[bytes], *, topic: str | None = None) -> list[Fate]:
        """Land packets in one batch."""
        arrivals = [Arrival(packet, now(), "mqtt", topic) for packet in packets]
        lander = Lander(self.dsn)
        try:
            return [outcome.fate for outcome in lander.land(arrivals).outcomes]
        finally:
            lander.close()

    def judge(self) -> JudgeSummary:
        return judge_packets(self.dsn, clock=now, threads=2)

    def settle(self, period: Period = WHOLE, **how: Any) -> SettleSummary:
        return settle_period(self.dsn, period, clock=now, **how)

    def deliver(self, packets: Iterable[bytes]) -> None:
        """Land and judge."""
        self.land(packets)
        self.judge()

    def rows(self, statement: str) -> Sequence[tuple[Any, ...]]:
        with connect(self.dsn, Role.READ) as conn:
            return conn.execute(statement).fetchall()

    def owed(self) -> dict[str, int]:
        """What is owed to each account, in minor units; accounts that have nothing left out."""
        return dict(
            self.rows(
                "select account, (-sum(amount_minor))::int from journal_line"
                " where account like 'payable%' group by account having sum(amount_minor) <> 0"
            )
        )

    def one(self, statement: str) -> Any:
        return self.rows(statement)[0][0]


def vehicle_of(evse: str) -> str:
    """The vehicle that the default packet of an EVSE names."""
    return "VEHICLE-" + evse[-5:]


def administrator(dsn: str) -> psycopg.Connection:
    return psycopg.connect(dsn, user="v2g", autocommit=True)


__all__ = [
    "HOUR",
    "PERIOD",
    "PROGRAM",
    "START",
    "WHOLE",
    "Scene",
    "administrator",
    "now",
    "rfc3339",
    "vehicle_of",
]
