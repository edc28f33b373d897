"""Ask a person whether a large payout may go, and wait for the answer without a process."""

from typing import Final, Literal

from prefect import flow, get_run_logger
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import State
from prefect.exceptions import ObjectNotFound
from prefect.flow_runs import suspend_flow_run
from prefect.input import RunInput
from prefect.runtime import flow_run
from prefect.states import Completed

from tasks import words
from tasks.payouts import Choice, Payout, Waiting
from tasks.prefect_tasks import paying as steps

DEPLOYMENT: Final = "approve-payouts/approve"
WAIT_S: Final = 30 * 24 * 3600
"""How long a run waits for its answer. The payout waits on: `v2g payouts list`, or another run."""
ASKED_MAX: Final = 10
"""How often a run asks about one payout, when the answer is refused each time."""


class Approval(RunInput):
    """The form that the UI shows. Who may resume a run is who may log in there; the name is what
    that person says, and stands with the decision.
    """

    approver: str
    decision: Literal["approve", "refuse"]
    reason: str


def run_name() -> str:
    """The run's name in the UI: which payout it asks about."""
    return f"approve payout {flow_run.parameters.get('posting_id')}"


@flow(name="approve-payouts", flow_run_name=run_name, persist_result=False)
def approve_payouts(posting_id: str) -> State:
    """Suspend until a named person approves or refuses a payout, then do as they say.

    The run has no process while it waits. Resume it in the UI and fill in the form; it starts again
    from the top, finds the answer and decides as `v2g payouts approve` does: whoever set the limits
    may not approve, and is told so by being asked again.

    Args:
        posting_id: The payout, as `v2g payouts list` shows it.
    """
    log = get_run_logger()
    refused = ""
    for number in range(1, ASKED_MAX + 1):
        waiting = steps.find_waiting()
        one = next((one for one in waiting.payouts if one.posting_id == posting_id), None)
        if one is None:
            return Completed(name="NothingWaits", message=f"posting {posting_id} is decided")
        said = suspend_flow_run(
            wait_for_input=Approval.with_initial_data(description=_asked(one, waiting, refused)),
            timeout=WAIT_S,
            key=f"approve-{posting_id}-{number}",
        )
        choice = Choice(said.decision)
        refused = steps.decide_payout(posting_id, choice, by=said.approver, why=said.reason)
        if not refused:
            told = f"{words.payout(one, waiting.limits)}: {said.decision}d by {said.approver}"
            return Completed(name=f"{said.decision.capitalize()}d", message=told)
        log.warning("not decided: %s", refused)
    return Completed(name="NeedsAttention", message=f"asked {ASKED_MAX} times: {refused}")


def _asked(one: Payout, waiting: Waiting, refused: str) -> str:
    found = "\n".join(f"* {finding}" for finding in one.broken)
    before = f"**The last answer did not count: {refused}**\n\n" if refused else ""
    return (
        f"{before}May {words.payout(one, waiting.limits)} go to account {one.account}?\n\n{found}\n\n"
        f"Posting {one.posting_id}, settlement {one.settlement_id}; see `v2g payouts show` and"
        " `v2g statement show`."
    )


def ask_for_approvals() -> int:
    """Have one suspended run on the server for each payout that waits, however often it is called.

    Returns:
        How many payouts wait.
    """
    waiting = steps.find_waiting().payouts
    with get_client(sync_client=True) as client:
        try:
            deployment = client.read_deployment_by_name(DEPLOYMENT)
        except ObjectNotFound:
            get_run_logger().warning(
                "%s is not deployed; approve with `v2g payouts approve`", DEPLOYMENT
            )
            return len(waiting)
        for one in waiting:
            client.create_flow_run_from_deployment(
                deployment.id,
                parameters={"posting_id": one.posting_id},
                idempotency_key=f"approve {one.posting_id}",
            )
    return len(waiting)
