"""One batch of packets over HTTP: ``POST <UploadUrl>/v1/packets/batch``, a packet per line, a status
per packet. 200, 208, 400 and 409 are final: the other side holds these bytes.

Plain http.client: certificates verified, no proxy from the environment, no redirect, one deadline for
all of it, and an answer that is read up to a bound.
"""

import http.client
import json
import ssl
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from evse_agent import tls
from evse_agent.errors import AuthExpiredError
from evse_agent.secret import read_word
from evse_agent.store import Stored

PACKETS_MAX: Final = 1000
BODY_MAX_BYTES: Final = 4 * 1024 * 1024
ANSWER_MAX_BYTES: Final = 4 * 1024 * 1024
ANSWER_WITHIN_S: Final = 60.0
WAIT_MAX_S: Final = 300.0
FINAL: Final = {200: "landed", 208: "already_landed", 400: "aside", 409: "conflict"}
_CHUNK_BYTES: Final = 64 * 1024
_OK: Final = 200
_TOO_LARGE: Final = 413


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a batch.

    Attributes:
        settled: digest and state of each packet that the other side holds.
        trouble: why the rest is not settled; empty when nothing is left.
        wait_s: the time that the other side asks to wait.
        smaller: whether it asks for less at once.
    """

    settled: tuple[tuple[bytes, str, str], ...] = ()
    trouble: str = ""
    wait_s: float = 0.0
    smaller: bool = False


def fitting(packets: Sequence[Stored], *, packets_max: int = PACKETS_MAX) -> list[Stored]:
    """The first of them, as many as one body takes."""
    size, chosen = 0, []
    for one in packets[:packets_max]:
        size += len(one.packet) + 1
        if size > BODY_MAX_BYTES:
            break
        chosen.append(one)
    return chosen


class Upload:
    """Where batches go."""

    def __init__(self, url: str, token_file: Path, ca_file: Path | None) -> None:
        parts = urlsplit(url)
        self._host = parts.hostname or ""
        self._port = parts.port
        self._path = f"{parts.path}/v1/packets/batch"
        self._token_file = token_file
        self._ca_file = ca_file
        self._https = parts.scheme == "https"
        self._tls: ssl.SSLContext | None = None

    def send(self, batch: Sequence[Stored]) -> Outcome:
        """Send a batch and wait for the answer, at most a minute."""
        give_up_at = time.monotonic() + ANSWER_WITHIN_S
        try:
            # Read each time: a token is exchanged without a restart.
            token = read_word("UploadTokenFile", self._token_file)
            if self._https and self._tls is None:
                self._tls = tls.context(self._ca_file, where="UploadCaFile")
            status, headers, body = self._ask(batch, token, give_up_at)
        except AuthExpiredError as error:
            return Outcome(trouble=str(error))
        except (OSError, http.client.HTTPException) as error:
            return Outcome(
                trouble=tls.trouble(
                    error, who="the intake", host=self._host, ca="UploadCaFile", cert="none"
                )
            )
        if status == _OK:
            return read_answer(batch, body)
        said = body[:200].decode("utf-8", "replace")
        return Outcome(
            trouble=f"the intake answers {status}: {said}",
            wait_s=_seconds(headers.get("Retry-After")),
            smaller=status == _TOO_LARGE,
        )

    def _ask(
        self, batch: Sequence[Stored], token: str, give_up_at: float
    ) -> tuple[int, http.client.HTTPMessage, bytes]:
        connection: http.client.HTTPConnection
        if self._tls is None:
            connection = http.client.HTTPConnection(self._host, self._port, timeout=ANSWER_WITHIN_S)
        else:
            connection = http.client.HTTPSConnection(
                self._host, self._port, timeout=ANSWER_WITHIN_S, context=self._tls
            )
        try:
            connection.request(
                "POST",
                self._path,
                body=b"".join(one.packet + b"\n" for one in batch),
                headers={
                    "Content-Type": "application/x-ndjson",
                    "Authorization": f"Bearer {token}",
                },
            )
            answer = connection.getresponse()
            body = bytearray()
            while chunk := answer.read1(_CHUNK_BYTES):
                body += chunk
                if len(body) > ANSWER_MAX_BYTES:
                    raise http.client.HTTPException(f"more than {ANSWER_MAX_BYTES} bytes")
                if time.monotonic() > give_up_at:
                    raise TimeoutError
            return answer.status, answer.headers, bytes(body)
        finally:
            connection.close()


def read_answer(batch: Sequence[Stored], body: bytes) -> Outcome:
    """The status of each packet; what the answer does not name is not settled."""
    try:
        items: list[dict[str, Any]] = json.loads(body)["items"]
        statuses = {item["index"]: (item["status"], str(item.get("detail", ""))) for item in items}
        if not all(type(index) is int for index in statuses):
            raise TypeError("an index that is no integer")
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        return Outcome(trouble=f"the intake's answer cannot be read: {error}"[:200])
    settled = tuple(
        (one.digest, FINAL[status], detail)
        for index, one in enumerate(batch)
        for status, detail in [statuses.get(index, (0, ""))]
        if status in FINAL
    )
    left = len(batch) - len(settled)
    return Outcome(settled, trouble=f"{left} packets of {len(batch)} not stored" if left else "")


def _seconds(retry_after: str | None) -> float:
    """Retry-After in seconds (RFC 9110 §10.2.3), bounded; 0 when there is none that can be read."""
    if retry_after is None or not (retry_after.isascii() and retry_after.isdigit()):
        return 0.0
    return min(float(retry_after[:9]), WAIT_MAX_S)
