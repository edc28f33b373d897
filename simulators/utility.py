"""The utility: event windows and prices over HTTP, at times badly.

    GET /v1/events   {"events": [{event_id, program, started_at, ended_at, created_at, status}]}
    GET /v1/prices   {"prices": [{program, started_at, ended_at, price_per_kwh, currency}]}
    PUT /v1/feed     {"events": […], "prices": […]}: what is served from now on
    GET /healthz     open

All but the last want the bearer token.
"""

import argparse
import asyncio
import json
import sys
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from simulators.serving import (
    BearerGate,
    BodyTooLargeError,
    LoopbackServer,
    Simulator,
    body_of,
    healthz,
    read_token,
)

Row = Mapping[str, str]
Feed = Mapping[str, Sequence[Row]]


class UnusableFeedError(ValueError):
    """A feed that is no object with a list of events and a list of prices."""


@dataclass(frozen=True)
class UtilityFaults:
    """How the utility misbehaves.

    Attributes:
        errors_first: so many requests are answered 500 before the first good one.
        slow_s: every answer takes this long, seconds.
        withheld_prices: starts (RFC 3339, as in the feed) of prices that are left out until
            ``release_prices``.
    """

    errors_first: int = 0
    slow_s: float = 0.0
    withheld_prices: frozenset[str] = field(default_factory=frozenset)


class Utility(Simulator):
    """A utility's server on a loopback port, in a thread. A context manager.

    Args:
        feed: events and prices, as ``simulators.evening.Evening.feed`` has them.
        token: the bearer token it asks for.
        faults: how it misbehaves.
        port: 0 takes a free one.
    """

    def __init__(
        self, feed: Feed, *, token: str, faults: UtilityFaults | None = None, port: int = 0
    ) -> None:
        faults = faults or UtilityFaults()
        self._lock = threading.Lock()
        self._events = [dict(row) for row in feed["events"]]
        self._prices = [dict(row) for row in feed["prices"]]
        self._withheld = set(faults.withheld_prices)
        self._errors_left = faults.errors_first
        self._slow_s = faults.slow_s
        self.requests = 0
        """Requests for events or prices so far, the badly answered included."""
        routes = [
            Route("/v1/events", self._get_events),
            Route("/v1/prices", self._get_prices),
            Route("/v1/feed", self._put_feed, methods=["PUT"]),
            Route("/healthz", healthz),
        ]
        self._server = LoopbackServer(BearerGate(Starlette(routes=routes), token=token), port=port)

    def healthy(self) -> None:
        """No more faults; withheld prices stay withheld."""
        with self._lock:
            self._errors_left, self._slow_s = 0, 0.0

    def release_prices(self) -> None:
        """Serve the prices that were withheld."""
        with self._lock:
            self._withheld.clear()

    def revise_price(self, started_at: str, price_per_kwh: str) -> None:
        """Serve another price for the interval that starts then. Raises KeyError for none."""
        with self._lock:
            rows = [row for row in self._prices if row["started_at"] == started_at]
            if not rows:
                raise KeyError(started_at)
            for row in rows:
                row["price_per_kwh"] = price_per_kwh

    def revise_event(self, event_id: str, **changes: str) -> None:
        """Serve a changed event, such as ``status="cancelled"``. Raises KeyError for none."""
        with self._lock:
            rows = [row for row in self._events if row["event_id"] == event_id]
            if not rows:
                raise KeyError(event_id)
            for row in rows:
                row.update(changes)

    async def _fault(self) -> Response | None:
        with self._lock:
            self.requests += 1
            slow_s, broken = self._slow_s, self._errors_left > 0
            self._errors_left -= broken
        await asyncio.sleep(slow_s)
        return JSONResponse({"error": "internal"}, status_code=500) if broken else None

    async def _get_events(self, _: Request) -> Response:
        if fault := await self._fault():
            return fault
        with self._lock:
            return JSONResponse({"events": self._events})

    async def _get_prices(self, _: Request) -> Response:
        if fault := await self._fault():
            return fault
        with self._lock:
            return JSONResponse(
                {"prices": [row for row in self._prices if row["started_at"] not in self._withheld]}
            )

    async def _put_feed(self, request: Request) -> Response:
        try:
            feed = parse_feed(await body_of(request))
        except BodyTooLargeError as error:
            return JSONResponse({"error": str(error)}, status_code=413)
        except UnusableFeedError as error:
            return JSONResponse({"error": str(error)}, status_code=400)
        with self._lock:
            self._events = [dict(row) for row in feed["events"]]
            self._prices = [dict(row) for row in feed["prices"]]
        return JSONResponse({"events": len(self._events), "prices": len(self._prices)})


def parse_feed(text: bytes) -> dict[str, list[dict[str, str]]]:
    """A feed from JSON. Raises UnusableFeedError."""
    try:
        feed = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UnusableFeedError(f"not JSON ({error})") from error
    for name in ("events", "prices"):
        rows = feed.get(name) if isinstance(feed, dict) else None
        if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
            raise UnusableFeedError(f"{name}: expected a list of objects")
    return {"events": feed["events"], "prices": feed["prices"]}


def main(arguments: Sequence[str] | None = None) -> None:
    """Serve events and prices until stopped. The address is the first line of standard output."""
    parser = argparse.ArgumentParser(prog="python -m simulators.utility", description=main.__doc__)
    parser.add_argument("--feed", type=Path, required=True, help="feed.json of simulators.evening")
    parser.add_argument("--token-file", type=Path, required=True)
    parser.add_argument("--port", type=int, default=0, help="0, the default, takes a free one")
    parser.add_argument(
        "--errors-first", type=int, default=0, help="answer 500 to so many requests first"
    )
    parser.add_argument("--slow-s", type=float, default=0.0, help="seconds that every answer takes")
    parsed = parser.parse_args(arguments)
    faults = UtilityFaults(errors_first=parsed.errors_first, slow_s=parsed.slow_s)
    try:
        feed = parse_feed(parsed.feed.read_bytes())
        utility = Utility(
            feed, token=read_token(parsed.token_file), faults=faults, port=parsed.port
        )
    except (ValueError, OSError) as error:
        parser.error(str(error))
    sys.stdout.write(f"{utility.url}\n")
    sys.stdout.flush()
    utility.run_here()


if __name__ == "__main__":
    main()
