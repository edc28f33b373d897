"""What the clearinghouse answers to which path.

    POST /v1/postings          201 taken, 208 taken before, 409 this id has another body, 400, 401, 413
    GET  /v1/postings/{id}     200 with the answer of then, 404, 401
    GET  /v1/statement         CSV of what was paid, ?from=…&to=…, with the scripted lies
    GET  /v1/ledger            what really took effect, for the check of a simulation
    PUT  /v1/misbehaviour      {"slow": 0.05, …}: how often it misbehaves from now on
    PUT  /v1/script            exactly which call meets what, see simulators.clearinghouse.script_file
    GET  /healthz              open

All but the last want the bearer token. Only the first two misbehave, and want a signature where one
is required.
"""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from simulators.clearinghouse.book import PayoutBook, Posting, PostingRefusedError, parse_posting
from simulators.clearinghouse.elsewhere import Elsewhere
from simulators.clearinghouse.faults import Fault, FaultKind
from simulators.clearinghouse.misbehaviour import parse_misbehaviour
from simulators.clearinghouse.script import Step
from simulators.clearinghouse.script_file import Behaviour, read_behaviour, require_shares
from simulators.clearinghouse.signatures import AnswerSigner, Refusal, RequestGate
from simulators.clearinghouse.spoiling import SLOW_S, STALL_S, WITHOUT_ECHO, said, spoilt
from simulators.clearinghouse.statement import MEDIA_TYPE, statement
from simulators.clearinghouse.wire import end_badly
from simulators.serving import BodyTooLargeError, Lines, body_of, healthz

REDIRECT: Final = 307
PROBLEM: Final = "application/problem+json"
_WAITS: Final = {FaultKind.SLOW: SLOW_S, FaultKind.STALL: STALL_S}


class ClearingApp:
    """The application. Its ``behaviour`` may be exchanged while it runs.

    Args:
        book: what is paid.
        behaviour: how it answers.
        seed: decides which call gets which fault, of those that are drawn.
        lines: where the connections are entered.
        elsewhere: where redirects lead.
        latency_s: before each answer.
        gate: verifies requests; None lets unsigned ones through.
        signer: signs answers; None signs nothing.
        now: the time, UTC.
    """

    def __init__(
        self,
        book: PayoutBook,
        behaviour: Behaviour,
        *,
        seed: int,
        lines: Lines,
        elsewhere: Elsewhere,
        latency_s: float,
        gate: RequestGate | None,
        signer: AnswerSigner | None,
        now: Callable[[], datetime],
    ) -> None:
        self.book = book
        self.behaviour = behaviour
        self._seed = seed
        self._lines = lines
        self._elsewhere = elsewhere
        self._latency_s = latency_s
        self._gate = gate
        self._signer = signer
        self._now = now

    def application(self) -> Starlette:
        """The routes."""
        return Starlette(
            routes=[
                Route("/v1/postings", self._post, methods=["POST"]),
                Route("/v1/postings/{posting_id}", self._query, methods=["GET"]),
                Route("/v1/statement", self._statement, methods=["GET"]),
                Route("/v1/ledger", self._ledger, methods=["GET"]),
                Route("/v1/misbehaviour", self._put_misbehaviour, methods=["PUT"]),
                Route("/v1/script", self._put_script, methods=["PUT"]),
                Route("/healthz", healthz),
            ]
        )

    async def _post(self, request: Request) -> Response:
        try:
            body = await body_of(request)
            if self._gate is not None and (refusal := self._gate.wrong(request, body)):
                self.book.answered("401")
                return await self._sent(request, _problem(refusal), None)
            posting = parse_posting(body, request.headers.get("idempotency-key", ""))
            fault = self._fault_of_call(posting)
            status, first = await self._effect(posting, fault)
        except PostingRefusedError as error:
            self.book.answered(str(error.status))
            refused = {"error": error.error, "field": error.field, "expected": error.expected}
            return await self._sent(request, JSONResponse(refused, error.status), None)
        except BodyTooLargeError as error:
            self.book.answered("413")
            return JSONResponse({"error": str(error)}, status_code=413)
        self.book.answered(str(status) if fault is None else fault.kind)
        return await self._sent(request, said(fault, first.answer, status), fault)

    async def _effect(self, posting: Posting, fault: Fault | None) -> tuple[int, Posting]:
        if fault is not None and fault.kind is FaultKind.SLOW_BEFORE:
            await asyncio.sleep(SLOW_S if fault.seconds is None else fault.seconds)
        if fault is None or fault.takes_effect:
            return self.book.take(posting)
        return 200, posting

    async def _query(self, request: Request) -> Response:
        posting_id = request.path_params["posting_id"]
        if self._gate is not None and (refusal := self._gate.wrong(request, b"")):
            return await self._sent(request, _problem(refusal), None)
        try:
            fault = self._fault_of_query(posting_id)
        except PostingRefusedError as error:
            return JSONResponse({"error": error.error}, status_code=error.status)
        kind = None if fault is None else fault.kind
        known = None if kind is FaultKind.FORGETS else self.book.find(posting_id)
        if known is None and kind is FaultKind.INVENTS:
            known = self.book.heard(posting_id)
        if known is not None:
            response = said(fault, known.answer, 200)
        elif kind in WITHOUT_ECHO:
            response = said(fault, {}, 404)
        else:
            response = JSONResponse({"error": "unknown"}, status_code=404)
        return await self._sent(request, response, fault)

    def _fault_of_call(self, posting: Posting) -> Fault | None:
        attempt = self.book.attempt(posting)
        step = self.behaviour.script.take_call(posting.posting_id)
        drawn = self.behaviour.shares.draw(self._seed, posting.posting_id, attempt)
        return _met(step, drawn)

    def _fault_of_query(self, posting_id: str) -> Fault | None:
        count = self.book.query(posting_id)
        step = self.behaviour.script.take_query(posting_id)
        drawn = self.behaviour.status_shares.draw(self._seed, f"status {posting_id}", count)
        return _met(step, drawn)

    async def _sent(self, request: Request, response: Response, fault: Fault | None) -> Response:
        """The answer, late, signed and spoilt as wanted."""
        kind = None if fault is None else fault.kind
        if self._signer is not None:
            self._signer.sign(request, response, fault=kind)
        if self._latency_s:
            await asyncio.sleep(self._latency_s)
        if fault is None:
            return response
        if fault.kind in _WAITS:
            await asyncio.sleep(_WAITS[fault.kind] if fault.seconds is None else fault.seconds)
        if fault.kind is FaultKind.REDIRECT:
            there = await asyncio.to_thread(self._elsewhere.url)
            location = {"Location": there + request.url.path}
            return Response(status_code=fault.number or REDIRECT, headers=location)
        if await end_badly(self._lines, request, response, fault):
            return response
        return spoilt(fault, response, self._now())

    async def _statement(self, request: Request) -> Response:
        try:
            start, end = (_moment(request, name) for name in ("from", "to"))
        except ValueError as error:
            return JSONResponse(
                {"title": "unreadable time", "status": 400, "detail": str(error)},
                status_code=400,
                media_type=PROBLEM,
            )
        text = await asyncio.to_thread(
            statement, self.book.payments(), self.behaviour.lies, start=start, end=end
        )
        return Response(text, headers={"content-type": MEDIA_TYPE})

    async def _ledger(self, _: Request) -> Response:
        return JSONResponse(self.book.ledger().as_json())

    async def _put_misbehaviour(self, request: Request) -> Response:
        try:
            misbehaviour = parse_misbehaviour(await body_of(request))
            require_shares(misbehaviour, signs=self._signer is not None, queries=False)
        except ValueError as error:
            return JSONResponse({"error": str(error)}, status_code=400)
        self.behaviour = self.behaviour.having(shares=misbehaviour)
        return JSONResponse(misbehaviour.as_json())

    async def _put_script(self, request: Request) -> Response:
        try:
            behaviour = read_behaviour(await body_of(request), signs=self._signer is not None)
        except ValueError as error:
            return JSONResponse({"error": str(error)}, status_code=400)
        self.behaviour = behaviour
        return JSONResponse({"status": "in force"})


def _met(step: Step | None, drawn: FaultKind | None) -> Fault | None:
    """What a call meets: what the script says, or else what was drawn."""
    if step is not None:
        return step.fault
    return None if drawn is None else Fault(drawn)


def _problem(refusal: Refusal) -> Response:
    """RFC 9457."""
    return JSONResponse(
        {
            "type": "/problems/signature",
            "title": "The request's signature is missing or wrong.",
            "status": 401,
            "detail": refusal.detail,
            "reason": refusal.reason,
        },
        status_code=401,
        headers={"WWW-Authenticate": "Signature"},
        media_type=PROBLEM,
    )


def _moment(request: Request, name: str) -> datetime | None:
    text = request.query_params.get(name)
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise ValueError(f"{name}={text}: expected RFC 3339") from error
    if moment.tzinfo is None:
        raise ValueError(f"{name}={text}: expected its zone, such as 2026-07-01T00:00:00Z")
    return moment.astimezone(UTC)
