"""Routes for operators, with a token: ``keys:read`` to look, ``keys:write`` to change,
``keys:import`` to bring in a key without its holder's proof.

    GET  /v1/keys                              ?evse_id, meter_id, after, limit
    GET  /v1/keys/changes                      ?key_id, evse_id, limit: who did what, the latest first
    GET  /v1/keys/enrolments                   ?state
    GET  /v1/keys/{key_id}
    POST /v1/keys/invitations                  evse_id, client_id, meter_id, curve, replaces, overlap_s,
                                               valid_for_s: the invitation is in the answer, once
    POST /v1/keys/enrolments/{id}/approve      key_id (the thumbprint one was told by another way)
    POST /v1/keys/enrolments/{id}/reject       reason
    POST /v1/keys/import                       text/csv; ?dry_run=true: an outcome per row
    POST /v1/keys/{key_id}/rotate              public_key, overlap_s, valid_to, curve
    POST /v1/keys/{key_id}/shorten             to, reason
    POST /v1/keys/{key_id}/revoke              reason, at

Under every change stands the name of the token. All of them may be repeated.
"""

from collections.abc import Callable
from dataclasses import asdict
from datetime import timedelta

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from api.problems import as_json, invalid
from api.requests import body, json_fields, query_fields, require_type
from api.service import Service
from api.tokens import IMPORT, READ, WRITE
from settlement.packets.keys import UnreadableKeyError
from storage import enrolment_records, enrolments, key_changes, keys
from storage.engine import Connection
from storage.enrolment_records import STATES, Enrolment
from storage.key_changes import plain
from storage.keys import Registered
from tasks import key_files
from tasks.keys import import_rows

CSV = "text/csv"
IMPORT_MAX_BYTES = 2 * 1024 * 1024


def routes(service: Service) -> list[Route]:
    """The routes of operators."""
    operators = _Operators(service)
    read = [
        ("/v1/keys", operators.listed),
        ("/v1/keys/changes", operators.changes),
        ("/v1/keys/enrolments", operators.enrolments),
        ("/v1/keys/{key_id}", operators.one),
    ]
    write = [
        ("/v1/keys/invitations", operators.invite),
        ("/v1/keys/enrolments/{enrolment_id}/approve", operators.approve),
        ("/v1/keys/enrolments/{enrolment_id}/reject", operators.reject),
        ("/v1/keys/{key_id}/shorten", operators.shorten),
        ("/v1/keys/{key_id}/revoke", operators.revoke),
    ]
    unproven = [
        ("/v1/keys/import", operators.import_),
        ("/v1/keys/{key_id}/rotate", operators.rotate),
    ]
    methods = ((READ, "GET", read), (WRITE, "POST", write), (IMPORT, "POST", unproven))
    return [
        Route(path, service.only(scope, handler), methods=[method])
        for scope, method, group in methods
        for path, handler in group
    ]


class _Operators:
    def __init__(self, service: Service) -> None:
        self._service = service
        self._clock = service.clock

    async def listed(self, request: Request, _name: str) -> Response:
        query = query_fields(request)
        wanted = {name: query.text(name, "") for name in ("evse_id", "meter_id", "after")}
        limit = query.number("limit", 1, keys.PAGE_MAX, keys.PAGE_MAX)
        query.nothing_else()
        found = await self._service.work(lambda conn: keys.listed(conn, **wanted, limit=limit))
        more = {"after": found[-1].key.key_id} if len(found) == limit else {}
        return as_json(200, {"keys": [self._key(one) for one in found], **more})

    async def one(self, request: Request, _name: str) -> Response:
        query_fields(request).nothing_else()
        key_id = request.path_params["key_id"]
        found = await self._service.work(lambda conn: keys.find(conn, key_id))
        return as_json(200, self._key(found))

    async def changes(self, request: Request, _name: str) -> Response:
        query = query_fields(request)
        wanted = {name: query.text(name, "") for name in ("key_id", "evse_id")}
        limit = query.number("limit", 1, key_changes.HISTORY_MAX, 100)
        query.nothing_else()
        found = await self._service.work(
            lambda conn: key_changes.history(conn, **wanted, limit=limit)
        )
        return as_json(200, {"changes": [plain(asdict(change)) for change in found]})

    async def enrolments(self, request: Request, _name: str) -> Response:
        query = query_fields(request)
        state = query.choice("state", ("", *STATES), "")
        query.nothing_else()
        found = await self._service.work(lambda conn: enrolment_records.listed(conn, state=state))
        return as_json(200, {"enrolments": [_shown(one) for one in found]})

    async def invite(self, request: Request, name: str) -> Response:
        fields = await json_fields(request)
        evse_id = fields.text("evse_id")
        facts = {word: fields.text(word, "") for word in ("client_id", "meter_id", "replaces")}
        curve = fields.text("curve", key_files.DEFAULT_CURVE)
        overlap = fields.seconds("overlap_s", keys.OVERLAP_MAX, timedelta(0))
        valid_for = fields.seconds(
            "valid_for_s", enrolments.INVITATION_MAX, enrolments.INVITATION_FOR
        )
        fields.nothing_else()

        def step(conn: Connection) -> tuple[Enrolment, str]:
            return enrolments.invite(
                conn, evse_id, by=name, clock=self._clock, curve=curve, overlap=overlap,
                valid_for=valid_for, **facts,
            )  # fmt: skip

        enrolment, token = await self._service.work(step)
        return as_json(201, {**_shown(enrolment), "invitation": token})

    async def approve(self, request: Request, name: str) -> Response:
        fields = await json_fields(request)
        key_id = fields.text("key_id", "")
        fields.nothing_else()
        wanted = request.path_params["enrolment_id"]
        enrolment = await self._service.work(
            lambda conn: enrolments.approve(conn, wanted, by=name, clock=self._clock, key_id=key_id)
        )
        return as_json(200, _shown(enrolment))

    async def reject(self, request: Request, name: str) -> Response:
        fields = await json_fields(request)
        reason = fields.text("reason")
        fields.nothing_else()
        wanted = request.path_params["enrolment_id"]
        enrolment = await self._service.work(
            lambda conn: enrolments.reject(conn, wanted, by=name, clock=self._clock, reason=reason)
        )
        return as_json(200, _shown(enrolment))

    async def import_(self, request: Request, name: str) -> Response:
        require_type(request, CSV)
        query = query_fields(request)
        dry_run = query.choice("dry_run", ("true", "false"), "false") == "true"
        query.nothing_else()
        content = await body(request, bytes_max=IMPORT_MAX_BYTES)

        def task() -> dict[str, object]:
            rows = key_files.read("import.csv", content, key_files.Said(self._clock()))
            report = import_rows(
                self._service.dsn, rows, by=name, source="HTTP", clock=self._clock, dry_run=dry_run
            )
            return {
                "dry_run": dry_run,
                **{one: report.count(one) for one in ("new", "already", "refused")},
                "rows": [asdict(row) for row in report.rows],
            }

        return as_json(200, await self._service.in_turn(task))

    async def rotate(self, request: Request, name: str) -> Response:
        fields = await json_fields(request)
        public_key = fields.text("public_key")
        overlap = fields.seconds("overlap_s", keys.OVERLAP_MAX, timedelta(0))
        valid_to = fields.time("valid_to")
        curve = fields.text("curve", "")
        fields.nothing_else()
        try:
            new = key_files.replacement(
                public_key.encode(), curve, valid_to=valid_to, now=self._clock()
            )
        except UnreadableKeyError as error:
            raise invalid("body.public_key", error.found, error.expected) from error
        return await self._changed(
            request,
            lambda conn, key_id: keys.rotate(
                conn, key_id, new, overlap=overlap, by=name, clock=self._clock
            ),
            shown=new.key_id,
        )

    async def shorten(self, request: Request, name: str) -> Response:
        fields = await json_fields(request)
        to, reason = fields.time("to"), fields.text("reason")
        fields.nothing_else()
        if to is None:
            raise invalid("body.to", "nothing", "a time with its zone")
        return await self._changed(
            request,
            lambda conn, key_id: keys.shorten(
                conn, key_id, to=to, by=name, reason=reason, clock=self._clock
            ),
        )

    async def revoke(self, request: Request, name: str) -> Response:
        fields = await json_fields(request)
        at, reason = fields.time("at"), fields.text("reason")
        fields.nothing_else()
        return await self._changed(
            request,
            lambda conn, key_id: keys.revoke(
                conn, key_id, by=name, reason=reason, clock=self._clock, revoked_at=at
            ),
        )

    async def _changed(
        self, request: Request, change: Callable[[Connection, str], bool], *, shown: str = ""
    ) -> Response:
        """Make a change to the key of the path; whether it was made now, and the key as it is since."""
        key_id = request.path_params["key_id"]

        def step(conn: Connection) -> tuple[bool, Registered]:
            return change(conn, key_id), keys.find(conn, shown or key_id)

        is_new, found = await self._service.work(step)
        return as_json(200, {"changed": is_new, **self._key(found)})

    def _key(self, one: Registered) -> dict[str, object]:
        facts = {**asdict(one.key), "enrolled_at": one.enrolled_at}
        return {**plain(facts), "state": one.state(self._clock())}


def _shown(enrolment: Enrolment) -> dict[str, object]:
    return plain(asdict(enrolment))
