"""Queries as frames, and frames as rows, in pieces, so that memory holds one copy."""

from collections.abc import Iterator, Mapping
from typing import Any, Final
from uuid import uuid4

import polars as pl
from psycopg import sql

from storage.engine import Connection

ROWS_PER_PIECE: Final = 20_000


def fetch(
    conn: Connection,
    query: sql.Composed | sql.SQL,
    parameters: Mapping[str, object],
    schema: pl.Schema,
) -> pl.DataFrame:
    """The rows of a query, whose columns are those of the schema in its order."""
    with conn.cursor(name=f"frame_{uuid4().hex}") as cursor:
        cursor.execute(query, parameters)
        return pl.concat(_pieces(cursor, schema))


def _pieces(cursor: Any, schema: pl.Schema) -> Iterator[pl.DataFrame]:
    while rows := cursor.fetchmany(ROWS_PER_PIECE):
        yield pl.DataFrame(rows, schema=schema, orient="row")
    yield pl.DataFrame(schema=schema)
