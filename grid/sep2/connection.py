"""One conversation with a server: documents fetched and Responses posted, every wait bounded.

Within one reading everything shares one deadline, which holds for each byte: a server that drips
resets the shorter timeouts, never this one. Bodies are counted as they come. Redirects are followed
on the same host only, since links are what a server says and our certificate is what it gets.
"""

import ssl
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final, Self, TypeVar

import httpx
from tenacity import RetryCallState, Retrying, retry_if_exception_type, wait_exponential_jitter

from grid.deadlines import Deadline, bounded_socket
from grid.errors import FeedRefusedError, FeedUnavailableError, FeedUnreadableError, GridFeedError
from grid.sep2.bounds import Bounds
from grid.sep2.tls import trouble

__all__ = ["Answer", "Connection"]

MEDIA_TYPE: Final = "application/sep+xml"
_MEDIA_TYPES: Final = frozenset({MEDIA_TYPE, "application/xml", "text/xml", ""})
_REDIRECTS: Final = frozenset({301, 302, 307, 308})
_TRY_AGAIN: Final = frozenset({408, 425, 429})
_SERVER_ERROR: Final = 500
_SUCCESS: Final = 200
_SHOWN_CHARS: Final = 200
_LEAST_S: Final = 0.05

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Answer:
    """A document.

    Attributes:
        href: as asked for, path and query.
        media_type: of the body, without parameters.
        sent_s: on the monotonic clock, before the first byte of the request left.
        received_s: the same, after the last header of the answer came.
    """

    href: str
    media_type: str
    body: bytes
    sent_s: float
    received_s: float


class _TryAgainError(Exception):
    """Asking again may help."""


class Connection:
    """To be used in a ``with``: by one thread, for one reading or one round of answers.

    Args:
        url: of the DeviceCapability; only its host and port are spoken to.
        tls: as ``grid.sep2.tls.context`` makes it.
        seconds: for everything.
        bounds: see there.
        monotonic: seconds, which never go back.
        sleep: waits so many seconds before another attempt.
    """

    def __init__(
        self,
        url: str,
        tls: ssl.SSLContext,
        *,
        seconds: float,
        monotonic: Callable[[], float],
        sleep: Callable[[float], None],
        who: str,
        bounds: Bounds | None = None,
    ) -> None:
        self._who = who
        self.deadline = Deadline(seconds, monotonic)
        self.bounds = bounds or Bounds()
        self._url = httpx.URL(url)
        self._monotonic = monotonic
        self._sleep = sleep
        self._asked = 0
        self._received = 0
        tls.sslsocket_class = bounded_socket(self.deadline)
        self._client = httpx.Client(
            verify=tls,
            trust_env=False,
            follow_redirects=False,
            headers={"Accept": MEDIA_TYPE, "Accept-Encoding": "identity"},
            timeout=httpx.Timeout(self.bounds.silence_s, connect=self.bounds.connect_s),
            limits=httpx.Limits(max_connections=1),
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def get(self, href: str) -> Answer:
        """The document at a link, relative to the server's root or absolute on the same host.

        Raises:
            FeedUnavailableError: no whole answer in time, 5xx or 429, also after further attempts.
            FeedRefusedError: another status, no TLS in common; AuthExpiredError: a certificate.
            FeedUnreadableError: an answer that is no XML document, is too long, or leads elsewhere.
        """
        where = f"GET {_shown(href)}"
        self._asked += 1
        if self._asked > self.bounds.documents:
            raise FeedUnreadableError(
                where, "yet another link", f"at most {self.bounds.documents} documents"
            )
        return self._persistently(where, lambda: self._follow(href, where))

    def post(self, href: str, body: bytes) -> int:
        """Post a document.

        Returns:
            The HTTP status, 200 to 299.

        Raises:
            As ``get``.
        """
        where = f"POST {_shown(href)}"
        target = self._target(href, where)
        return self._persistently(where, lambda: self._exchange("POST", target, where, body)[0])

    def _persistently(self, where: str, attempt: Callable[[], T]) -> T:
        if self.deadline.all_left < _LEAST_S:
            raise FeedUnavailableError(where, "the time for all of this is over")
        self.deadline.begin_part(self.bounds.document_s)

        def enough(state: RetryCallState) -> bool:
            return state.attempt_number >= self.bounds.attempts or self.deadline.over

        tries = Retrying(
            retry=retry_if_exception_type(_TryAgainError),
            stop=enough,
            wait=wait_exponential_jitter(multiplier=0.2, max=2.0, jitter=0.2),
            sleep=lambda seconds: self._sleep(min(seconds, self.deadline.left)),
            reraise=True,
        )
        try:
            return tries(attempt)
        except _TryAgainError as error:
            raise FeedUnavailableError(where, str(error)) from error

    def _follow(self, href: str, where: str) -> Answer:
        target = self._target(href, where)
        for _ in range(self.bounds.redirects + 1):
            status, answer, location = self._exchange("GET", target, where, None)
            if answer is not None:
                return Answer(
                    href, answer.media_type, answer.body, answer.sent_s, answer.received_s
                )
            if not location:
                raise FeedUnreadableError(where, f"HTTP {status} without Location", "where to")
            target = self._target(str(target.join(location)), where)
        raise FeedUnreadableError(
            where,
            f"redirected to {_shown(str(target))}",
            f"at most {self.bounds.redirects} redirects",
        )

    def _target(self, href: str, where: str) -> httpx.URL:
        """The address of a link. Raises FeedUnreadableError where it leads elsewhere."""
        try:
            target = self._url.join(href)
        except (httpx.InvalidURL, ValueError) as error:
            raise FeedUnreadableError(where, f"no link ({error})", "a path, or a URL") from error
        same = (target.scheme, target.host, target.port) == (
            self._url.scheme,
            self._url.host,
            self._url.port,
        )
        if not same or target.userinfo:
            raise FeedUnreadableError(
                where, f"a link to {_shown(str(target))}", f"one on {self._url.host}, as in `url`"
            )
        return target.copy_with(fragment=None)

    def _exchange(
        self, method: str, target: httpx.URL, where: str, content: bytes | None
    ) -> tuple[int, Answer | None, str]:
        """One request. The answer is None for a redirect, whose target is the third value."""
        began = self._monotonic()
        stamps = {"sent": began, "received": began}

        def trace(event: str, _: dict[str, Any]) -> None:
            # httpcore's names: a new connection is made before the first, and is no part of it.
            if event == "http11.send_request_headers.started":
                stamps["sent"] = self._monotonic()
            elif event == "http11.receive_response_headers.complete":
                stamps["received"] = self._monotonic()

        request = self._client.build_request(
            method,
            target,
            content=content,
            headers={} if content is None else {"Content-Type": MEDIA_TYPE},
            extensions={"trace": trace},
        )
        try:
            response = self._client.send(request, stream=True)
            try:
                location = self._judge(response, where)
                body = self._body(response, where)
            finally:
                response.close()
        except httpx.TransportError as error:
            if self.deadline.over:
                raise _TryAgainError(
                    f"no whole answer within {self.bounds.document_s:g} s"
                ) from error
            why = trouble(
                error, where=where, host=f"{self._url.host}:{self._url.port or 443}", who=self._who
            )
            if isinstance(why, GridFeedError):
                raise why from error
            raise _TryAgainError(why) from error
        media_type = response.headers.get("Content-Type", "").partition(";")[0].strip().lower()
        if location is not None:
            return response.status_code, None, location
        if method == "GET" and media_type not in _MEDIA_TYPES:
            raise FeedUnreadableError(where, f"Content-Type {media_type[:60]!r}", MEDIA_TYPE)
        answer = Answer(where, media_type, body, stamps["sent"], stamps["received"])
        return response.status_code, answer, ""

    def _judge(self, response: httpx.Response, where: str) -> str | None:
        """None for a success, the target of a redirect; raises for everything else."""
        status = response.status_code
        if status >= _SERVER_ERROR or status in _TRY_AGAIN:
            raise _TryAgainError(f"HTTP {status}")
        if status in _REDIRECTS and response.request.method == "GET":
            return str(response.headers.get("Location", ""))
        if status != _SUCCESS and (response.request.method == "GET" or not response.is_success):
            root = response.request.url.path == self._url.path
            repair = _repair(status, root=root, who=self._who)
            raise FeedRefusedError(where, f"HTTP {status}", repair)
        return None

    def _body(self, response: httpx.Response, where: str) -> bytes:
        encoding = response.headers.get("Content-Encoding", "identity")
        if encoding != "identity":
            raise FeedUnreadableError(
                where, f"Content-Encoding {encoding[:40]!r}", "identity, as asked"
            )
        most = self.bounds.body_bytes
        stated = response.headers.get("Content-Length", "0")
        too_long = FeedUnreadableError(where, "a longer body", f"at most {most} bytes")
        if stated.isascii() and stated.isdigit() and int(stated[:20]) > most:
            raise too_long
        body = bytearray()
        for chunk in response.iter_raw():
            body += chunk
            self._received += len(chunk)
            if len(body) > most:
                raise too_long
            if self._received > self.bounds.all_bytes:
                found = "more bytes than a whole conversation may have"
                raise FeedUnreadableError(where, found, f"at most {self.bounds.all_bytes}")
        return bytes(body)


def _repair(status: int, *, root: bool, who: str) -> str:
    if status in {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}:
        return f"ask the utility whether it has registered us: {who}"
    if status == HTTPStatus.NOT_FOUND and root:
        return "look at `url`, which must name its DeviceCapability"
    return "the address is the server's own: tell the utility"


def _shown(href: str) -> str:
    short = href if len(href) <= _SHOWN_CHARS else href[:_SHOWN_CHARS] + "…"
    return short.encode("ascii", "backslashreplace").decode()
