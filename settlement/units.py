"""Units and declared bounds: every limit of a number is stated here, once.

Energy is counted in thousandths of a watt-hour (``milliwh``), power in watts, prices in millionths
of the currency unit per kWh (``micros_per_kwh``), exact money in millionths of the currency unit
(``micros``), payable money in minor units (``minor``), factors in millionths (``ppm``), positions
in millionths of a degree (``microdeg``). All are integers; see ``docs/settlement.md`` for why.
"""

from datetime import UTC, datetime, timedelta
from typing import Final

MILLIWH_PER_WH: Final = 1_000
MILLIWH_PER_KWH: Final = 1_000_000
W_US_PER_MILLIWH: Final = 3_600_000
"""1 mWh is 3.6e6 W·µs."""

MICROS_PER_UNIT: Final = 1_000_000
PPM: Final = 1_000_000

REGISTER_MAX_MILLIWH: Final = 10**15
"""A meter register: 1 TWh, more than any charger delivers in its life."""

READING_MAX_MILLIWH: Final = 10**9
"""The energy of one reading: 1 MWh."""

PIECE_MAX_MILLIWH: Final = 10**10
"""What one EVSE may have delivered to one vehicle's settlement interval: 10 MWh. More is a fault."""

LINE_MAX_MILLIWH: Final = 10**11
"""The energy of one line: 100 MWh."""

AVERAGE_MAX_W: Final = 10**9

POWER_MAX_W: Final = 10_000_000
PRICE_MAX_MICROS_PER_KWH: Final = 10**8
"""A price, either sign: 100 currency units per kWh, above every cap known in a wholesale market."""

PRICE_MAX_MICROS_PER_KW: Final = 10**10
"""A price of power or a penalty, either sign: 10,000 currency units per kW."""

FACTOR_MAX_PPM: Final = 4_000_000
"""Incentive rate and tier multiplier: at most fourfold."""

SEQUENCE_MAX: Final = 2**53 - 1
"""Largest integer that every JSON reader keeps exactly (RFC 8259 §6)."""

TEMPERATURE_MIN_MILLICELSIUS: Final = -50_000
TEMPERATURE_MAX_MILLICELSIUS: Final = 150_000
"""Range of a battery sensor (requirement 5 names 0 to 150 °C; a parked car may be colder)."""

LATITUDE_MAX_MICRODEG: Final = 90_000_000
LONGITUDE_MAX_MICRODEG: Final = 180_000_000
CLOCK_OFFSET_MAX_US: Final = 86_400_000_000

INTERVAL_MAX: Final = timedelta(hours=1)
"""Longest interval of one reading. It bounds how far a query must look back for a reading that
overlaps a window."""

EXPORT_INTERVAL_MAX: Final = timedelta(hours=24)
"""Longest interval of one reading in a case folder: an export may have summed readings up."""

EARLIEST: Final = datetime(2020, 1, 1, tzinfo=UTC)
LATEST: Final = datetime(2100, 1, 1, tzinfo=UTC)
"""Times outside [EARLIEST, LATEST) are no times of a charger that settles here."""

PACKET_MAX_BYTES: Final = 8 * 1024
ID_MAX_CHARS: Final = 64

INT128_MAX: Final = 2**127 - 1
