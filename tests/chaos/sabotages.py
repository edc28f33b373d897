"""Bugs that posters have had elsewhere, put into the running process: each must be found.

A patch of the process that posts, never of a file. Each is one line of reasoning that sounds right.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime
from hashlib import sha256
from typing import Any, Final
from uuid import uuid4

import pytest

from settlement.posting import Outcome, Posting, State
from settlement.posting.answers import Judgement
from storage import outbox
from storage.claims import Claimed
from tasks.posting import call, draining

Sabotage = Callable[[pytest.MonkeyPatch], None]


def new_id_per_attempt(patch: pytest.MonkeyPatch) -> None:
    """An attempt is a new message, so it gets a new id."""
    _sending(patch, before=_renamed)


def mark_before_send(patch: pytest.MonkeyPatch) -> None:
    """What we are about to send counts as sent, so that nothing goes out twice."""
    claim = outbox.claim

    def claiming(conn: outbox.Connection, **named: Any) -> list[Claimed]:
        claimed = claim(conn, **named)
        ids = [one.posting.posting_id for one in claimed]
        conn.execute(
            "update posting_state set state = 'acknowledged' where posting_id = any(%s)", [ids]
        )
        conn.commit()
        return claimed

    patch.setattr(outbox, "claim", claiming)


def timeout_is_success(patch: pytest.MonkeyPatch) -> None:
    """It was sent in full, and nobody said no."""
    _taking(patch, {Outcome.NO_ANSWER, Outcome.LOST}, Outcome.ACKNOWLEDGED)


def echo_not_read(patch: pytest.MonkeyPatch) -> None:
    """200 is 200."""
    _taking(patch, {Outcome.ECHO_DIFFERS}, Outcome.ACKNOWLEDGED)


def failure_is_final(patch: pytest.MonkeyPatch) -> None:
    """500 is an answer, and it is no."""
    _taking(patch, {Outcome.SERVER_FAILED}, Outcome.REJECTED)


def conflict_gets_a_new_id(patch: pytest.MonkeyPatch) -> None:
    """The id is taken, so another one will do."""
    send = vars(draining)["send"]

    async def sending(client: Any, house: Any, posting: Posting, **named: Any) -> Any:
        answer = await send(client, house, posting, **named)
        if answer.outcome is not Outcome.CONFLICT:
            return answer
        return await send(client, house, _renamed(posting))

    patch.setattr(draining, "send", sending)


def status_believed_without_amount(patch: pytest.MonkeyPatch) -> None:
    """The partner knows the id, so it holds the posting."""
    judge: Callable[..., Judgement] = vars(call)["judge_answer"]

    def judging(
        posting: Posting, status: int, headers: Mapping[str, str], body: bytes | None
    ) -> Judgement:
        judged = judge(posting, status, headers, body)
        if status == 200 and posting.posting_id.encode() in (body or b""):
            return Judgement(Outcome.ACKNOWLEDGED, judged.detail)
        return judged

    patch.setattr(call, "judge_answer", judging)


def lease_ignored(patch: pytest.MonkeyPatch) -> None:
    """What is due is due, whoever holds it."""
    claim = outbox.claim

    def claiming(conn: outbox.Connection, *, now: datetime, **named: Any) -> list[Claimed]:
        # Skips what another poster has locked: two of these must not wait for each other in a ring.
        conn.execute(
            "update posting_state set next_attempt_at = %s where posting_id in"
            " (select posting_id from posting_state where state = 'sent' for update skip locked)",
            [now],
        )
        conn.commit()
        return claim(conn, now=now, **named)

    patch.setattr(outbox, "claim", claiming)


def body_made_anew(patch: pytest.MonkeyPatch) -> None:
    """The body is composed when it is sent, and tells when that was."""

    def fresh(posting: Posting) -> Posting:
        fields = json.loads(posting.body) | {"sent": uuid4().hex}
        return _with_body(posting, fields)

    _sending(patch, before=fresh)


def gives_up(patch: pytest.MonkeyPatch) -> None:
    """Five attempts are enough for anybody."""
    judge = vars(draining)["state_after"]
    tried: dict[int, int] = {}

    def after(outcome: Outcome, **named: Any) -> State:
        tried[0] = tried.get(0, 0) + 1
        state = judge(outcome, **named)
        return State.REJECTED if state is State.UNKNOWN and tried[0] % 5 == 0 else state

    patch.setattr(draining, "state_after", after)


ALL: Final[tuple[Sabotage, ...]] = (
    new_id_per_attempt,
    mark_before_send,
    timeout_is_success,
    echo_not_read,
    failure_is_final,
    conflict_gets_a_new_id,
    status_believed_without_amount,
    body_made_anew,
    gives_up,
    lease_ignored,
)


def _sending(patch: pytest.MonkeyPatch, *, before: Callable[[Posting], Posting]) -> None:
    send = vars(draining)["send"]

    async def sending(client: Any, house: Any, posting: Posting, **named: Any) -> Any:
        return await send(client, house, before(posting), **named)

    patch.setattr(draining, "send", sending)


def _taking(patch: pytest.MonkeyPatch, wrongly: set[Outcome], for_: Outcome) -> None:
    send = vars(draining)["send"]

    async def sending(*given: Any, **named: Any) -> Any:
        answer = await send(*given, **named)
        return replace(answer, outcome=for_) if answer.outcome in wrongly else answer

    patch.setattr(draining, "send", sending)


def _renamed(posting: Posting) -> Posting:
    identity = str(uuid4())
    fields = json.loads(posting.body) | {"posting_id": identity}
    return replace(_with_body(posting, fields), posting_id=identity)


def _with_body(posting: Posting, fields: Mapping[str, object]) -> Posting:
    body = json.dumps(fields, sort_keys=True, separators=(",", ":")).encode()
    return replace(posting, body=body, body_digest=sha256(body).digest())
