"""The demonstration's clearinghouse: over TLS, signed both ways, slow and lossy; its statement leaves out
one payment.
"""

import json
import ssl
from datetime import UTC, datetime
from typing import Any, Final

import httpx

from cli.demo.folder import DemoFolder
from embedded.processes import free_port
from simulators.clearinghouse import Authority
from tasks.posting import key_making
from tasks.posting.clearinghouse import Clearinghouse
from tasks.posting.key_settings import KeySettings
from tasks.posting.settlement_key import CERTIFICATE, Place
from tasks.settings import Settings, clearinghouse_of

NAME: Final = "clearinghouse"
FOLDER: Final = "clearinghouse"
SCRIPT: Final = "clearinghouse.json"
TIMEOUT_S: Final = 10.0

SHARES: Final = {"slow": 0.03, "error": 0.10, "lost_ack": 0.08, "too_many": 0.02, "unsigned": 0.02}
"""Of all postings: slow beyond the deadline, 500, no acknowledgement, 429, an answer without signature."""
LEFT_OUT: Final = "missing:line=1"


class Clearing:
    """How the clearinghouse is started, how it is reached, and what it says of itself.

    Makes the key that signs what is posted, and the clearinghouse's authority.

    Args:
        folder: of the demonstration.
        seed: decides which call gets which fault.
    """

    def __init__(self, folder: DemoFolder, *, seed: int) -> None:
        own = folder.path / FOLDER
        self._token = folder.secret(NAME)
        self._place = Place(certificate=own / CERTIFICATE, key_file=own / "settlement_private.key")
        made = key_making.init(self._place, now=datetime.now(UTC))
        self.key_id = made.key_id
        [ours] = made.for_partner
        self._authority = Authority(own / "tls")
        self._signs = own / "partner.key"
        script = folder.private(SCRIPT, json.dumps({"shares": SHARES, "statement": [LEFT_OUT]}))
        self._port = free_port()
        self.arguments = (
            "-m", "simulators.clearinghouse", "--token-file", str(self._token),
            "--port", str(self._port), "--seed", str(seed), "--script", str(script),
            "--tls", str(self._authority.folder), "--require-key", str(ours),
            "--sign-with", str(self._signs),
        )  # fmt: skip

    @property
    def url(self) -> str:
        """Base address."""
        return f"https://127.0.0.1:{self._port}"

    @property
    def settings(self) -> dict[str, str]:
        """What a poster needs to know of it."""
        return {
            "V2G_CLEARINGHOUSE_URL": self.url,
            "V2G_CLEARINGHOUSE_TOKEN_FILE": str(self._token),
            "V2G_CLEARINGHOUSE_CA_FILE": str(self._authority.certificate),
            "V2G_CLEARINGHOUSE_KEY_FILE": f"{self._signs}.pub",
            "V2G_SETTLEMENT_KEY_FILE": str(self._place.key_file),
            "V2G_SETTLEMENT_CERT_FILE": str(self._place.certificate),
        }

    def partner(self, dsn: str) -> Clearinghouse:
        """The same for a poster in this process."""
        given = {name.removeprefix("V2G_").lower(): value for name, value in self.settings.items()}
        settings = Settings.model_validate({**given, "database_url": dsn})
        return clearinghouse_of(settings, keys=KeySettings.model_validate(given))

    def answers(self) -> bool:
        """Whether it is up."""
        try:
            return self._get("/healthz").is_success
        except httpx.HTTPError:
            return False

    def ledger(self) -> dict[str, Any]:
        """What really took effect; a simulator tells, no partner would."""
        found: dict[str, Any] = self._get("/v1/ledger").raise_for_status().json()
        return found

    def statement(self) -> bytes:
        """What it says it paid, as CSV."""
        return self._get("/v1/statement").raise_for_status().content

    def _get(self, path: str) -> httpx.Response:
        return httpx.get(
            self.url + path,
            headers={"Authorization": f"Bearer {self._token.read_text().strip()}"},
            verify=ssl.create_default_context(cafile=self._authority.certificate),
            timeout=TIMEOUT_S,
            trust_env=False,
        )
