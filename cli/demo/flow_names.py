"""Names of flows and of words between them, for those who must not wait for Prefect to be imported."""

from typing import Final

SYNC: Final = "sync-grid-events"
SETTLE: Final = "settle-period"
LIMIT: Final = "set-limits"
POST: Final = "post-pending"
SYNC_AGAIN: Final = "sync-grid-events-again"
TRUE_UP: Final = "true-up"
POST_AGAIN: Final = "post-pending-again"
POST_APPROVED: Final = "post-pending-approved"

READY: Final = "ready"
GO_ON: Final = "go-on"
APPROVED: Final = "approved"
"""No flows: files by which the demonstration says that the evening's packets have landed and Prefect is
up; that what came days later is there: the stragglers' packets, and the revised price; and that somebody
has approved what is large."""
