"""Every table, as SQLAlchemy Core. Migrations create them; a test holds the two together.

Columns, types and CHECKs of the six frames come from ``settlement.schemas``; what stands here is
what only a database needs: keys, and the tables that are no frame.

    columns    what tables are made of
    evidence   packets as they came, and what judging found them to be
    keys       who may sign, and every change to it
    streams    what of the signed sequences is missing
    tariffs    programs, and what the grid's side said
    grid       its documents, decisions about it, answers due to it, and how its feeds are
    terms      contracts, sites, temperatures, baselines, orders
    money      doubt, runs, settlements, the journal and the outbox
    quality    what people said about periods that are held
    lanes      what operators said about the way to a partner
    limits     what may be paid out, what broke that, and who decided
    reconciling what partners and banks say was paid, disputes, files of payouts
    notices    where notices go, and what was told to whom
    thermal    what sensors of batteries said
    throttling limits commanded because of them, and what became of each
    vehicles   the last known state of each vehicle: a cache, and no fact

Time series (partitioned by time, one unique key each, EVSE first): raw_packet, reading, temperature;
and thermal_sample, whose key begins with the device.
All others are plain and for ever.
"""

from typing import Final

from storage.tables import (
    evidence,
    grid,
    keys,
    lanes,
    limits,
    money,
    notices,
    quality,
    reconciling,
    streams,
    tariffs,
    terms,
    thermal,
    throttling,
    vehicles,
)
from storage.tables.columns import metadata

__all__ = [
    "APPEND_ONLY",
    "TIME_SERIES",
    "evidence",
    "grid",
    "keys",
    "lanes",
    "limits",
    "metadata",
    "money",
    "notices",
    "quality",
    "reconciling",
    "streams",
    "tariffs",
    "terms",
    "thermal",
    "throttling",
    "vehicles",
]

TIME_SERIES: Final = {
    "raw_packet": "signed_at",
    "reading": "started_at",
    "temperature": "measured_at",
    "thermal_sample": "measured_at",
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
    "thermal_sample",
    "throttle_command",
    "throttle_outcome",
    "baseline_version",
    "power_order_version",
    "program_version",
    "event_version",
    "price_version",
    "grid_document",
    "event_decision",
    "quality_result",
    "quality_release",
    "settlement_run",
    "settlement",
    "line",
    "unpaid",
    "journal_entry",
    "journal_line",
    "posting",
    "receipt",
    "lane_change",
    "limit_version",
    "screening",
    "account_hold",
    "payout_decision",
    "payout_recount",
    "calendar_run",
    "difference",
    "seal",
    "sealed_leaf",
    "partner_statement",
    "statement_line",
    "statement_refusal",
    "reconciliation",
    "reconciliation_difference",
    "dispute",
    "dispute_event",
    "payout_file",
    "payout_file_outcome",
    "webhook_destination",
    "notice",
    "notice_attempt",
)
"""Tables that no role may update, delete from or truncate: by privilege, and by trigger."""
