"""Words for tests of the key registry: what operators and devices do, at a time that the test sets."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

from settlement.signatures import DeviceKey
from storage import enrolments
from storage.engine import Connection, Role, connect
from storage.enrolment_records import Enrolment
from tests.packets import Key
from tests.proofs import make_proof

EVSE = "DE*V2G*E00001"
NOW = datetime(2026, 7, 1, 12, tzinfo=UTC)
MINUTE, DAY = timedelta(minutes=1), timedelta(days=1)
Answer = TypeVar("Answer")


def record(
    key: Key, evse_id: str = EVSE, valid_from: datetime = NOW - DAY, **facts: Any
) -> DeviceKey:
    """The record of a key."""
    return DeviceKey(key.key_id, evse_id, key.public_key, valid_from, **facts)


class Registry:
    """The registry in a database, each step in a transaction of its own."""

    def __init__(self, dsn: str) -> None:
        self.dsn = dsn
        self.now = NOW

    def clock(self) -> datetime:
        return self.now

    def do(self, step: Callable[..., Answer], *values: Any, **facts: Any) -> Answer:
        """One change, committed unless it raises."""
        with connect(self.dsn, Role.REGISTRY) as conn:
            return step(conn, *values, clock=self.clock, **facts)

    def ask(self, question: Callable[..., Answer], *values: Any, **facts: Any) -> Answer:
        """A question that changes nothing."""
        with connect(self.dsn, Role.REGISTRY) as conn:
            return question(conn, *values, **facts)

    def invite(
        self, evse_id: str = EVSE, *, by: str = "anna", **facts: Any
    ) -> tuple[Enrolment, str]:
        return self.do(enrolments.invite, evse_id, by=by, **facts)

    def proof(self, key: Any, token: str, evse_id: str = EVSE, **changes: Any) -> bytes:
        """A proof for a new nonce."""
        nonce = self.do(enrolments.challenge, token).nonce
        return make_proof(
            key, **({"nonce": nonce, "evse_id": evse_id, "invitation": token} | changes)
        )

    def prove(self, key: Any, token: str, evse_id: str = EVSE, **changes: Any) -> Enrolment:
        return self.do(enrolments.prove, self.proof(key, token, evse_id, **changes))

    def enrol(self, key: Any, evse_id: str = EVSE, **facts: Any) -> Enrolment:
        """All steps, by anna and bert."""
        enrolment, token = self.invite(evse_id, **facts)
        self.prove(key, token, evse_id)
        return self.do(enrolments.approve, enrolment.enrolment_id, by="bert")


def rows(conn: Connection, query: str) -> list[tuple[Any, ...]]:
    return conn.execute(query.encode()).fetchall()
