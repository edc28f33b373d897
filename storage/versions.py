"""Versions: what is said anew about a key is its next version, and the latest known one counts.

StorageError
└── RepeatedKeyError   one call says two things of one key
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, LiteralString

import polars as pl
from psycopg import sql
from psycopg.errors import UniqueViolation

from storage import fence, frames
from storage.engine import Connection
from storage.errors import StorageError

_VERSIONS: Final = 0x7632_675F_7665
_STAGED: Final = sql.Identifier("staged_version")


class RepeatedKeyError(StorageError):
    """One call says two things of one key: which one counts would be chance. Nothing was stored.

    Attributes:
        table: what was to be stored.
        found: the key, in PostgreSQL's words.
    """

    def __init__(self, table: str, found: str) -> None:
        super().__init__(f"{table}: {found} Expected each key once")
        self.table = table
        self.found = found


@dataclass(frozen=True, slots=True)
class Versioned:
    """A table of versions: beside these columns it has ``version`` and ``recorded_at``.

    Attributes:
        table: its name.
        key: what a row speaks of.
        content: what it says of it.
    """

    table: str
    key: tuple[str, ...]
    content: tuple[str, ...]

    @property
    def columns(self) -> tuple[str, ...]:
        return self.key + self.content


def stamp(conn: Connection, now: datetime) -> datetime:
    """As ``fence.writing``, and no other transaction counts up versions until this one ends: of two
    who say different things at once, none is lost.
    """
    stamped = fence.writing(conn, now)
    conn.execute("select pg_advisory_xact_lock(%s)", [_VERSIONS])
    return stamped


def put(
    conn: Connection, into: Versioned, rows: Iterable[Sequence[object]], *, now: datetime
) -> int:
    """Keep each row that differs from the latest version of its key, in the caller's transaction.

    Args:
        conn: as ``v2g_settle``.
        into: the table.
        rows: values in the order of ``into.columns``; each key once.
        now: when they became known; see ``fence.writing``.

    Returns:
        How many are new.

    Raises:
        RepeatedKeyError: a key stands in two rows. The transaction can only be rolled back then.
    """
    stamped = stamp(conn, now)
    table, columns, key = sql.Identifier(into.table), _names(into.columns), _names(into.key)
    conn.execute(
        sql.SQL(
            "create temporary table {staged} on commit drop as select {columns} from {table} with no data"
        ).format(staged=_STAGED, columns=columns, table=table)
    )
    conn.execute(sql.SQL("alter table {} add primary key ({})").format(_STAGED, key))
    try:
        with (
            conn.cursor() as cursor,
            cursor.copy(sql.SQL("copy {} ({}) from stdin").format(_STAGED, columns)) as copy,
        ):
            for row in rows:
                copy.write_row(row)
    except UniqueViolation as error:
        raise RepeatedKeyError(into.table, error.diag.message_detail or "") from error
    written = conn.execute(
        sql.SQL(
            """
            with written as (
                insert into {table} ({columns}, version, recorded_at)
                select {said}, coalesce(latest.version, 0) + 1, {stamped}
                from {staged} as staged left join lateral (
                    select version, {content} from {table} as kept where {same_key}
                    order by version desc limit 1) as latest on true
                where latest.version is null or ({said_content}) is distinct from ({kept_content})
                returning 1
            ) select count(*) from written
            """
        ).format(
            table=table,
            columns=columns,
            said=_names(into.columns, "staged"),
            stamped=sql.Literal(stamped),
            staged=_STAGED,
            content=_names(into.content),
            same_key=sql.SQL(" and ").join(
                sql.SQL("{} = {}").format(sql.Identifier("kept", c), sql.Identifier("staged", c))
                for c in into.key
            ),
            said_content=_names(into.content, "staged"),
            kept_content=_names(into.content, "latest"),
        )
    ).fetchone()
    conn.execute(sql.SQL("drop table {}").format(_STAGED))
    assert written is not None
    return int(written[0])


def load(
    conn: Connection,
    table: Versioned,
    schema: pl.Schema,
    *,
    known_at: datetime,
    where: LiteralString = "true",
    parameters: Mapping[str, object] | None = None,
) -> pl.DataFrame:
    """The latest version of each key known by then, in the order of the key.

    Args:
        conn: any role that may read it.
        table: see ``Versioned``.
        schema: the columns to give.
        known_at: see ``fence.moment``.
        where: a condition on columns of the key.
        parameters: of that condition.
    """
    query = sql.SQL(
        """
        select {columns} from (
            select distinct on ({key}) * from {table}
            where recorded_at <= %(known_at)s and {where}
            order by {key}, version desc
        ) as latest order by {key}
        """
    ).format(
        columns=_names(schema.names()),
        key=_names(table.key),
        table=sql.Identifier(table.table),
        where=sql.SQL(where),
    )
    return frames.fetch(conn, query, {"known_at": known_at, **(parameters or {})}, schema)


def _names(columns: Iterable[str], table: str = "") -> sql.Composed:
    return sql.SQL(", ").join(
        sql.Identifier(table, column) if table else sql.Identifier(column) for column in columns
    )
