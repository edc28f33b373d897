"""The statements of one landing, each a step of the transaction that ``storage.landing`` conducts."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

import polars as pl
from adbc_driver_postgresql import dbapi

from settlement import schemas
from settlement.packets import Identity
from storage import partitions
from storage.arrivals import (
    TOPIC_MAX_CHARS,
    Aside,
    Bringers,
    Candidate,
    Fate,
    Landed,
    Outcome,
    Sorted,
    set_aside,
    storable,
)

Insert = Callable[[dbapi.Cursor, Sorted, Sequence[Candidate], int], Mapping[int, bytes]]
"""(cursor, batch, its candidates, batch id) → index of each candidate whose key was there already,
with the packet that stands under it."""

_STAGE: Final = (
    "create temporary table if not exists landing_stage "
    "(ordinal bigint, evse_id text, signed_at timestamptz, digest bytea, packet bytea, "
    "received_at timestamptz, source text, batch_id bigint, stream_epoch bigint, sequence bigint, "
    "sequence_step bigint) on commit delete rows"
)
_COLUMNS: Final = ", ".join(schemas.RAW_PACKET.schema.names())
_INSERT_STAGED: Final = f"""
    with inserted as (
        insert into public.raw_packet ({_COLUMNS})
        select {_COLUMNS} from pg_temp.landing_stage order by evse_id, signed_at, digest
        on conflict do nothing
        returning evse_id, signed_at, digest
    )
    select s.ordinal from inserted join pg_temp.landing_stage s using (evse_id, signed_at, digest)
"""
# LATERAL with LIMIT keeps the plan at one look into the key per staged row, however large the table.
_STORED_PACKETS: Final = """
    select s.ordinal, r.packet
    from unnest($1::bigint[], $2::text[], $3::timestamptz[], $4::bytea[])
        s (ordinal, evse_id, signed_at, digest)
    cross join lateral (
        select packet from public.raw_packet r
        where r.evse_id = s.evse_id and r.signed_at = s.signed_at and r.digest = s.digest limit 1
    ) r
"""
_INSERT_ASIDE: Final = """
    with offered as (
        select * from unnest($1::bytea[], $2::text[], $3::text[], $4::text[], $5::text[],
                             $6::bytea[], $7::timestamptz[], $8::text[])
            o (packet_digest, why, detail, evse_id, topic_evse_id, packet, received_at, source)
    ), inserted as (
        insert into public.packet_aside
            (packet_digest, why, detail, evse_id, topic_evse_id, packet, received_at, source, batch_id)
        select packet_digest, why, detail, evse_id, topic_evse_id, packet, received_at, source, $9
        from offered order by packet_digest
        on conflict do nothing
        returning packet_digest
    )
    select packet_digest from inserted
"""
_INSERT_MANIFEST: Final = """
    insert into public.landing_batch
        (batch_id, landed_at, rows_new, rows_duplicate, rows_aside, first_signed_at, last_signed_at)
    values ($1, now(), $2, $3, $4, $5, $6)
"""
_CONFLICTS: Final = """
    select o.ordinal
    from unnest($1::bigint[], $2::text[], $3::bigint[], $4::bigint[], $5::bytea[])
        o (ordinal, evse_id, stream_epoch, sequence, digest)
    cross join lateral (
        select digest from public.packet_identity i
        where i.evse_id = o.evse_id and i.stream_epoch = o.stream_epoch and i.sequence = o.sequence limit 1
    ) i
    where i.digest <> o.digest
"""

_BRINGERS: Final = """
    select distinct m.evse_id, m.client
    from unnest($1::text[], $2::text[]) m (evse_id, client)
    join public.device_key k on k.evse_id = m.evse_id and k.client_id = m.client
"""

_NUMBER, _TEXT, _BYTES, _TIME = pl.Int64(), pl.String(), pl.Binary(), pl.Datetime("us", "UTC")


def _parameters(*typed: tuple[pl.DataType, Any]) -> pl.DataFrame:
    """One row of parameters with declared types, so that an empty or all-null list has one too."""
    return pl.DataFrame(
        {
            str(number): pl.Series([value], dtype=kind)
            for number, (kind, value) in enumerate(typed, start=1)
        }
    )


def _list(kind: pl.DataType, values: Sequence[object]) -> tuple[pl.DataType, Sequence[object]]:
    return pl.List(kind), values


def ensure_partitions(cursor: dbapi.Cursor, batch: Sorted) -> None:
    """The weeks of the candidates. In a transaction of its own, so that the lock on the default
    partition is not held while the rows go in.
    """
    for first, last in partitions.ranges(row.key[1] for row in batch.candidates):
        cursor.execute(
            partitions.ENSURE, _parameters((_TEXT, "raw_packet"), (_TIME, first), (_TIME, last))
        )


def find_bringers(cursor: dbapi.Cursor, met: Bringers) -> Bringers:
    """Which of these (EVSE, client) a key is enrolled for; which key signed, the judge looks at."""
    # PostgreSQL cannot hold every text that a topic can be; what it cannot hold is enrolled nowhere.
    asked = [pair for pair in sorted(met) if all(storable(one, len(one)) == one for one in pair)]
    cursor.execute(
        _BRINGERS,
        _parameters(
            _list(_TEXT, [evse_id for evse_id, _ in asked]),
            _list(_TEXT, [client for _, client in asked]),
        ),
    )
    return {(evse_id, client) for evse_id, client in cursor.fetchall()}


def insert_directly(
    cursor: dbapi.Cursor, batch: Sorted, rows: Sequence[Candidate], batch_id: int
) -> Mapping[int, bytes]:
    """COPY into raw_packet; fails as a whole if any key is there already."""
    if rows:
        cursor.adbc_ingest(
            "raw_packet", _frame(batch, rows, batch_id), mode="append", db_schema_name="public"
        )
    return {}


def insert_staged(
    cursor: dbapi.Cursor, batch: Sorted, rows: Sequence[Candidate], batch_id: int
) -> Mapping[int, bytes]:
    """By way of a temporary table; keys that are there already stay as they are."""
    if not rows:
        return {}
    cursor.execute(_STAGE)
    staged = _frame(batch, rows, batch_id).insert_column(
        0, pl.Series("ordinal", [row.index for row in rows], pl.Int64)
    )
    cursor.adbc_ingest("landing_stage", staged, mode="append", temporary=True)
    cursor.execute(_INSERT_STAGED)
    inserted = {ordinal for (ordinal,) in cursor.fetchall()}
    known = [row for row in rows if row.index not in inserted]
    if not known:
        return {}
    # A new statement, hence a new snapshot: it sees what the insertion waited for.
    cursor.execute(
        _STORED_PACKETS,
        _parameters(
            _list(_NUMBER, [row.index for row in known]),
            _list(_TEXT, [row.key[0] for row in known]),
            _list(_TIME, [row.key[1] for row in known]),
            _list(_BYTES, [row.key[2] for row in known]),
        ),
    )
    return dict(cursor.fetchall())


def _frame(batch: Sorted, rows: Sequence[Candidate], batch_id: int) -> pl.DataFrame:
    arrivals = [batch.arrivals[row.index] for row in rows]
    identities = [batch.identities[row.index] for row in rows]
    return pl.DataFrame(
        {
            "evse_id": [row.key[0] for row in rows],
            "signed_at": [row.key[1] for row in rows],
            "digest": [row.key[2] for row in rows],
            "packet": [arrival.packet for arrival in arrivals],
            "received_at": [arrival.received_at for arrival in arrivals],
            "source": [storable(arrival.source, TOPIC_MAX_CHARS) for arrival in arrivals],
            "batch_id": [batch_id] * len(rows),
            # A candidate has an identity; None only tells the type checker.
            "stream_epoch": [one.stream_epoch if one else None for one in identities],
            "sequence": [one.sequence if one else None for one in identities],
            "sequence_step": [row.step for row in rows],
        },
        schema=schemas.RAW_PACKET.schema,
    )


def store(cursor: dbapi.Cursor, batch: Sorted, insert: Insert) -> Landed:
    """The whole landing of one batch: rows, what is set aside, manifest. Commits nothing."""
    cursor.execute("select nextval('public.landing_batch_id')")
    batch_id: int = cursor.fetchall()[0][0]
    known = insert(cursor, batch, batch.candidates, batch_id)
    outcomes = [
        Outcome(Fate.DUPLICATE, digest, identity, "")
        for digest, identity in zip(batch.digests, batch.identities, strict=True)
    ]
    asides = dict(batch.asides)
    new_times: list[datetime] = []
    for row in batch.candidates:
        if row.index not in known:
            outcomes[row.index].fate = Fate.NEW
            new_times.append(row.key[1])
        standing = known.get(row.index, batch.arrivals[row.index].packet)
        for index in (row.index, *row.others):
            if batch.arrivals[index].packet != standing:
                signed = f"the signed bytes of SHA-256 {row.key[2].hex()}"
                detail = f"{signed} are stored already under another signature"
                asides[index] = set_aside(
                    batch.arrivals[index], "other_signature", detail, batch.identities[index]
                )
    for index, aside in asides.items():
        outcomes[index].detail = f"{aside.why}: {aside.detail}"
    rows_aside = 0
    for index in _insert_asides(cursor, asides, batch_id):
        outcomes[index].fate = Fate.ASIDE
        rows_aside += 1
    cursor.execute(
        _INSERT_MANIFEST,
        _parameters(
            (_NUMBER, batch_id),
            (_NUMBER, len(new_times)),
            (_NUMBER, len(outcomes) - len(new_times) - rows_aside),
            (_NUMBER, rows_aside),
            (_TIME, min(new_times, default=None)),
            (_TIME, max(new_times, default=None)),
        ),
    )
    return Landed(batch_id, outcomes)


def _insert_asides(cursor: dbapi.Cursor, asides: Mapping[int, Aside], batch_id: int) -> list[int]:
    """Indexes of the arrivals that are set aside now; the others were before, byte for byte."""
    first: dict[bytes, int] = {}
    for index in sorted(asides):
        first.setdefault(asides[index].packet_digest, index)
    if not first:
        return []
    rows = [asides[index] for index in first.values()]
    cursor.execute(
        _INSERT_ASIDE,
        _parameters(
            _list(_BYTES, [row.packet_digest for row in rows]),
            _list(_TEXT, [row.why for row in rows]),
            _list(_TEXT, [row.detail for row in rows]),
            _list(_TEXT, [row.evse_id for row in rows]),
            _list(_TEXT, [_topic(row) for row in rows]),
            _list(_BYTES, [row.arrival.packet for row in rows]),
            _list(_TIME, [row.arrival.received_at for row in rows]),
            _list(_TEXT, [storable(row.arrival.source, TOPIC_MAX_CHARS) for row in rows]),
            (_NUMBER, batch_id),
        ),
    )
    return [first[digest] for (digest,) in cursor.fetchall()]


def _topic(row: Aside) -> str | None:
    topic = row.arrival.topic_evse_id
    return None if topic is None else storable(topic, TOPIC_MAX_CHARS)


def find_conflicts(cursor: dbapi.Cursor, asked: Mapping[int, tuple[Identity, bytes]]) -> set[int]:
    """Which of these identities stand in packet_identity with another digest."""
    cursor.execute(
        _CONFLICTS,
        _parameters(
            _list(_NUMBER, list(asked)),
            _list(_TEXT, [identity.evse_id for identity, _ in asked.values()]),
            _list(_NUMBER, [identity.stream_epoch for identity, _ in asked.values()]),
            _list(_NUMBER, [identity.sequence for identity, _ in asked.values()]),
            _list(_BYTES, [digest for _, digest in asked.values()]),
        ),
    )
    return {ordinal for (ordinal,) in cursor.fetchall()}
