"""What operators' requests for keys do; ``api.key_operations`` says what each takes and answers.

Under every change stands the name of the token. All of them may be repeated.
"""

from collections.abc import Callable, Mapping
from dataclasses import asdict

from starlette.responses import Response

from api.operation import Asked, Handler
from api.problems import as_json, invalid
from api.service import Service
from settlement.packets.keys import UnreadableKeyError
from storage import enrolment_records, enrolments, key_changes, keys
from storage.engine import Connection
from storage.enrolment_records import Enrolment
from storage.key_changes import plain
from storage.keys import Registered
from tasks import key_files
from tasks.keys import import_rows


def handlers(service: Service) -> Mapping[str, Handler]:
    """What answers the operations on keys, by their names."""
    operators = _Operators(service)
    return {
        "keys": operators.listed,
        "changes": operators.changes,
        "enrolments": operators.enrolments,
        "key": operators.one,
        "invite": operators.invite,
        "approve": operators.approve,
        "reject": operators.reject,
        "shorten": operators.shorten,
        "revoke": operators.revoke,
        "import": operators.import_,
        "rotate": operators.rotate,
    }


class _Operators:
    def __init__(self, service: Service) -> None:
        self._service = service
        self._clock = service.clock

    async def listed(self, asked: Asked) -> Response:
        limit = asked.given["limit"]
        found = await self._service.work(lambda conn: keys.listed(conn, **asked.given))
        more = {"after": found[-1].key.key_id} if len(found) == limit else {}
        return as_json(200, {"keys": [self._key(one) for one in found], **more})

    async def one(self, asked: Asked) -> Response:
        key_id = asked.request.path_params["key_id"]
        found = await self._service.work(lambda conn: keys.find(conn, key_id))
        return as_json(200, self._key(found))

    async def changes(self, asked: Asked) -> Response:
        found = await self._service.work(lambda conn: key_changes.history(conn, **asked.given))
        return as_json(200, {"changes": [plain(asdict(change)) for change in found]})

    async def enrolments(self, asked: Asked) -> Response:
        found = await self._service.work(lambda conn: enrolment_records.listed(conn, **asked.given))
        return as_json(200, {"enrolments": [_shown(one) for one in found]})

    async def invite(self, asked: Asked) -> Response:
        facts = dict(asked.given)
        evse_id = facts.pop("evse_id")
        overlap, valid_for = facts.pop("overlap_s"), facts.pop("valid_for_s")

        def step(conn: Connection) -> tuple[Enrolment, str]:
            return enrolments.invite(
                conn, evse_id, by=asked.by, clock=self._clock, overlap=overlap,
                valid_for=valid_for, **facts,
            )  # fmt: skip

        enrolment, token = await self._service.work(step)
        return as_json(201, {**_shown(enrolment), "invitation": token})

    async def approve(self, asked: Asked) -> Response:
        wanted = asked.request.path_params["enrolment_id"]
        enrolment = await self._service.work(
            lambda conn: enrolments.approve(
                conn, wanted, by=asked.by, clock=self._clock, key_id=asked.given["key_id"]
            )
        )
        return as_json(200, _shown(enrolment))

    async def reject(self, asked: Asked) -> Response:
        wanted = asked.request.path_params["enrolment_id"]
        enrolment = await self._service.work(
            lambda conn: enrolments.reject(
                conn, wanted, by=asked.by, clock=self._clock, reason=asked.given["reason"]
            )
        )
        return as_json(200, _shown(enrolment))

    async def import_(self, asked: Asked) -> Response:
        dry_run = asked.given["dry_run"] == "true"

        def task() -> dict[str, object]:
            rows = key_files.read("import.csv", asked.content, key_files.Said(self._clock()))
            report = import_rows(
                self._service.dsn, rows, by=asked.by, source="HTTP", clock=self._clock,
                dry_run=dry_run,
            )  # fmt: skip
            return {
                "dry_run": dry_run,
                **{one: report.count(one) for one in ("new", "already", "refused")},
                "rows": [asdict(row) for row in report.rows],
            }

        return as_json(200, await self._service.in_turn(task))

    async def rotate(self, asked: Asked) -> Response:
        given = asked.given
        try:
            new = key_files.replacement(
                given["public_key"].encode("utf-8", "surrogatepass"), given["curve"],
                valid_to=given["valid_to"], now=self._clock(),
            )  # fmt: skip
        except UnreadableKeyError as error:
            raise invalid("body.public_key", error.found, error.expected) from error
        return await self._changed(
            asked,
            lambda conn, key_id: keys.rotate(
                conn, key_id, new, overlap=given["overlap_s"], by=asked.by, clock=self._clock
            ),
            shown=new.key_id,
        )

    async def shorten(self, asked: Asked) -> Response:
        given = asked.given
        return await self._changed(
            asked,
            lambda conn, key_id: keys.shorten(
                conn, key_id, to=given["to"], by=asked.by, reason=given["reason"], clock=self._clock
            ),
        )

    async def revoke(self, asked: Asked) -> Response:
        given = asked.given
        return await self._changed(
            asked,
            lambda conn, key_id: keys.revoke(
                conn, key_id, by=asked.by, reason=given["reason"], clock=self._clock,
                revoked_at=given["at"],
            ),
        )  # fmt: skip

    async def _changed(
        self, asked: Asked, change: Callable[[Connection, str], bool], *, shown: str = ""
    ) -> Response:
        """Make a change to the key of the path; whether it was made now, and the key as it is since."""
        key_id = asked.request.path_params["key_id"]

        def step(conn: Connection) -> tuple[bool, Registered]:
            return change(conn, key_id), keys.find(conn, shown or key_id)

        is_new, found = await self._service.work(step)
        return as_json(200, {"changed": is_new, **self._key(found)})

    def _key(self, one: Registered) -> dict[str, object]:
        facts = {**asdict(one.key), "enrolled_at": one.enrolled_at}
        return {**plain(facts), "state": one.state(self._clock())}


def _shown(enrolment: Enrolment) -> dict[str, object]:
    return plain(asdict(enrolment))
