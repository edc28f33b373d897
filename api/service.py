"""What all routes share: who may come in, whose turn it is at the database, and what a refusal is.

A handler is given a request that was let in and read; it runs its work with ``Service.work`` (as the
registry) or ``Service.decide`` (as an operator), in a thread and a transaction of its own. What it raises
is answered as a problem document.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Final, TypeAlias, TypeVar

import anyio
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from api.errors import TokenFileError
from api.operation import Handler, Operation, Who, read
from api.problems import Problem, come_again, of
from api.requests import bearer
from api.tokens import TokenFile, find
from ingest_daemon.log import say
from settlement.possession import PossessionError
from storage.destinations import operating
from storage.engine import Connection
from storage.errors import StorageError
from storage.key_changes import registry
from tasks.notices.errors import NoticeError
from tasks.notices.settings import NoticeSettings

logger = logging.getLogger(__name__)

WAITING_MAX: Final = 64
"""Requests that may wait for the database; who comes then is told to come again at once."""

Answer = TypeVar("Answer")
Endpoint: TypeAlias = Callable[[Request], Awaitable[Response]]


@dataclass
class Service:
    """The parts that routes need.

    Attributes:
        dsn: the database.
        tokens: the operators'.
        clock: gives now, in UTC.
        at_once: requests at the database at the same time.
        answer_within_s: how long one may wait for its turn.
        notices: files and bounds of notices.
    """

    dsn: str
    tokens: TokenFile
    clock: Callable[[], datetime]
    at_once: int
    answer_within_s: float
    notices: NoticeSettings

    def __post_init__(self) -> None:
        self._turns = asyncio.Semaphore(self.at_once)
        self._waiting = 0
        self._threads = anyio.CapacityLimiter(self.at_once)

    async def work(self, step: Callable[[Connection], Answer]) -> Answer:
        """What the step gives, committed, as the registry.

        Raises:
            Problem: 503, no turn within ``answer_within_s``.
            StorageError: what the step raises; nothing is changed.
        """

        def transaction() -> Answer:
            with registry(self.dsn) as conn:
                return step(conn)

        return await self.in_turn(transaction)

    async def decide(self, step: Callable[[Connection], Answer]) -> Answer:
        """The same as an operator: the registry has no right to what that is about."""

        def transaction() -> Answer:
            with operating(self.dsn) as conn:
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

    def endpoint(self, operation: Operation, handler: Handler) -> Endpoint:
        """What serves an operation: lets in whom it names, reads what it takes, and answers."""

        async def answered(request: Request) -> Response:
            name = ""
            if operation.who is Who.TOKEN:
                try:
                    name = self._name(request, operation.scope)
                except Problem as problem:
                    return self._told(request, problem, "")
            return await self._answered(
                request, self._handled(operation, handler, request, name), name
            )

        return answered

    async def _handled(
        self, operation: Operation, handler: Handler, request: Request, name: str
    ) -> Response:
        return await handler(await read(operation, request, name))

    def _name(self, request: Request, scope: str) -> str:
        """Whose token it is; it has the scope, where one is named.

        Raises:
            Problem: 401, 403, or 503 where the tokens cannot be read.
        """
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
        if scope and scope not in token.scopes:
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
        except (StorageError, PossessionError, NoticeError) as error:
            refusal = of(error)
            if refusal.status >= 500:  # noqa: PLR2004 - the server's own
                what = "notices" if isinstance(error, NoticeError) else "database"
                say(logger, logging.WARNING, what, error=str(error))
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
        return problem.response(request.url.path)
