"""Exact moments at which a poster ends, without a line of production code that knows of them."""

from collections.abc import Awaitable, Callable
from itertools import count
from typing import Any, Final

import pytest

from storage import outbox
from tasks.posting import draining

POINTS: Final = ("claimed", "answered", "recording", "recorded")
"""After the claim is on disk and before anything is sent; after the answer and before anything else
is done; before receipt and state are stored; after they are stored, before anything else is done."""


def arm(patch: pytest.MonkeyPatch, point: str, nth: int, die: Callable[[], None]) -> None:
    """Call ``die`` at the nth passage of a point. It raises what nobody catches, or does not return."""
    passages = count(1)

    def pass_by(name: str) -> None:
        if name == point and next(passages) == nth:
            die()

    claim, record, send = outbox.claim, outbox.record, vars(draining)["send"]

    def claiming(*given: Any, **named: Any) -> Any:
        claimed = claim(*given, **named)
        pass_by("claimed" if claimed else "")
        return claimed

    def recording(*given: Any, **named: Any) -> Any:
        pass_by("recording")
        recorded = record(*given, **named)
        pass_by("recorded")
        return recorded

    async def sending(*given: Any, **named: Any) -> Any:
        answer: Awaitable[Any] = send(*given, **named)
        call = await answer
        pass_by("answered")
        return call

    patch.setattr(outbox, "claim", claiming)
    patch.setattr(outbox, "record", recording)
    patch.setattr(draining, "send", sending)
