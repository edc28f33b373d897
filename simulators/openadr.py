"""A VTN of OpenADR 3.1: prices as events over HTTP, at times badly.

    POST /auth/token   OAuth2 client credentials (RFC 6749 4.4): {"access_token", "token_type", "expires_in"}
    GET  /programs     [{id, programName, payloadDescriptors}]           ?skip= &limit=
    GET  /events       [{id, programID, intervals, …}]    ?programID= &skip= &limit=
    GET  /healthz      open

The lists want the token, which is a new one for every asking.
"""

import argparse
import asyncio
import hmac
import json
import secrets
import sys
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qs

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from simulators import grid
from simulators.serving import LoopbackServer, Simulator, body_of, healthz, read_token

LIMIT_MAX: Final = 50
EVERY: Final = timedelta(minutes=30)

Object = Mapping[str, Any]


@dataclass(frozen=True)
class VtnFaults:
    """How the VTN misbehaves.

    Attributes:
        errors_first: so many requests for lists are answered 503 first.
        html: lists are pages in HTML, with status 200.
        repeats: every page is the first one.
        ignores_program: events of all programs are shown, whichever was asked for.
        forgets_tokens: no token is any good.
        slow_s: every answer takes this long, seconds.
    """

    errors_first: int = 0
    html: bool = False
    repeats: bool = False
    ignores_program: bool = False
    forgets_tokens: bool = False
    slow_s: float = 0.0


class Vtn(Simulator):
    """A VTN on a loopback port, in a thread. A context manager; its token comes from ``url`` + /auth/token.

    Args:
        programs: as ``/programs`` shows them.
        events: as ``/events`` shows them; numbers may be Decimal, and are written digit by digit.
        client_id: whom it gives a token.
        client_secret: for that.
        faults: how it misbehaves.
        port: 0 takes a free one.
    """

    def __init__(
        self,
        programs: Sequence[Object],
        events: Sequence[Object],
        *,
        client_id: str,
        client_secret: str,
        faults: VtnFaults | None = None,
        port: int = 0,
    ) -> None:
        self.faults = faults or VtnFaults()
        self.asked: list[str] = []
        """Requests for lists so far, path and query, the badly answered included."""
        self._lists = {"programs": list(programs), "events": list(events)}
        self._client = (client_id, client_secret)
        self._tokens: set[str] = set()
        self._lock = threading.Lock()
        routes = [
            Route("/auth/token", self._token, methods=["POST"]),
            Route("/programs", self._listed),
            Route("/events", self._listed),
            Route("/healthz", healthz),
        ]
        self._server = LoopbackServer(Starlette(routes=routes), port=port)

    def show(self, events: Sequence[Object]) -> None:
        """Other events from now on."""
        with self._lock:
            self._lists["events"] = list(events)

    async def _token(self, request: Request) -> Response:
        form = {
            name: values[0] for name, values in parse_qs((await body_of(request)).decode()).items()
        }
        if form.get("grant_type") != "client_credentials":
            return JSONResponse({"error": "unsupported_grant_type"}, status_code=400)
        given = form.get("client_id", ""), form.get("client_secret", "")
        if not all(
            hmac.compare_digest(a.encode(), b.encode())
            for a, b in zip(given, self._client, strict=True)
        ):
            return JSONResponse({"error": "invalid_client"}, status_code=401)
        token = secrets.token_urlsafe(16)
        if not self.faults.forgets_tokens:
            self._tokens.add(token)
        return JSONResponse({"access_token": token, "token_type": "Bearer", "expires_in": 3600})

    async def _listed(self, request: Request) -> Response:
        name = request.url.path.strip("/")
        with self._lock:
            self.asked.append(f"{request.url.path}?{request.url.query}")
            broken = len(self.asked) <= self.faults.errors_first
            shown = self._lists[name]
        await asyncio.sleep(self.faults.slow_s)
        if broken:
            return JSONResponse({"title": "busy"}, status_code=503)
        if request.headers.get("Authorization", "").removeprefix("Bearer ") not in self._tokens:
            return JSONResponse({"title": "no such token"}, status_code=403)
        if self.faults.html:
            return Response("<html>Please log in</html>", media_type="text/html")
        query = request.query_params
        if name == "events" and "programID" in query and not self.faults.ignores_program:
            shown = [one for one in shown if one.get("programID") == query["programID"]]
        try:
            skip, limit = int(query.get("skip", "0")), int(query.get("limit", str(LIMIT_MAX)))
        except ValueError:
            return JSONResponse({"title": "skip and limit are numbers"}, status_code=400)
        if skip < 0 or not 0 < limit <= LIMIT_MAX:
            return JSONResponse({"title": f"limit: 1 to {LIMIT_MAX}"}, status_code=400)
        skip = 0 if self.faults.repeats else skip
        return Response(written(shown[skip : skip + limit]), media_type="application/json")


def written(value: object) -> str:
    """JSON in which a Decimal is a number with just its digits."""
    if isinstance(value, Decimal):
        return f"{value:f}"
    if isinstance(value, Mapping):
        return "{" + ",".join(f"{json.dumps(k)}:{written(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ",".join(written(one) for one in value) + "]"
    return json.dumps(value)


def price_event(
    number: int,
    *,
    start: datetime,
    prices: Sequence[Decimal],
    program_id: str = "p-1",
    every: timedelta = EVERY,
    payload: str = "EXPORT_PRICE",
    **more: object,
) -> dict[str, Any]:
    """An event that prices one interval after the other, from ``start`` on."""
    return {
        "id": f"e-{number}",
        "objectType": "EVENT",
        "createdDateTime": (start - timedelta(days=1)).isoformat(),
        "modificationDateTime": (start - timedelta(days=1)).isoformat(),
        "programID": program_id,
        "eventName": f"prices {start:%Y-%m-%d}",
        "intervalPeriod": {
            "start": start.isoformat(),
            "duration": f"PT{every // timedelta(seconds=1)}S",
        },
        "intervals": [
            {"id": i, "payloads": [{"type": payload, "values": [price]}]}
            for i, price in enumerate(prices)
        ],
        **more,
    }


def price_program(
    program_id: str = "p-1", name: str = "RTP", payload: str = "EXPORT_PRICE"
) -> dict[str, Any]:
    """A program whose events price the kWh in US dollars."""
    return {
        "id": program_id,
        "objectType": "PROGRAM",
        "programName": name,
        "payloadDescriptors": [
            {
                "objectType": "EVENT_PAYLOAD_DESCRIPTOR",
                "payloadType": payload,
                "units": "KWH",
                "currency": "USD",
            }
        ],
    }


def main(arguments: Sequence[str] | None = None) -> None:
    """Serve an evening's prices until stopped. The address is the first line of standard output."""
    parser = argparse.ArgumentParser(prog="python -m simulators.openadr", description=main.__doc__)
    parser.add_argument("--seed", type=int, default=7, help="of the prices (default 7)")
    parser.add_argument(
        "--date",
        type=lambda text: datetime.fromisoformat(text).date(),
        default=datetime.now(UTC).date(),
        help="of the evening, such as 2026-07-01 (default: today, UTC)",
    )
    parser.add_argument("--client-id", default="v2g")
    parser.add_argument(
        "--secret-file", type=Path, required=True, help="one line: the client's secret"
    )
    parser.add_argument("--port", type=int, default=0, help="0, the default, takes a free one")
    parser.add_argument(
        "--errors-first", type=int, default=0, help="answer 503 to so many requests first"
    )
    for flag, says in (
        ("html", "answer with pages in HTML"),
        ("repeats", "show the first page for ever"),
        ("ignores-program", "show events of all programs"),
        ("forgets-tokens", "give tokens that are no good"),
    ):
        parser.add_argument(f"--{flag}", action="store_true", help=says)
    parsed = parser.parse_args(arguments)
    faults = VtnFaults(
        parsed.errors_first,
        parsed.html,
        parsed.repeats,
        parsed.ignores_program,
        parsed.forgets_tokens,
    )
    of_the_day = grid.prices(parsed.seed, parsed.date)
    prices = [
        Decimal(one.price_micros_per_kwh).scaleb(-6)
        for one in of_the_day
        if one.program == grid.PROGRAM
    ]
    start = datetime.combine(parsed.date, time(16, 30), tzinfo=UTC)
    try:
        vtn = Vtn(
            [price_program()],
            [price_event(1, start=start, prices=prices)],
            client_id=parsed.client_id,
            client_secret=read_token(parsed.secret_file),
            faults=faults,
            port=parsed.port,
        )
    except (ValueError, OSError) as error:
        parser.error(str(error))
    sys.stdout.write(f"{vtn.url}\n")
    sys.stdout.flush()
    vtn.run_here()


if __name__ == "__main__":
    main()
