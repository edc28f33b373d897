"""The clearinghouse: takes postings over HTTP, pays each id once, and answers badly on request.

    POST /v1/postings          201 taken, 208 taken before, 409 this id has another body, 400, 413
    GET  /v1/postings/{id}     200 with the answer of then, 404
    GET  /v1/ledger            what really took effect, for the check of a simulation
    PUT  /v1/misbehaviour      {"slow": 0.05, …}: how it misbehaves from now on
    GET  /healthz              open

All but the last want the bearer token. Only ``POST /v1/postings`` misbehaves.
"""

import argparse
import asyncio
import json
import sys
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from random import Random
from types import TracebackType
from typing import Final, Self

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from simulators.payouts import Ledger, PayoutBook, Posting, PostingRefusedError, parse_posting
from simulators.serving import (
    BearerGate,
    BodyTooLargeError,
    Lines,
    LoopbackServer,
    body_of,
    healthz,
    read_token,
)

SLOW_S: Final = 3.0
DRIP_S: Final = 0.5
HUGE_BYTES: Final = 4 * 1024 * 1024
RETRY_AFTER_S: Final = 1
WELL_AFTER: Final = 8
"""A posting sent so many times is answered well, so that a run with any misbehaviour ends."""


@dataclass(frozen=True)
class Misbehaviour:
    """The probability of each fault per call; at most one occurs. They sum to at most 1.

    Attributes:
        slow: takes effect, answers after 3 s.
        error: 500, without effect.
        lost_ack: takes effect, then the connection is cut without an answer.
        too_many: 429 with Retry-After: 1, without effect.
        wrong_echo: 200 with another amount, without effect.
        html: 200 with a web page, without effect.
        truncated: takes effect, answers with the first half of the JSON.
        drip: takes effect, answers byte by byte, one every half second.
        huge: takes effect, answers with 4 MiB around the right fields.

    Raises:
        ValueError: a probability below 0, or a sum above 1.
    """

    slow: float = 0.05
    error: float = 0.1
    lost_ack: float = 0.05
    too_many: float = 0.02
    wrong_echo: float = 0.0
    html: float = 0.0
    truncated: float = 0.0
    drip: float = 0.0
    huge: float = 0.0

    def __post_init__(self) -> None:
        shares = [float(getattr(self, one.name)) for one in fields(self)]
        if min(shares) < 0 or sum(shares) > 1:
            raise ValueError(f"{self}: expected probabilities of 0 and more that sum to at most 1")

    def draw(self, seed: int, posting_id: str, attempt: int) -> str | None:
        """The fault for this call, or None. Depends on nothing else, so not on who comes first."""
        if attempt > WELL_AFTER:
            return None
        point = Random(f"{seed} {posting_id} {attempt}").random()
        for one in fields(self):
            point -= float(getattr(self, one.name))
            if point < 0:
                return one.name
        return None


WELL_BEHAVED: Final = Misbehaviour(slow=0, error=0, lost_ack=0, too_many=0)


class ClearingHouse:
    """A clearinghouse's server on a loopback port, in a thread. A context manager.

    Args:
        token: the bearer token it asks for.
        seed: decides which call gets which fault.
        misbehaviour: how often each fault occurs; by default as ``Misbehaviour()``.
        port: 0 takes a free one.
    """

    def __init__(
        self, *, token: str, seed: int = 0, misbehaviour: Misbehaviour | None = None, port: int = 0
    ) -> None:
        self._seed = seed
        self._misbehaviour = misbehaviour or Misbehaviour()
        self._book = PayoutBook()
        self._lines = Lines()
        routes = [
            Route("/v1/postings", self._post, methods=["POST"]),
            Route("/v1/postings/{posting_id}", self._get),
            Route("/v1/ledger", self._ledger),
            Route("/v1/misbehaviour", self._put_misbehaviour, methods=["PUT"]),
            Route("/healthz", healthz),
        ]
        app = BearerGate(Starlette(routes=routes), token=token)
        self._server = LoopbackServer(app, port=port, lines=self._lines)

    @property
    def url(self) -> str:
        """Base address."""
        return self._server.url

    def truth(self) -> Ledger:
        """What really took effect."""
        return self._book.ledger()

    def misbehave(self, misbehaviour: Misbehaviour) -> None:
        """Misbehave like this from now on."""
        self._misbehaviour = misbehaviour

    def healthy(self) -> None:
        """Answer every call well from now on."""
        self.misbehave(WELL_BEHAVED)

    def run_here(self) -> None:
        """Serve from this thread until SIGINT or SIGTERM."""
        self._server.run_here()

    def __enter__(self) -> Self:
        self._server.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.stop()

    async def _post(self, request: Request) -> Response:
        try:
            posting = parse_posting(
                await body_of(request), request.headers.get("idempotency-key", "")
            )
            attempt = self._book.attempt(posting.posting_id)
            fault = self._misbehaviour.draw(self._seed, posting.posting_id, attempt)
            if early := _without_effect(fault, posting):
                self._book.answered(str(fault))
                return early
            status, first = self._book.take(posting)
        except PostingRefusedError as error:
            self._book.answered(str(error.status))
            refusal = {"error": error.error, "field": error.field, "expected": error.expected}
            return JSONResponse(refusal, status_code=error.status)
        except BodyTooLargeError as error:
            self._book.answered("413")
            return JSONResponse({"error": str(error)}, status_code=413)
        self._book.answered(fault or str(status))
        return await self._after_effect(
            fault, request, JSONResponse(first.answer, status_code=status)
        )

    async def _after_effect(
        self, fault: str | None, request: Request, answer: Response
    ) -> Response:
        body = bytes(answer.body)
        if fault == "slow":
            await asyncio.sleep(SLOW_S)
        elif fault == "lost_ack":
            await self._lines.cut(request)
        elif fault == "truncated":
            return Response(
                body[: len(body) // 2], answer.status_code, media_type="application/json"
            )
        elif fault == "drip":
            return StreamingResponse(_drip(body), answer.status_code, media_type="application/json")
        elif fault == "huge":
            padded = body[:-1] + b',"note":"' + b" " * HUGE_BYTES + b'"}'
            return Response(padded, answer.status_code, media_type="application/json")
        return answer

    async def _get(self, request: Request) -> Response:
        posting = self._book.find(request.path_params["posting_id"])
        if posting is None:
            return JSONResponse({"error": "unknown"}, status_code=404)
        return JSONResponse(posting.answer)

    async def _ledger(self, _: Request) -> Response:
        return JSONResponse(self._book.ledger().as_json())

    async def _put_misbehaviour(self, request: Request) -> Response:
        try:
            misbehaviour = parse_misbehaviour(await body_of(request))
        except ValueError as error:
            return JSONResponse({"error": str(error)}, status_code=400)
        self.misbehave(misbehaviour)
        return JSONResponse(
            {one.name: getattr(misbehaviour, one.name) for one in fields(misbehaviour)}
        )


def _without_effect(fault: str | None, posting: Posting) -> Response | None:
    if fault == "error":
        return JSONResponse({"error": "internal"}, status_code=500)
    if fault == "too_many":
        headers = {"Retry-After": str(RETRY_AFTER_S)}
        return JSONResponse({"error": "too many requests"}, status_code=429, headers=headers)
    if fault == "wrong_echo":
        return JSONResponse(posting.answer | {"amount_minor": str(posting.amount_minor + 1)})
    if fault == "html":
        return HTMLResponse(
            "<!DOCTYPE html><title>Welcome</title><p>Please sign in to this network.</p>"
        )
    return None


async def _drip(body: bytes) -> AsyncIterator[bytes]:
    for i in range(len(body)):
        await asyncio.sleep(DRIP_S)
        yield body[i : i + 1]


def parse_misbehaviour(text: bytes) -> Misbehaviour:
    """A misbehaviour from JSON; what it does not name does not occur. Raises ValueError."""
    known = [one.name for one in fields(Misbehaviour)]
    expected = f"expected an object with probabilities of some of {', '.join(known)}"
    try:
        named = json.loads(text)
    except RecursionError as error:
        raise ValueError(f"misbehaviour: nested too deeply; {expected}") from error
    if not isinstance(named, dict) or not all(name in known for name in named):
        raise ValueError(f"misbehaviour: {expected}")
    if not all(type(value) in (int, float) for value in named.values()):
        raise ValueError(f"misbehaviour: a value that is no number; {expected}")
    return Misbehaviour(**{name: float(named.get(name, 0)) for name in known})


def main(arguments: Sequence[str] | None = None) -> None:
    """Take postings until stopped. The address is the first line of standard output."""
    parser = argparse.ArgumentParser(
        prog="python -m simulators.clearinghouse", description=main.__doc__
    )
    parser.add_argument("--token-file", type=Path, required=True)
    parser.add_argument("--port", type=int, default=0, help="0, the default, takes a free one")
    parser.add_argument("--seed", type=int, default=0, help="decides which call gets which fault")
    for one in fields(Misbehaviour):
        option = f"--{one.name.replace('_', '-')}"
        parser.add_argument(
            option, type=float, default=one.default, metavar="P", help=f"default {one.default}"
        )
    parsed = parser.parse_args(arguments)
    try:
        misbehaviour = Misbehaviour(
            **{one.name: getattr(parsed, one.name) for one in fields(Misbehaviour)}
        )
        token = read_token(parsed.token_file)
        house = ClearingHouse(
            token=token, seed=parsed.seed, misbehaviour=misbehaviour, port=parsed.port
        )
    except (ValueError, OSError) as error:
        parser.error(str(error))
    sys.stdout.write(f"{house.url}\n")
    sys.stdout.flush()
    house.run_here()


if __name__ == "__main__":
    main()
