"""What operators said about the way to a partner."""

from sqlalchemy import BigInteger, Column, Identity, PrimaryKeyConstraint, Table

from storage.tables.columns import metadata, text, time

lane_change = Table(
    "lane_change",
    metadata,
    text("partner"),
    Column("change_no", BigInteger, Identity(always=True), nullable=False),
    time("rests_until"),
    text("why"),
    text("by"),
    time("changed_at"),
    PrimaryKeyConstraint("change_no"),
)
"""Each pause and each end of one, with its name and reason; the last one stands in ``partner_lane``."""
