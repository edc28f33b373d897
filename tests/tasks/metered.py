"""A small world in which the meters themselves speak: their records, one per ten minutes at 7.2 kW."""

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from settlement.packets.keys import key_id_of
from settlement.signatures import DeviceKey, algorithm_of
from storage.engine import Role, connect
from storage.keys import enrol_keys
from storage.landing import Arrival, Fate, Lander
from storage.registry import Contract, put_contracts
from tests.ocmf import Meter, as_ocpp16, make_meter, make_record, point
from tests.tasks.scene import PROGRAM, START, Scene, now

EVSE = "DE*V2G*E00001"
STEP_S = 600
WH_PER_STEP = 1200
METERS_CAR = f"EVSE:{EVSE}"
"""Whose it is what a record of nobody's says."""


@dataclass
class Metered:
    """What the tests do with one meter at one EVSE."""

    scene: Scene
    meter: Meter = field(default_factory=make_meter)

    def set_up(self, *, enrolled: bool = True) -> None:
        self.scene.set_up(EVSE)
        if enrolled:
            self.enrol()
        terms = Contract(
            "c-meter", METERS_CAR, PROGRAM, 850_000, "a-meter", START - timedelta(days=30)
        )
        with connect(self.scene.dsn, Role.SETTLE) as conn:
            put_contracts(conn, [terms], now=now())

    def enrol(self, **changes: Any) -> None:
        facts: dict[str, Any] = {
            "key_id": key_id_of(self.meter.private.public_key()),
            "evse_id": EVSE,
            "valid_from": START - timedelta(days=30),
        }
        key = DeviceKey(
            public_key=self.meter.public_key,
            meter_id=self.meter.meter_id,
            algorithm=algorithm_of(self.meter.curve),
            **(facts | changes),
        )
        with connect(self.scene.dsn, Role.REGISTRY) as conn:
            enrol_keys(conn, [key], now=now())

    def record(self, number: int, *steps: float, more_wh: int = 0, **fields: Any) -> bytes:
        """The record of a number: its points at these steps, by default the one of its number."""
        kind = fields.pop("kind", "C")
        points = [
            point(
                step * STEP_S,
                export_kwh=f"{1000 + (step * WH_PER_STEP + more_wh) / 1000:.3f}",
                import_kwh="250.000",
                kind=kind,
            )
            for step in steps or (number,)
        ]
        return make_record(self.meter, points, number, context=fields.pop("context", "F"), **fields)

    def bring(
        self, records: Iterable[bytes], topic: str | None = EVSE, source: str = "mqtt"
    ) -> list[Fate]:
        """Land in one batch, as a transport does."""
        lander = Lander(self.scene.dsn)
        try:
            arrivals = [Arrival(one, now(), source, topic) for one in records]
            return [outcome.fate for outcome in lander.land(arrivals).outcomes]
        finally:
            lander.close()

    def deliver(self, records: Iterable[bytes], topic: str | None = EVSE) -> None:
        self.bring(records, topic)
        self.scene.judge()

    def intervals(self) -> list[tuple[float, float, int]]:
        """Of all readings of the meter: from and to, in steps, and Wh."""
        return [
            ((start - START).total_seconds() / STEP_S, (end - START).total_seconds() / STEP_S, wh)
            for start, end, wh in self.scene.rows(
                "select started_at, ended_at, ((export_end_milliwh - export_start_milliwh) / 1000)::int"
                f" from reading where session_id like '{self.meter.meter_id}:%' order by 1, 2"
            )
        ]


def in_ocpp(record: bytes) -> bytes:
    """The same record as OCPP 1.6 carries it."""
    return json.dumps(as_ocpp16(record)).encode()
