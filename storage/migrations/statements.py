"""Statements that several steps need. Released ones stay as they are: a change is a new function."""

from collections.abc import Mapping
from typing import Final

from alembic import op
from sqlalchemy import text

INGEST: Final = "v2g_ingest"
SETTLE: Final = "v2g_settle"
POSTER: Final = "v2g_poster"
READ: Final = "v2g_read"


def has_timescale() -> bool:
    """Whether this database has the TimescaleDB extension."""
    found = op.get_bind().execute(text("select 1 from pg_extension where extname = 'timescaledb'"))
    return found.first() is not None


def make_time_series(table: str, column: str) -> None:
    """Cut a table into weeks: a hypertable, or the default partition of a partitioned table.

    The table must have been created with ``partition_clause(column)`` at its end.
    """
    if has_timescale():
        op.execute(
            f"select create_hypertable('public.{table}', by_range('{column}', interval '7 days'), "
            "create_default_indexes => false)"
        )
    else:
        op.execute(f"create table public.{table}_default partition of public.{table} default")
        refuse_truncate(f"{table}_default")


def partition_clause(column: str) -> str:
    """What a time series' CREATE TABLE ends with."""
    return "" if has_timescale() else f"partition by range ({column})"


def refuse_changes(*tables: str) -> None:
    """Append-only for everybody, the owner included.

    Privileges already keep every role from changing facts. These triggers also stop the owner, and
    stop an administrator's slip. They fire once per statement, whether it would change rows or not.
    """
    for table in tables:
        op.execute(
            f"create trigger append_only before update or delete on public.{table} "
            "for each statement execute function public.refuse_change()"
        )
        refuse_truncate(table)


def refuse_changes_in_parts(*tables: str) -> None:
    """The same for a statement that names a partition or a chunk, where the trigger above is silent.

    A row trigger is the one kind that PostgreSQL copies to every partition and TimescaleDB to every
    chunk. Neither has a way to copy a trigger on TRUNCATE: partitions get theirs as they are
    created; on a chunk nothing stops its owner from TRUNCATE or drop_chunks, which is retention.
    """
    for table in tables:
        op.execute(
            f"create trigger append_only_parts before update or delete on public.{table} "
            "for each row execute function public.refuse_change()"
        )


def refuse_truncate(table: str) -> None:
    op.execute(
        f"create trigger append_only_truncate before truncate on public.{table} "
        "for each statement execute function public.refuse_change()"
    )


def grant(rights: Mapping[str, Mapping[str, str]]) -> None:
    """Table → role → privileges. Whoever is not named has none; settle and read may always SELECT."""
    for table, roles in rights.items():
        op.execute(f"revoke all on public.{table} from public")
        op.execute(f"grant select on public.{table} to {SETTLE}, {READ}")
        for role, privileges in roles.items():
            op.execute(f"grant {privileges} on public.{table} to {role}")


def drop(*tables: str) -> None:
    for table in tables:
        op.execute(f"drop table public.{table}")
