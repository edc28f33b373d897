"""Who may sign, who is enrolled, and under which tariffs: device keys, contracts, programs."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime

import polars as pl
from psycopg.rows import class_row
from psycopg.types.json import Jsonb

from settlement import programs
from settlement.programs import Program
from settlement.signatures import DeviceKey
from storage.engine import Connection


@dataclass(frozen=True, slots=True)
class Contract:
    """A vehicle's enrolment in a program at an incentive rate (ppm), paid to an account."""

    contract_id: str
    vehicle_id: str
    program: str
    incentive_rate_ppm: int
    account: str
    valid_from: datetime
    valid_to: datetime | None = None


def enrol_keys(conn: Connection, keys: Iterable[DeviceKey], *, now: datetime) -> int:
    """Enrol device keys; a key that is enrolled already stays as it is.

    Returns:
        How many are new.

    Raises:
        UnusableKeyError: a key is not an EC key on secp256r1. None is enrolled then.
    """
    rows = []
    for key in keys:
        key.verifier  # noqa: B018 - raises UnusableKeyError for a key that could never verify
        rows.append({**asdict(key), "enrolled_at": now})
    return _insert_new(
        conn,
        """
        insert into device_key
            (key_id, evse_id, algorithm, public_key, valid_from, valid_to, revoked_at, enrolled_at)
        values
            (%(key_id)s, %(evse_id)s, %(algorithm)s, %(public_key)s, %(valid_from)s, %(valid_to)s,
             %(revoked_at)s, %(enrolled_at)s)
        on conflict do nothing
        """,
        rows,
    )


def load_keys(conn: Connection) -> dict[str, DeviceKey]:
    """All enrolled keys by key id, revoked and expired ones too: they have reasons of their own."""
    with conn.cursor(row_factory=class_row(DeviceKey)) as cursor:
        cursor.execute(
            "select key_id, evse_id, public_key, valid_from, valid_to, revoked_at, algorithm from device_key"
        )
        return {key.key_id: key for key in cursor}


def put_contracts(conn: Connection, contracts: Iterable[Contract]) -> int:
    """Store contracts; one whose contract_id exists stays as it is. Returns how many are new."""
    return _insert_new(
        conn,
        """
        insert into contract
            (contract_id, vehicle_id, program, incentive_rate_ppm, account, valid_from, valid_to)
        values
            (%(contract_id)s, %(vehicle_id)s, %(program)s, %(incentive_rate_ppm)s, %(account)s,
             %(valid_from)s, %(valid_to)s)
        on conflict do nothing
        """,
        [asdict(contract) for contract in contracts],
    )


def load_contracts(conn: Connection) -> pl.DataFrame:
    """All contracts: vehicle_id, program, incentive_rate_ppm, account, valid_from, valid_to (null: open)."""
    moment = pl.Datetime("us", "UTC")
    rows = conn.execute(
        """
        select vehicle_id, program, incentive_rate_ppm, account, valid_from, valid_to
        from contract order by contract_id
        """
    ).fetchall()
    return pl.DataFrame(
        rows,
        schema={
            "vehicle_id": pl.String(),
            "program": pl.String(),
            "incentive_rate_ppm": pl.Int64(),
            "account": pl.String(),
            "valid_from": moment,
            "valid_to": moment,
        },
        orient="row",
    )


def put_program(
    conn: Connection, body: Mapping[str, object], *, valid_from: datetime, source: str
) -> int:
    """Store a version of a program after reading it once; an existing version stays as it is.

    Returns:
        1 if the version is new, else 0.

    Raises:
        ProgramError: the program cannot be used.
    """
    program = programs.parse(body, source)
    return _insert_new(
        conn,
        """
        insert into program_version (program, version, body, valid_from)
        values (%(program)s, %(version)s, %(body)s, %(valid_from)s) on conflict do nothing
        """,
        [
            {
                "program": program.program,
                "version": program.version,
                "body": Jsonb(dict(body)),
                "valid_from": valid_from,
            }
        ],
    )


def load_programs(conn: Connection, *, at: datetime) -> dict[str, Program]:
    """The version of every program that is in force at a time, by name; the first one where the
    time lies before it, so that no program vanishes from a period that it was applied to.
    """
    rows = conn.execute(
        """
        select distinct on (program) program, version, body from program_version
        order by program, valid_from <= %s desc,
                 case when valid_from <= %s then version else -version end desc
        """,
        [at, at],
    ).fetchall()
    return {
        name: programs.parse(body, f"program_version {name} {version}")
        for name, version, body in rows
    }


def _insert_new(conn: Connection, statement: str, rows: list[dict[str, object]]) -> int:
    with conn.cursor() as cursor:
        cursor.executemany(statement, rows)
        return max(cursor.rowcount, 0)
