"""Names of the flows, for those who must not wait for Prefect to be imported."""

from typing import Final

SYNC: Final = "sync-grid-events"
SETTLE: Final = "settle-period"
POST: Final = "post-pending"
