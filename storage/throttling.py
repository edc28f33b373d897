"""Limits for chargers: what was commanded, and every attempt and answer.

A command is stored before it is sent, and its number is its EVSE's next one: of two guards who decide
at once only one can store it, so that a charger has one command in force, whoever sends it. Nothing
here is ever changed: what became of a command are rows of their own.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from psycopg.rows import class_row
from psycopg.types.json import Jsonb

from storage.engine import Connection

EVSES_MAX: Final = 100_000
"""EVSE that one call returns at most."""
PAGE_MAX: Final = 10_000
STATEMENT_TIMEOUT_S: Final = 30
"""A guard that waits longer for an answer is blind for as long."""

_NOTICED_SOON: Final = {
    "tcp_keepalives_idle": 5,
    "tcp_keepalives_interval": 5,
    "tcp_keepalives_count": 3,
    "tcp_user_timeout": 20_000,
}
"""Seconds, count and ms; of no meaning where the connection is no TCP."""
_ONE_GUARD: Final = "select pg_try_advisory_lock(hashtextextended('storage.throttling', 0))"
_COMMAND: Final = "command_id, evse_id, number, limit_w, reason, evidence, raised_at, recorded_at"
_OUTCOME: Final = "command_id, number, state, way, detail, recorded_at"


@dataclass(frozen=True, slots=True)
class Command:
    """What an EVSE was commanded.

    Attributes:
        number: counted from 1 per EVSE; the highest is in force.
        limit_w: the largest power of discharge; None releases.
        evidence: what was known when it was decided; plain values.
        raised_at: the moment of which it was decided.
        recorded_at: when it was stored.
    """

    command_id: UUID
    evse_id: str
    number: int
    limit_w: int | None
    reason: str
    evidence: Mapping[str, object]
    raised_at: datetime
    recorded_at: datetime


@dataclass(frozen=True, slots=True)
class Outcome:
    """An attempt to tell a charger, or its answer.

    Attributes:
        state: sent, obeyed, refused, failed or replaced.
        way: ``mqtt:CLIENT`` or ``modbus:DEVICE``; empty where a newer command replaced it.
    """

    command_id: UUID
    state: str
    way: str
    detail: str
    recorded_at: datetime


@dataclass(frozen=True, slots=True)
class Numbered:
    """A stored outcome, with its place among those of its command."""

    command_id: UUID
    number: int
    state: str
    way: str
    detail: str
    recorded_at: datetime


@dataclass(frozen=True, slots=True)
class Standing:
    """The command in force at an EVSE, and the last word of each way by which it was sent."""

    command: Command
    said: Mapping[str, Numbered]

    @property
    def acknowledged(self) -> bool:
        """Whether every way by which it was sent ended in obeying, and there was one."""
        return bool(self.said) and all(one.state == "obeyed" for one in self.said.values())


def hold(conn: Connection) -> bool:
    """Be the one guard that decides and sends, until the connection ends. Ask again only after a no.

    No statement on this connection takes longer than ``STATEMENT_TIMEOUT_S`` from then on, and the
    server notices within 20 s that the other end is gone. Commits.
    """
    conn.execute(f"set statement_timeout = '{STATEMENT_TIMEOUT_S}s'".encode())
    # Where the network went away, the server must notice too: it keeps the lock until it does, and
    # nobody guards. Defaults are hours.
    for name, value in _NOTICED_SOON.items():
        conn.execute(f"set {name} = {value}".encode())
    row = conn.execute(_ONE_GUARD).fetchone()
    conn.commit()
    return bool(row and row[0])


def order(conn: Connection, commands: Iterable[Command]) -> list[Command]:
    """Store commands, in the caller's transaction; the ones before that nobody obeyed are replaced.

    Returns:
        Those that were stored: one whose number its EVSE has already is another guard's, and is not.
    """
    stored = []
    for one in commands:
        taken = conn.execute(
            f"""
            insert into throttle_command ({_COMMAND}) values (%s, %s, %s, %s, %s, %s, %s, %s)
            on conflict (evse_id, number) do nothing
            """,
            [
                one.command_id,
                one.evse_id,
                one.number,
                one.limit_w,
                one.reason,
                Jsonb(dict(one.evidence)),
                one.raised_at,
                one.recorded_at,
            ],
        ).rowcount
        if not taken:
            continue
        stored.append(one)
        conn.execute(
            f"""
            insert into throttle_outcome ({_OUTCOME})
            select before.command_id, coalesce(last.number, 0) + 1, 'replaced', '', %(by)s, %(at)s
            from throttle_command before left join lateral (
                select number, state from throttle_outcome said
                where said.command_id = before.command_id order by number desc limit 1
            ) last on true
            where before.evse_id = %(evse)s and before.number = %(before)s
              and last.state is distinct from 'obeyed'
            """,
            {
                "by": f"by {one.command_id}",
                "at": one.recorded_at,
                "evse": one.evse_id,
                "before": one.number - 1,
            },
        )
    return stored


def tell(conn: Connection, outcomes: Iterable[Outcome]) -> None:
    """Store outcomes, in the caller's transaction, each after those that its command has.

    Raises:
        UniqueViolation: another guard stored one at this moment; do it again.
    """
    with conn.cursor() as cursor:
        cursor.executemany(
            f"""
            insert into throttle_outcome ({_OUTCOME})
            select %(command)s, coalesce(max(number), 0) + 1, %(state)s, %(way)s, %(detail)s, %(at)s
            from throttle_outcome where command_id = %(command)s
            """,
            [
                {
                    "command": one.command_id,
                    "state": one.state,
                    "way": one.way,
                    "detail": one.detail,
                    "at": one.recorded_at,
                }
                for one in outcomes
            ],
        )


def standing(
    conn: Connection, *, until: datetime | None = None, evses: Collection[str] | None = None
) -> dict[str, Standing]:
    """The last command of each EVSE, and the last word of each way by which it was sent.

    Args:
        conn: any role that may read.
        until: the last one raised by then; None for the last one.
        evses: only of these; None for all.
    """
    with conn.cursor(row_factory=class_row(Command)) as cursor:
        commands = cursor.execute(
            f"""
            select distinct on (evse_id) {_COMMAND} from throttle_command
            where (%(until)s::timestamptz is null or raised_at <= %(until)s)
              and (%(evses)s::text[] is null or evse_id = any(%(evses)s))
            order by evse_id, number desc limit %(most)s
            """,
            {
                "until": until,
                "evses": None if evses is None else sorted(evses),
                "most": EVSES_MAX,
            },
        ).fetchall()
    said: dict[UUID, dict[str, Numbered]] = {}
    for one in _last_words(conn, [command.command_id for command in commands]):
        said.setdefault(one.command_id, {})[one.way] = one
    return {one.evse_id: Standing(one, said.get(one.command_id, {})) for one in commands}


def _last_words(conn: Connection, commands: Sequence[UUID]) -> list[Numbered]:
    with conn.cursor(row_factory=class_row(Numbered)) as cursor:
        return cursor.execute(
            f"""
            select distinct on (command_id, way) {_OUTCOME} from throttle_outcome
            where command_id = any(%s) and way <> '' order by command_id, way, number desc
            """,
            [list(commands)],
        ).fetchall()


def audit(
    conn: Connection, *, evse_id: str = "", since: datetime | None = None, most: int = PAGE_MAX
) -> list[tuple[Command, list[Numbered]]]:
    """Commands with all that became of each, the newest first; at most so many.

    ``since``: only commands recorded since then.
    """
    with conn.cursor(row_factory=class_row(Command)) as cursor:
        commands = cursor.execute(
            f"""
            select {_COMMAND} from throttle_command
            where (%(evse)s = '' or evse_id = %(evse)s)
              and (%(since)s::timestamptz is null or recorded_at >= %(since)s)
            order by recorded_at desc, evse_id, number desc limit %(most)s
            """,
            {"evse": evse_id, "since": since, "most": most},
        ).fetchall()
    with conn.cursor(row_factory=class_row(Numbered)) as cursor:
        outcomes = cursor.execute(
            f"select {_OUTCOME} from throttle_outcome where command_id = any(%s)"
            " order by command_id, number",
            [[one.command_id for one in commands]],
        ).fetchall()
    became: dict[UUID, list[Numbered]] = {one.command_id: [] for one in commands}
    for one in outcomes:
        became[one.command_id].append(one)
    return [(one, became[one.command_id]) for one in commands]
