"""As many connections to a partner as calls may be out, each with its own keeper.

The client's own pool looks at every connection for every call, several times: with 32 connections
that took ten times as long as the calls themselves (docs/posting.md has the figures). Here a call
takes a line that is free, and gives it back when its answer is closed.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from ssl import SSLContext

import httpx


class Lines(httpx.AsyncBaseTransport):
    """A transport of ``count`` connections, which open when they are first needed.

    A call that is cut off takes its line with it: what a keeper looks like that was interrupted is
    nobody's promise, and one that never comes free would fail every later call.

    Args:
        count: calls that can be out at once; one more waits for none of them, it is an error.
        verify: whom to trust.
    """

    def __init__(self, count: int, *, verify: SSLContext) -> None:
        self._verify = verify
        self._count = count
        self._free = [self._new() for _ in range(count)]

    def _new(self) -> httpx.AsyncHTTPTransport:
        one = httpx.Limits(max_connections=1, max_keepalive_connections=1)
        return httpx.AsyncHTTPTransport(verify=self._verify, trust_env=False, limits=one)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send by a line that is free; the one used last first, so that few stay open in quiet times."""
        if not self._free:
            raise httpx.PoolTimeout(f"all {self._count} connections are in use")
        line = self._free.pop()
        try:
            response = await line.handle_async_request(request)
        except BaseException:
            await self._replace(line)
            raise
        response.stream = _Answer(
            response.stream, partial(self._free.append, line), partial(self._replace, line)
        )
        return response

    async def _replace(self, line: httpx.AsyncHTTPTransport) -> None:
        self._free.append(self._new())  # before anything that could be interrupted
        await line.aclose()

    async def aclose(self) -> None:
        """Close all connections; whoever is still out closes its own."""
        for line in self._free:
            await line.aclose()


class _Answer(httpx.AsyncByteStream):
    """The body of an answer: read to its end it frees the line, cut off it has it replaced."""

    def __init__(
        self,
        body: httpx.SyncByteStream | httpx.AsyncByteStream,
        free: Callable[[], None],
        replace: Callable[[], Awaitable[None]],
    ) -> None:
        assert isinstance(body, httpx.AsyncByteStream)
        self._body = body
        self._free = free
        self._replace = replace
        self._read = False
        self._closed = False

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for piece in self._body:
            yield piece
        self._read = True

    async def aclose(self) -> None:
        if self._closed:
            return
        self._closed = True
        well = False
        try:
            await self._body.aclose()
            well = self._read
        finally:
            if well:
                self._free()
            else:
                await self._replace()
