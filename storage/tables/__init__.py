"""Every table, as SQLAlchemy Core. Migrations create them; a test holds the two together.

Columns, types and CHECKs of the six frames come from ``settlement.schemas``; what stands here is
what only a database needs: keys, and the tables that are no frame.

    columns    what tables are made of
    evidence   packets as they came, and what judging found them to be
    keys       who may sign, and every change to it
    streams    what of the signed sequences is missing
    tariffs    programs, and what the grid's side said
    terms      contracts, sites, temperatures, baselines, orders
    money      doubt, runs, settlements, the journal and the outbox
    vehicles   the last known state of each vehicle: a cache, and no fact

Time series (partitioned by time, one unique key each, EVSE first): raw_packet, reading, temperature.
All others are plain and for ever.
"""

from typing import Final

from storage.tables import evidence, keys, money, streams, tariffs, terms, vehicles
from storage.tables.columns import metadata

__all__ = [
    "APPEND_ONLY",
    "TIME_SERIES",
    "evidence",
    "keys",
    "metadata",
    "money",
    "streams",
    "tariffs",
    "terms",
    "vehicles",
]

TIME_SERIES: Final = {
    "raw_packet": "signed_at",
    "reading": "started_at",
    "temperature": "measured_at",
}
"""Time-series tables and the column that partitions them."""

APPEND_ONLY: Final = (
    "landing_batch",
    "raw_packet",
    "packet_aside",
    "judged_batch",
    "packet_identity",
    "packet_conflict",
    "quarantine",
    "quarantine_retry",
    "meter_record",
    "refused_interval",
    "sequence_gap",
    "watched_batch",
    "reading",
    "key_claim",
    "key_change",
    "contract_version",
    "site_version",
    "temperature",
    "baseline_version",
    "power_order_version",
    "program_version",
    "event_version",
    "price_version",
    "quality_result",
    "settlement_run",
    "settlement",
    "line",
    "unpaid",
    "journal_entry",
    "journal_line",
    "posting",
    "receipt",
    "calendar_run",
    "difference",
    "seal",
    "sealed_leaf",
)
"""Tables that no role may update, delete from or truncate: by privilege, and by trigger."""
