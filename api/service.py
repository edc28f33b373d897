"""What all routes share: who may come in, whose turn it is at the database, and what a refusal is.

A route is a function of the request and of who asks; it runs its work with ``Service.work``, in a
thread and a transaction of its own. What it raises is answered as a problem document.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Final, TypeVar

import anyio
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from api.errors import TokenFileError
from api.problems import Problem, come_again, of
from api.requests import bearer
from api.tokens import TokenFile, find
from ingest_daemon.log import say
from settlement.possession import PossessionError
from storage.engine import Connection
from storage.errors import StorageError
from storage.key_changes import registry

logger = logging.getLogger(__name__)

WAITING_MAX: Final = 64
"""Requests that may wait for the database; who comes then is told to come again at once."""

Answer = TypeVar("Answer")
Open = Callable[[Request], Awaitable[Response]]
Named = Callable[[Request, str], Awaitable[Response]]


@dataclass
class Service:
    """The parts that routes need.

    Attributes:
        dsn: the database.
        tokens: the operators'.
        clock: gives now, in UTC.
        at_once: requests at the database at the same time.
        answer_within_s: how long one may wait for its turn.
    """

    dsn: str
    tokens: TokenFile
    clock: Callable[[], datetime]
    at_once: int
    answer_within_s: float

    def __post_init__(self) -> None:
        self._turns = asyncio.Semaphore(self.at_once)
        self._waiting = 0
        self._threads = anyio.CapacityLimiter(self.at_once)

    async def work(self, step: Callable[[Connection], Answer]) -> Answer:
        """What the step gives, committed.

        Raises:
            Problem: 503, no turn within ``answer_within_s``.
            StorageError: what the step raises; nothing is changed.
        """

        def transaction() -> Answer:
            with registry(self.dsn) as conn:
                return step(conn)

        return await self.in_turn(transaction)

    async def in_turn(self, task: Callable[[], Answer]) -> Answer:
        """The same for work that opens its own transaction."""
        if self._waiting >= WAITING_MAX:
            raise come_again(f"{WAITING_MAX} requests wait already")
        self._waiting += 1
        try:
            async with asyncio.timeout(self.answer_within_s):
                await self._turns.acquire()
        except TimeoutError as error:
            raise come_again(f"no turn within {self.answer_within_s:g} s") from error
        finally:
            self._waiting -= 1
        try:
            return await anyio.to_thread.run_sync(task, limiter=self._threads)
        finally:
            self._turns.release()

    def open(self, handler: Open) -> Open:
        """A route for whoever comes."""

        async def answered(request: Request) -> Response:
            return await self._answered(request, handler(request), "")

        return answered

    def only(self, scope: str, handler: Named) -> Open:
        """A route for those whose token has the scope; the handler is told the token's name."""

        async def answered(request: Request) -> Response:
            try:
                name = self._name(request, scope)
            except Problem as problem:
                return self._told(request, problem, "")
            return await self._answered(request, handler(request, name), name)

        return answered

    def _name(self, request: Request, scope: str) -> str:
        """Whose token it is. Raises Problem: 401, 403, or 503 where the tokens cannot be read."""
        try:
            token = find(self.tokens.current(), bearer(request))
        except TokenFileError as error:
            say(logger, logging.ERROR, "token_file", error=str(error))
            raise come_again("the tokens cannot be read") from error
        if token is None or token.expires_at <= self.clock():
            found = "another token" if "authorization" in request.headers else "none"
            raise Problem(
                401,
                "UNAUTHENTICATED",
                where="header Authorization",
                found=found if token is None else "a token that has expired",
                expected="Bearer TOKEN",
                do="send a token that `v2g keys token` has made and that is not over",
                headers={"WWW-Authenticate": 'Bearer realm="v2g-registry"'},
            )
        if scope not in token.scopes:
            raise Problem(
                403,
                "FORBIDDEN",
                where="token",
                found=f"scopes {', '.join(sorted(token.scopes)) or 'none'}",
                expected=scope,
                do="use a token with that scope",
                headers={"WWW-Authenticate": f'Bearer error="insufficient_scope", scope="{scope}"'},
            )
        return token.name

    async def _answered(self, request: Request, answer: Awaitable[Response], name: str) -> Response:
        started = time.monotonic()
        try:
            response = await answer
        except Problem as problem:
            return self._told(request, problem, name)
        except (StorageError, PossessionError) as error:
            refusal = of(error)
            if refusal.status >= 500:  # noqa: PLR2004 - the server's own
                say(logger, logging.WARNING, "database", error=str(error))
            return self._told(request, refusal, name)
        except ClientDisconnect:
            return Response(status_code=499)  # nobody reads it; the number is nginx's
        say(
            logger, logging.INFO if request.method != "GET" else logging.DEBUG, "answered",
            status=response.status_code, method=request.method, path=request.url.path, by=name,
            seconds=time.monotonic() - started,
        )  # fmt: skip
        return response

    def _told(self, request: Request, problem: Problem, name: str) -> Response:
        document = problem.document
        say(
            logger, logging.INFO, "refused", status=problem.status, error=document["error"],
            method=request.method, path=request.url.path, where=document["where"], by=name,
        )  # fmt: skip
        return problem.response()
