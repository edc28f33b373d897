"""Kind ``openadr3``: prices from a VTN of OpenADR 3.1, read as a VEN with OAuth2 client credentials.

POST token_url                                  RFC 6749 4.4, form; the token is used once and let go
GET  url/programs?skip=0&limit=50               which of them is ours, by id or name
GET  url/events?programID=…&skip=0&limit=50     its events, page by page
"""

import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Final
from urllib.parse import urlencode

import httpx

from grid import strict_json
from grid.config import FeedConfig, OpenAdrConfig, OpenAdrProgram
from grid.errors import FeedUnreadableError
from grid.feeds import Answered, FeedReading, ResponseDue, ResponseSent, Secrets
from grid.fetching import client, get, post_form
from grid.openadr_prices import Told, event_prices, without_outranked
from grid.prices import StatedPrice, once_each
from grid.records import Document, Refusal

PAGE: Final = 50
"""The largest ``limit`` that every VTN takes (OpenADR 3.1)."""
PAGES_MAX: Final = 40
ALL_MAX_BYTES: Final = 32 * 1024 * 1024

_JSON: Final = "application/json"
_REPAIR: Final = "look at client_id:, client_secret_file: and the rights of this client at the VTN"
_TOKEN: Final = re.compile(r"[!-~]{1,4096}")
"""More than RFC 6750 2.1 allows, and nothing that a header cannot hold."""
_ANSWER: Final = '{"access_token": "…", "token_type": "Bearer"}'

Fields = Mapping[str, object]


@dataclass(frozen=True, slots=True)
class OpenAdrFeed:
    """See ``grid.config.OpenAdrConfig``.

    Attributes:
        config: of this feed.
        secret: of its client.
        clock: seconds, for the deadline.
    """

    config: OpenAdrConfig
    secret: str = field(repr=False)
    clock: Callable[[], float] = time.monotonic

    @property
    def name(self) -> str:
        return self.config.name

    @property
    def kind(self) -> str:
        return self.config.kind

    def read(self, now: Callable[[], datetime], answered: Answered = ()) -> FeedReading:
        """The prices of every configured program.

        Raises:
            FeedUnavailableError: no whole answer, 5xx or 429.
            FeedRefusedError: another status: no token, or not for us.
            FeedUnreadableError: an answer that is no token or no list at all.
        """
        del answered
        deadline = self.clock() + self.config.deadline_s
        accept = {"Accept": _JSON}
        with client(headers=accept, seconds=self.config.deadline_s, ca=self.config.ca) as http:
            token = self._token(http, deadline)
        bearer = accept | {"Authorization": f"Bearer {token}"}
        refused: list[Refusal] = []
        notes: list[str] = []
        documents: list[Document] = []
        prices: list[StatedPrice] = []
        with client(headers=bearer, seconds=deadline - self.clock(), ca=self.config.ca) as http:

            def listed(path: str, query: Mapping[str, str]) -> Iterator[tuple[str, Fields, bytes]]:
                return self._pages(http, path, query, deadline, documents, refused)

            programs = [(fields, where) for where, fields, _ in listed("programs", {})]
            for wanted in self.config.programs:
                found = [one for one, _ in programs if _fits(one, wanted)]
                if len(found) != 1:
                    shown = f"{len(found)} programs that fit {wanted.match.model_dump(exclude_none=True)}"
                    refused.append(Refusal(f"programs: {wanted.program}", shown, "exactly one"))
                    continue
                query = {"programID": str(found[0].get("id"))}
                told = self._told(listed("events", query), wanted, found[0], now(), refused)
                standing, outranked = without_outranked(told)
                prices.extend(standing)
                # As the standard has it, and so no fault: but somebody may wonder where a price went.
                notes.extend(f"{one.where}: {one.found}; left out" for one in outranked)
        kept, contradictory = once_each(prices)
        return FeedReading(
            prices=kept,
            documents=documents,
            refused=[*refused, *contradictory],
            notes=notes,
            next_in=timedelta(seconds=self.config.every_s),
        )

    def respond(
        self, due: Sequence[ResponseDue], now: Callable[[], datetime]
    ) -> Sequence[ResponseSent]:
        """Prices are not answered."""
        del due, now
        return ()

    def _token(self, http: httpx.Client, deadline: float) -> str:
        form = {
            "grant_type": "client_credentials",
            "client_id": self.config.client_id,
            "client_secret": self.secret,
        }
        url = self.config.token_url
        body = post_form(http, url, form, deadline=deadline, repair=_REPAIR, clock=self.clock)
        where = f"POST {httpx.URL(url).path}"
        found = strict_json.parse(body, where=where, expected=_ANSWER)
        token = found.get("access_token") if isinstance(found, dict) else None
        # What came is not shown: it may be half a token.
        if not isinstance(token, str) or not _TOKEN.fullmatch(token):
            raise FeedUnreadableError(where, "no access_token of visible ASCII", _ANSWER)
        return token

    def _pages(
        self,
        http: httpx.Client,
        path: str,
        query: Mapping[str, str],
        deadline: float,
        documents: list[Document],
        refused: list[Refusal],
    ) -> Iterator[tuple[str, Fields, bytes]]:
        """Each object of a list: where it stood, itself, the digest of its page. Each id once."""
        seen: set[object] = set()
        for page in range(PAGES_MAX):
            asked = urlencode({**query, "skip": page * PAGE, "limit": PAGE})
            url = f"{self.config.url.rstrip('/')}/{path}?{asked}"
            body = get(http, url, deadline=deadline, repair=_REPAIR, clock=self.clock)
            documents.append(Document(url, _JSON, body))
            if sum(len(one.body) for one in documents) > ALL_MAX_BYTES:
                found = "more bytes than a whole reading may have"
                raise FeedUnreadableError(path, found, f"at most {ALL_MAX_BYTES}")
            listed = strict_json.parse(body, where=path, expected="a JSON list of objects")
            if not isinstance(listed, list):
                raise FeedUnreadableError(path, type(listed).__name__, "a JSON list of objects")
            before = len(seen)
            for number, one in enumerate(listed):
                where = f"{path}[{page * PAGE + number}]"
                if not isinstance(one, dict) or not isinstance(one.get("id"), str):
                    refused.append(Refusal(where, repr(one)[:80], "an object with an id"))
                elif one["id"] not in seen:
                    seen.add(one["id"])
                    yield where, one, sha256(body).digest()
            if len(listed) < PAGE:
                return
            if len(seen) == before:
                refused.append(
                    Refusal(f"{path}, page {page}", "what was shown before", "the next page")
                )
                return
        refused.append(Refusal(path, f"more than {PAGES_MAX * PAGE}", f"at most {PAGES_MAX} pages"))

    def _told(
        self,
        events: Iterator[tuple[str, Fields, bytes]],
        wanted: OpenAdrProgram,
        program: Fields,
        received_at: datetime,
        refused: list[Refusal],
    ) -> list[Told]:
        of_program = program.get("payloadDescriptors")
        descriptors = of_program if isinstance(of_program, list) else []
        told: list[Told] = []
        for where, event, digest in events:
            # A VTN that ignores the question answers with everybody's events.
            if event.get("programID") != program.get("id"):
                found = f"programID {str(event.get('programID'))[:80]!r}"
                refused.append(Refusal(where, found, f"{program.get('id')!r}, as asked"))
                continue
            try:
                for one in event_prices(
                    event,
                    where=where,
                    program=wanted.program,
                    payload=wanted.payload,
                    descriptors=descriptors,
                    said=(self.name, digest, received_at),
                ):
                    told.append(one) if isinstance(one, Told) else refused.append(one)
            except FeedUnreadableError as error:
                refused.append(error.refusal)
        return told


def open_feed(config: FeedConfig, secrets: Secrets) -> OpenAdrFeed:
    """A feed from a VTN; its client's secret is read from a file that nobody else may read."""
    assert isinstance(config, OpenAdrConfig)
    return OpenAdrFeed(config, secrets.read_secret(config.client_secret_file))


def _fits(program: Fields, wanted: OpenAdrProgram) -> bool:
    match = wanted.match
    return match.id in (None, program.get("id")) and match.name in (
        None,
        program.get("programName"),
    )
