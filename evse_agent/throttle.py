"""The limit that was commanded: obeyed, kept over restarts, acknowledged.

    v2g/<client>/command   {"version":1,"command_id":"…","kind":"limit","limit_w":0,"reason":"…"}
    v2g/<client>/status    {"version":1,"command_id":"…","state":"obeyed"}

``limit_w`` is the largest power of discharge in watts; null releases. A command is told to the
controller, stored, then acknowledged: killed before that, the broker delivers it again; after it, it
stands when the agent is back. Each controller that connects is told.
"""

import contextlib
import json
import logging
import time
from collections.abc import Callable
from typing import Any, Final

from evse_agent.errors import StoreError
from evse_agent.log import say
from evse_agent.store import Store
from settlement.units import ID_MAX_CHARS, POWER_MAX_W

logger = logging.getLogger(__name__)

VERSION: Final = 1
TOLERANCE_PERCENT: Final = 2
FOLLOWED_WITHIN_S: Final = 10.0
_REASON_MAX_CHARS: Final = 200


class _RefusedCommandError(ValueError):
    """Why a command cannot be obeyed."""


class Throttle:
    """The limit in force.

    Args:
        store: keeps it.
        tell: gives the controller a line; False when none is connected.
        bidirectional: whether this charger may discharge at all; if not, the limit is always 0.
        monotonic: seconds, for the time a controller has to follow.
    """

    def __init__(
        self,
        store: Store,
        tell: Callable[[dict[str, object]], bool],
        *,
        bidirectional: bool,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._tell = tell
        self._bidirectional = bidirectional
        self._monotonic = monotonic
        kept = store.kept("command")
        self._command: dict[str, Any] = kept if isinstance(kept, dict) else {}
        self._unkept: dict[str, Any] | None = None
        self._since = monotonic()
        self._disobeyed = False
        if self._command.get("limit_w") is not None:
            say(logger, logging.WARNING, "limit_again", **self._command,
                why="it was in force when the agent ended")  # fmt: skip

    @property
    def limit_w(self) -> int | None:
        """Watts of discharge at most; None: no limit."""
        if not self._bidirectional:
            return 0
        limit: int | None = self._command.get("limit_w")
        return limit

    def line(self) -> dict[str, object]:
        """What the controller is told."""
        told: dict[str, object] = {"limit_w": self.limit_w}
        if "command_id" in self._command:
            told["command_id"] = self._command["command_id"]
        if not self._bidirectional:
            told["reason"] = "BidirectionalEnabled is false"
        elif "reason" in self._command:
            told["reason"] = self._command["reason"]
        return told

    def greeting(self) -> dict[str, object] | None:
        """What a controller is told that connects: also a release, which it may have missed. None where
        nothing was ever commanded: a store that was lost releases no limit.
        """
        return self.line() if self._command or not self._bidirectional else None

    def keep(self) -> None:
        """Store what could not be stored when it was commanded; called now and then."""
        if (unkept := self._unkept) is None:
            return
        with contextlib.suppress(StoreError):
            self._store.keep(command=unkept)
            say(logger, logging.INFO, "limit_kept", **unkept)
            if self._unkept is unkept:
                self._unkept = None

    def command(self, payload: bytes) -> dict[str, object]:
        """Obey a command. The acknowledgement of it."""
        command_id = ""
        try:
            fields = _object(payload)
            found = fields.get("command_id")
            if type(found) is str and 0 < len(found) <= ID_MAX_CHARS and found.isprintable():
                command_id = found
            kept = _limit(fields, command_id)
        except _RefusedCommandError as error:
            say(logger, logging.WARNING, "command_refused", command_id=command_id, why=error)
            return _answer(command_id, "refused", str(error))
        self._command = kept
        self._since = self._monotonic()
        self._disobeyed = False
        told = self._tell(self.line())
        level = logging.INFO if kept["limit_w"] is None else logging.WARNING
        say(logger, level, "limit", **kept, controller="told" if told else "none connected")
        details = [] if told else ["no controller is connected; it is told when it connects"]
        self._unkept = None
        try:
            self._store.keep(command=kept)
        except StoreError as error:
            # A battery that is too hot does not wait for a disk.
            self._unkept = kept
            say(logger, logging.ERROR, "limit_not_kept", why=error,
                consequence="in force until the agent ends; storing it is tried again")  # fmt: skip
            details.append(f"it could not be stored: {error}")
        return _answer(command_id, "obeyed", "; ".join(details))

    def measured(self, power_w: int) -> None:
        """Watch whether the controller does what it was told. Logged once per command."""
        limit = self.limit_w
        if (
            limit is None
            or self._disobeyed
            or power_w * 100 <= limit * (100 + TOLERANCE_PERCENT)
            or self._monotonic() - self._since < FOLLOWED_WITHIN_S
        ):
            return
        self._disobeyed = True
        say(logger, logging.ERROR, "limit_not_followed", limit_w=limit, power_w=power_w,
            do="look at the charge controller: it was told, and discharges more")  # fmt: skip


def _object(payload: bytes) -> dict[str, Any]:
    try:
        fields = json.loads(payload)
    except (ValueError, RecursionError) as error:
        raise _RefusedCommandError(f"no JSON ({error})"[:_REASON_MAX_CHARS]) from error
    if not isinstance(fields, dict) or fields.get("version") != VERSION:
        raise _RefusedCommandError(f"expected a JSON object of version {VERSION}")
    return fields


def _limit(fields: dict[str, Any], command_id: str) -> dict[str, Any]:
    if not command_id:
        raise _RefusedCommandError(f"command_id: expected 1 to {ID_MAX_CHARS} characters")
    if fields.get("kind") != "limit":
        raise _RefusedCommandError(
            f"kind: found {str(fields.get('kind'))[:40]!r}; expected 'limit'"
        )
    limit = fields.get("limit_w", "nothing")
    if limit is not None and (type(limit) is not int or not 0 <= limit <= POWER_MAX_W):
        raise _RefusedCommandError(
            f"limit_w: found {str(limit)[:40]!r}; expected null, or 0 to {POWER_MAX_W} W"
        )
    reason = fields.get("reason", "")
    if type(reason) is not str or len(reason) > _REASON_MAX_CHARS:
        raise _RefusedCommandError(f"reason: expected at most {_REASON_MAX_CHARS} characters")
    return {"command_id": command_id, "limit_w": limit, "reason": reason}


def _answer(command_id: str, state: str, detail: str) -> dict[str, object]:
    answer: dict[str, object] = {"version": VERSION, "command_id": command_id, "state": state}
    return answer | ({"detail": detail} if detail else {})
