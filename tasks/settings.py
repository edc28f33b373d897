"""What the steps take from the environment: V2G_* variables, checked once, at the door.

Secrets are never values here, only paths: the file is read when it is needed, and its permissions
are checked then (``storage.secrets``).
"""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from pydantic import Field, HttpUrl
from pydantic_settings import BaseSettings, SettingsConfigDict

from grid.config import GridConfig
from grid.config_file import read_config
from settlement.hosts import is_loopback
from storage.secrets import read_secret
from tasks.posting.clearinghouse import Clearinghouse
from tasks.posting.key_settings import KeySettings
from tasks.posting.settlement_key import (
    ASK,
    PARTNER_FILE,
    UnsignedError,
    check_certificate,
    load,
    read_partner_key,
)
from tasks.posting.signing import Signer, Verifier


class Settings(BaseSettings):
    """Settings of judging, settling, posting and fetching; of the command line and of each run."""

    model_config = SettingsConfigDict(env_prefix="V2G_", frozen=True, extra="ignore")

    database_url: str = Field(
        min_length=1,
        description="libpq connection string without a user, such as"
        " 'host=/run/postgresql dbname=v2g'; each step connects in its own role",
    )
    grid_file: Path | None = Field(
        default=None,
        description="YAML file of the grid's feeds of events and prices, as docs/grid.md has it;"
        " without one no feed is read",
    )
    clearinghouse_url: HttpUrl = Field(
        default=HttpUrl("http://127.0.0.1:8082"), description="root of the clearinghouse"
    )
    clearinghouse_token_file: Path | None = Field(
        default=None, description="file with the bearer token for the clearinghouse, mode 0600"
    )
    clearinghouse_ca_file: Path | None = Field(
        default=None,
        description="PEM file of the authority that the clearinghouse's TLS certificate comes from,"
        " instead of the public ones",
    )
    settle_grace_minutes: int = Field(
        default=15,
        ge=0,
        le=7 * 24 * 60,
        description="minutes for which a period waits for late packets before it is first settled",
    )
    oracle_share_ppm: int = Field(
        default=10_000,
        ge=0,
        le=1_000_000,
        description="millionths of a run's vehicles that the oracle settles again, and holds the run"
        " on any difference; of small runs more, up to 200 lines; 0 switches it off",
    )
    operator_url: str = Field(
        default="",
        pattern=r"^(https?://\S+)?$",
        description="root of the HTTP service as people reach it, such as https://v2g.example: runs' pages"
        " link to quality reports, statements and held periods there; without it they have no links",
    )
    judge_threads: int = Field(
        default=3,
        ge=1,
        le=256,
        description="signatures checked at once; one more than cores is best",
    )
    payees_file: Path | None = Field(
        default=None,
        description="CSV of accounts at banks, mode 0600 (account, name, iban, bic), for files of payouts"
        " and banks' notifications",
    )
    debtor_name: str = Field(default="", description="whose account files of payouts are paid from")
    debtor_iban: str = Field(default="", description="IBAN of that account")
    debtor_bic: str = Field(default="", description="BIC of its bank, where the bank wants it")
    dispute_days: int = Field(
        default=70, ge=1, le=3650, description="days until the deadline of a dispute with a partner"
    )
    reconcile_tolerance: str = Field(
        default="2d",
        pattern=r"^[0-9]{1,6}[smhd]$",
        description="how long before the end of a reconciled period a payment may still be under way",
    )
    post_limit: int = Field(
        default=10_000, ge=1, le=1_000_000, description="postings that one run sends at most"
    )
    post_concurrency: int = Field(
        default=8, ge=1, le=256, description="calls to the clearinghouse that may be out at once"
    )
    post_retry_share_percent: int = Field(
        default=20,
        ge=0,
        le=100,
        description="of the calls to the clearinghouse that may be retries while first attempts wait;"
        " beside it, one retry a second",
    )
    clearinghouse_asks_status: bool = Field(
        default=True,
        description="whether the clearinghouse can be asked if it holds a posting"
        " (GET /v1/postings/ID), which is done before sending again what stands in doubt",
    )

    @property
    def settle_grace(self) -> timedelta:
        """``settle_grace_minutes`` as a duration."""
        return timedelta(minutes=self.settle_grace_minutes)


def grid_of(settings: Settings) -> GridConfig:
    """The grid's feeds; none where no file is set. Raises GridConfigError."""
    return GridConfig(feeds=()) if settings.grid_file is None else read_config(settings.grid_file)


def clearinghouse_of(
    settings: Settings,
    *,
    clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    keys: KeySettings | None = None,
) -> Clearinghouse:
    """Where postings go, what signs them, and by what key its answers are verified.

    Args:
        settings: address and token.
        clock: what is signed, and how long keys count, goes by it.
        keys: the keys; not given: from the environment.

    Raises:
        InsecureSecretError: a token file that others could read.
        SettlementKeyError: a key or certificate that does not count now, or none for a clearinghouse
            that is not on this machine. Nothing may be claimed from the outbox then.
    """
    keys = keys or KeySettings()
    url = str(settings.clearinghouse_url).rstrip("/")
    token_file = settings.clearinghouse_token_file
    signer = None if keys.place is None else Signer(load(keys.place), clock=clock)
    if signer is not None:
        signer.check()
    elif not is_loopback((settings.clearinghouse_url.host or "").strip("[]")):
        raise UnsignedError(url)
    return Clearinghouse(
        url=url,
        token="" if token_file is None else read_secret(token_file),
        ca_file=settings.clearinghouse_ca_file,
        signer=signer,
        verifier=_verifier(keys, clock),
        asks_status=settings.clearinghouse_asks_status,
        retry_share_percent=settings.post_retry_share_percent,
    )


def _verifier(keys: KeySettings, clock: Callable[[], datetime]) -> Verifier | None:
    path = keys.clearinghouse_key_file
    if path is None:
        return None
    public, certificate = read_partner_key(path)
    if certificate is not None:
        check_certificate(certificate, f"{PARTNER_FILE} {path}", clock(), ASK)
    return Verifier(public, clock=clock, rsa_algorithm=keys.clearinghouse_rsa_algorithm)
