"""The frames, in the order in which the data walks through them, one table of columns each.

    RawPacket → Reading (or Quarantined) → MatchedDischarge → Line → Settlement → Receipt

These tables are the only place where a column's type, unit and permitted range are written. The
Polars schema (``Frame.schema``), the SQL columns and CHECKs (``storage.tables``), the limits of the
Great Expectations suite and ``docs/columns.md`` are made from them.

    kinds     what a frame is made of
    evidence  packets, readings, quarantine, temperatures
    terms     contracts, sites, baselines, orders
    money     matched discharge, unpaid energy, lines, settlements, receipts
"""

from settlement.schemas.evidence import QUARANTINED, RAW_PACKET, READING, TEMPERATURE
from settlement.schemas.kinds import POLARS_TYPES, Column, Frame, Kind
from settlement.schemas.money import (
    LINE,
    MATCHED_DISCHARGE,
    RECEIPT,
    SETTLEMENT,
    UNPAID,
)
from settlement.schemas.terms import BASELINE, CONTRACT, ORDER, SITE

FRAMES: tuple[Frame, ...] = (
    RAW_PACKET,
    READING,
    QUARANTINED,
    TEMPERATURE,
    CONTRACT,
    SITE,
    BASELINE,
    ORDER,
    MATCHED_DISCHARGE,
    UNPAID,
    LINE,
    SETTLEMENT,
    RECEIPT,
)

__all__ = [
    "BASELINE",
    "CONTRACT",
    "FRAMES",
    "LINE",
    "MATCHED_DISCHARGE",
    "ORDER",
    "POLARS_TYPES",
    "QUARANTINED",
    "RAW_PACKET",
    "READING",
    "RECEIPT",
    "SETTLEMENT",
    "SITE",
    "TEMPERATURE",
    "UNPAID",
    "Column",
    "Frame",
    "Kind",
]
