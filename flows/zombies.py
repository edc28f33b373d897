"""Runs that died without a word: found by their missing heartbeats and marked as crashed.

A worker that is killed together with its run leaves the run Running for ever, and its deployment's
only slot taken, so that nothing is settled any more. Prefect has no cure of its own for this; an
automation on its server is one. It watches runs of deployments only: a run started by hand in
somebody's shell may send its heartbeats more rarely.
"""

from datetime import timedelta
from typing import Final

from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.objects import StateType
from prefect.events.actions import ChangeFlowRunState
from prefect.events.schemas.automations import AutomationCore, EventTrigger, Posture
from prefect.events.schemas.events import ResourceSpecification

NAME: Final = "zombie-runs"
HEARTBEAT_VARIABLE: Final = "PREFECT_FLOWS_HEARTBEAT_FREQUENCY"
"""Set for every deployment in ``prefect.yaml``, in seconds; its default would be too rare here."""
SILENCE: Final = timedelta(seconds=90)
"""Three heartbeats."""

_ALIVE: Final = "prefect.flow-run.heartbeat"
_ENDED: Final = frozenset(
    f"prefect.flow-run.{state}"
    for state in ("Completed", "Failed", "Cancelled", "Crashed", "Suspended", "Paused")
)
"""A run that waits for a person has no process that could send heartbeats."""


def automation() -> AutomationCore:
    """The automation: after a heartbeat, another one or an end is expected within ``SILENCE``."""
    return AutomationCore(
        name=NAME,
        description="Marks runs as crashed whose process died without a word; frees their slot.",
        enabled=True,
        trigger=EventTrigger(
            posture=Posture.Proactive,
            after={_ALIVE},
            expect={_ALIVE} | _ENDED,
            match=ResourceSpecification({"prefect.resource.id": "prefect.flow-run.*"}),
            match_related=ResourceSpecification(
                {
                    "prefect.resource.role": "deployment",
                    "prefect.resource.id": "prefect.deployment.*",
                }
            ),
            for_each={"prefect.resource.id"},
            threshold=1,
            within=SILENCE,
        ),
        actions=[
            ChangeFlowRunState(
                state=StateType.CRASHED,
                message=f"no heartbeat for {SILENCE.total_seconds():.0f} s",
            )
        ],
    )


def apply(client: SyncPrefectClient) -> None:
    """Make the automation, or bring the one of its name up to date; there is one afterwards."""
    wanted = automation()
    existing = client.read_automations_by_name(NAME)
    if not existing:
        client.create_automation(wanted)
    for one in existing[:1]:
        client.update_automation(one.id, wanted)
    for one in existing[1:]:
        client.delete_automation(one.id)
