"""The service as its own process, and what its tests ask of it."""

import os
import re
import ssl
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

import httpx

from api import tokens
from embedded.processes import Supervised
from tests.proofs import make_proof

ROOT = Path(__file__).parents[2]
JOSE, CSV = "application/jose", "text/csv"
PROBLEM = {
    "type", "title", "status", "detail", "instance", "error", "where", "found", "expected", "do",
}  # fmt: skip


def problem(answer: httpx.Response, status: int) -> Any:
    """The problem document of a refusal, complete."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    document = answer.json()
    assert set(document) == PROBLEM
    assert all(document.values())
    assert document["status"] == status
    return document


class Served:
    """``python -m api`` on a free port, with tokens for anna and bert (all of keys), rita (read), walt
    (write), ivan (import), vera (vehicles), wera (webhook, read) and wanda (webhook, both).

    ``variables`` are further variables of its environment; ``settings`` those of the service itself.
    """

    def __init__(
        self,
        folder: Path,
        database: str,
        *,
        variables: Mapping[str, str] | None = None,
        trusting: ssl.SSLContext | None = None,
        **settings: object,
    ) -> None:
        self.token_file = folder / "tokens.json"
        self.tokens = {
            name: self.make_token(name, *scopes)
            for name, scopes in (
                ("anna", (tokens.READ, tokens.WRITE, tokens.IMPORT)),
                ("bert", (tokens.READ, tokens.WRITE, tokens.IMPORT)),
                ("rita", (tokens.READ,)),
                ("walt", (tokens.WRITE,)),
                ("ivan", (tokens.IMPORT,)),
                ("vera", (tokens.VEHICLES,)),
                ("wera", (tokens.WEBHOOK_READ,)),
                ("wanda", (tokens.WEBHOOK_READ, tokens.WEBHOOK_WRITE)),
            )
        }
        environment = {n: v for n, v in os.environ.items() if not n.startswith("V2G_")}
        environment |= {
            "V2G_DATABASE_URL": database,
            "V2G_API_TOKEN_FILE": str(self.token_file),
            "V2G_API_HTTP_PORT": "0",
            "V2G_API_LOG_LEVEL": "DEBUG",
        } | {f"V2G_API_{name.upper()}": str(value) for name, value in settings.items()}
        environment |= variables or {}
        self.process = Supervised(
            "api", [sys.executable, "-m", "api"], log=folder / "api.log", environment=environment,
            folder=ROOT, stop_deadline_s=20,
        )  # fmt: skip
        self._client = httpx.Client(timeout=30, trust_env=False, verify=trusting or True)

    def make_token(self, name: str, *scopes: str) -> str:
        return tokens.make(self.token_file, name, scopes, now=datetime.now(UTC))[1]

    def __enter__(self) -> Self:
        self.process.start()
        self.process.wait_ready(
            lambda: bool(self._addresses()), deadline_s=30, what="the service to say its address"
        )
        self.process.wait_ready(self._answers, deadline_s=10, what="the service to answer")
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()
        self.process.stop()

    def _answers(self) -> bool:
        try:
            return self.send("GET", "/healthz", by=None).status_code == httpx.codes.OK
        except httpx.TransportError:
            return False

    def _addresses(self) -> list[str]:
        return re.findall(r"event=started .*http=(\S+)", self.log)

    @property
    def log(self) -> str:
        return self.process.log.read_text() if self.process.log.exists() else ""

    @property
    def url(self) -> str:
        return self._addresses()[-1]

    def send(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        by: str | None = "anna",
        token: str | None = None,
        media: str = "application/json",
    ) -> httpx.Response:
        """A request, with the token of a person, another, or none."""
        headers = {} if body is None else {"Content-Type": media}
        given = token or (None if by is None else self.tokens[by])
        if given is not None:
            headers["Authorization"] = f"Bearer {given}"
        content = (
            {"content": body}
            if isinstance(body, bytes)
            else {"json": body}
            if body is not None
            else {}
        )
        return self._client.request(method, self.url + path, headers=headers, **content)

    def get(self, path: str, **more: Any) -> Any:
        """What a route shows."""
        answer = self.send("GET", path, **more)
        assert answer.status_code == httpx.codes.OK, answer.text
        return answer.json()

    def post(self, path: str, body: Any = None, *, status: int = 200, **more: Any) -> Any:
        """What a route answers, which must be of that status."""
        answer = self.send("POST", path, {} if body is None else body, **more)
        assert answer.status_code == status, answer.text
        return answer.json()

    def proof(self, key: Any, invitation: str, evse_id: str, **changes: Any) -> bytes:
        """A device's proof for a new nonce."""
        nonce = self.post(
            "/v1/enrolments/challenge", {"invitation": invitation}, by=None, status=201
        )
        facts = {"nonce": nonce["nonce"], "evse_id": evse_id, "invitation": invitation}
        return make_proof(key, **(facts | changes))

    def enrol(self, key: Any, evse_id: str, **facts: Any) -> Any:
        """Invited by anna, proven, approved by bert; the enrolment."""
        invited = self.post("/v1/keys/invitations", {"evse_id": evse_id, **facts}, status=201)
        proof = self.proof(key, invited["invitation"], evse_id)
        self.post("/v1/enrolments", proof, by=None, media=JOSE, status=202)
        return self.post(f"/v1/keys/enrolments/{invited['enrolment_id']}/approve", by="bert")

    def end(self) -> int | None:
        """Ask it to end, with SIGTERM; its exit status."""
        return self.process.stop()
