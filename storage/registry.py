"""Who is enrolled, and under which tariffs: contracts and programs.

StorageError
└── UnusableContractError   a contract that nothing can be paid by
"""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import Final

import polars as pl
from psycopg.types.json import Jsonb

from settlement import programs, units
from settlement.booking import Share, ShareError, allocate
from settlement.programs import Program
from settlement.schemas import CONTRACT
from storage import versions
from storage.engine import Connection
from storage.errors import StorageError
from storage.versions import Versioned

OWNER: Final = "owner"
"""The role of a contract's only account."""

_CONTRACTS: Final = Versioned(
    "contract_version",
    ("contract_id",),
    (*(name for name in CONTRACT.schema.names() if name != "contract_id"), "shares"),
)


class UnusableContractError(StorageError):
    """A contract that nothing can be paid by.

    Attributes:
        contract_id: the contract.
        found: what is wrong.
        expected: what would be right.
    """

    def __init__(self, contract_id: str, found: str, expected: str) -> None:
        super().__init__(f"contract {contract_id}: {found}; expected {expected}")
        self.contract_id = contract_id
        self.found = found
        self.expected = expected


@dataclass(frozen=True, slots=True)
class Contract:
    """A vehicle's enrolment in a program at an incentive rate (ppm).

    Attributes:
        contract_id: its name, for ever; what else it says may change, as its next version.
        account: the one account that is paid everything; empty where ``shares`` say who is paid.
        valid_from: events that start from then on are paid by it.
        valid_to: events that start from then on are not; None: open.
        evse_id: the EVSE at the enrolled site; empty where none is named.
        site_id: the enrolled site; empty where none is named.
        capacity_milliwh: usable capacity of the battery; None: not known.
        rated_w: rated discharge power; None: not known.
        shares: who is paid which part; sums to 1,000,000 ppm. From ``account`` unless given.

    Raises:
        UnusableContractError: no account and no shares, or both; or shares that
            ``settlement.booking.allocate`` would refuse.
    """

    contract_id: str
    vehicle_id: str
    program: str
    incentive_rate_ppm: int
    account: str
    valid_from: datetime
    valid_to: datetime | None = None
    evse_id: str = ""
    site_id: str = ""
    capacity_milliwh: int | None = None
    rated_w: int | None = None
    shares: tuple[Share, ...] = ()

    def __post_init__(self) -> None:
        whole = (Share(OWNER, self.account, units.PPM),) if self.account else ()
        if self.account and self.shares not in ((), whole):
            raise UnusableContractError(
                self.contract_id, "an account beside shares", "one or the other"
            )
        shares = tuple(sorted(self.shares or whole, key=lambda s: (s.role, s.account)))
        if any(not share.account for share in shares):
            raise UnusableContractError(self.contract_id, "a share without account", "its account")
        try:
            allocate(0, shares)
        except ShareError as error:
            raise UnusableContractError(self.contract_id, error.found, error.expected) from error
        object.__setattr__(self, "shares", shares)


def put_contracts(conn: Connection, contracts: Iterable[Contract], *, now: datetime) -> int:
    """Keep each contract that differs from its latest version, as its next one; the caller commits.

    Args:
        conn: as ``v2g_settle``.
        contracts: each contract_id once.
        now: when they became known; see ``storage.fence.writing``.

    Returns:
        How many are new or say something new.

    Raises:
        RepeatedKeyError: a contract_id stands in two of them.
        CheckViolation: a rate, capacity or power out of range. None is kept then.
    """
    facts = (
        asdict(contract) | {"shares": Jsonb([asdict(share) for share in contract.shares])}
        for contract in contracts
    )
    rows = ([fact[name] for name in _CONTRACTS.columns] for fact in facts)
    return versions.put(conn, _CONTRACTS, rows, now=now)


def load_contracts(conn: Connection, *, known_at: datetime) -> pl.DataFrame:
    """The latest version of each contract known by then: ``schemas.CONTRACT``, by contract_id."""
    return versions.load(conn, _CONTRACTS, CONTRACT.schema, known_at=known_at)


def load_shares(conn: Connection, *, known_at: datetime) -> dict[str, tuple[Share, ...]]:
    """Who is paid which part, by contract_id, as known by then; ordered by role and account."""
    rows = conn.execute(
        """
        select distinct on (contract_id) contract_id, shares from contract_version
        where recorded_at <= %s order by contract_id, version desc
        """,
        [known_at],
    ).fetchall()
    return {
        contract: tuple(Share(s["role"], s["account"], s["share_ppm"]) for s in shares)
        for contract, shares in rows
    }


def contract_versions(conn: Connection, *, known_at: datetime) -> dict[str, int]:
    """The number of each contract's latest version known by then, by contract_id."""
    return dict(
        conn.execute(
            "select contract_id, max(version) from contract_version where recorded_at <= %s"
            " group by contract_id order by contract_id",
            [known_at],
        ).fetchall()
    )


def put_program(
    conn: Connection,
    body: Mapping[str, object],
    *,
    valid_from: datetime | None = None,
    source: str,
    now: datetime,
) -> int:
    """Keep a version of a program after reading it once; an existing version stays as it is.

    Args:
        conn: as ``v2g_settle``; the caller commits.
        body: the program as data.
        valid_from: events that start from then on follow it, where the body does not say so itself;
            from ever where neither does.
        source: where it comes from, for an error.
        now: when it became known; see ``storage.fence.writing``.

    Returns:
        1 if the version is new, else 0.

    Raises:
        ProgramError: the program cannot be used.
    """
    stated = {name: programs.plain(value) for name, value in body.items()}
    program = programs.parse(stated, source)
    return conn.execute(
        """
        insert into program_version (program, version, body, valid_from, recorded_at)
        values (%(program)s, %(version)s, %(body)s, %(valid_from)s, %(recorded_at)s)
        on conflict do nothing
        """,
        {
            "program": program.program,
            "version": program.version,
            "body": Jsonb(stated),
            "valid_from": program.valid_from or valid_from or units.EARLIEST,
            "recorded_at": versions.stamp(conn, now),
        },
    ).rowcount


@dataclass(frozen=True, slots=True)
class ProgramBody:
    """A version of a program as it was written: its data, and from when it counts."""

    program: str
    version: int
    body: Mapping[str, object]
    valid_from: datetime


def load_program_bodies(conn: Connection, *, known_at: datetime) -> list[ProgramBody]:
    """All versions of all programs known by then, as written, by name and version."""
    rows = conn.execute(
        """
        select program, version, body, valid_from from program_version
        where recorded_at <= %s order by program, version
        """,
        [known_at],
    ).fetchall()
    return [ProgramBody(*row) for row in rows]


def load_programs(conn: Connection, *, known_at: datetime) -> dict[str, tuple[Program, ...]]:
    """All versions of each program known by then, ascending, by name; each says from when it counts.

    Raises:
        ProgramError: a stored program cannot be used.
    """
    found: dict[str, tuple[Program, ...]] = {}
    for one in load_program_bodies(conn, known_at=known_at):
        program = programs.parse(one.body, f"program_version {one.program} {one.version}")
        found[one.program] = (
            *found.get(one.program, ()),
            replace(program, valid_from=one.valid_from),
        )
    return found
