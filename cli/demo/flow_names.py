"""Names of the flows, for those who must not wait for Prefect to be imported."""

from typing import Final

SYNC: Final = "sync-grid-events"
SETTLE: Final = "settle-period"
POST: Final = "post-pending"
TRUE_UP: Final = "true-up"
POST_AGAIN: Final = "post-pending-again"

GO_ON: Final = "go-on"
"""No flow: the file by which the demonstration says that the stragglers' packets have landed."""
