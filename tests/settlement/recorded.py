"""Reading one record, and the key of its meter as if enrolled; for the tests of meters' records."""

from datetime import UTC, datetime

from settlement import packets
from settlement.packets import MeterRecord
from settlement.signatures import DeviceKey, algorithm_of
from tests.ocmf import (
    Meter,
)


def read(record: bytes) -> MeterRecord:
    said = packets.read(packets.split(record))
    assert isinstance(said, MeterRecord)
    return said


def key_of(meter: Meter) -> DeviceKey:
    return DeviceKey(
        key_id="meter-key",
        evse_id="DE*V2G*E00001",
        public_key=meter.public_key,
        valid_from=datetime(2020, 1, 1, tzinfo=UTC),
        algorithm=algorithm_of(meter.curve),
        meter_id=meter.meter_id,
    )
