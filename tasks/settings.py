"""What the steps take from the environment: V2G_* variables, checked once, at the door.

Secrets are never values here, only paths: the file is read when it is needed, and its permissions
are checked then (``storage.secrets``).
"""

from datetime import timedelta
from pathlib import Path

from pydantic import Field, HttpUrl
from pydantic_settings import BaseSettings, SettingsConfigDict

from storage.secrets import read_secret
from tasks.clearinghouse import Clearinghouse


class Settings(BaseSettings):
    """Settings of judging, settling, posting and fetching; of the command line and of each run."""

    model_config = SettingsConfigDict(env_prefix="V2G_", frozen=True, extra="ignore")

    database_url: str = Field(
        min_length=1,
        description="libpq connection string without a user, such as"
        " 'host=/run/postgresql dbname=v2g'; each step connects in its own role",
    )
    utility_url: HttpUrl = Field(
        default=HttpUrl("http://127.0.0.1:8081"),
        description="root of the utility's feed of events and prices",
    )
    utility_token_file: Path | None = Field(
        default=None, description="file with the bearer token for the utility, mode 0600"
    )
    clearinghouse_url: HttpUrl = Field(
        default=HttpUrl("http://127.0.0.1:8082"), description="root of the clearinghouse"
    )
    clearinghouse_token_file: Path | None = Field(
        default=None, description="file with the bearer token for the clearinghouse, mode 0600"
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
    judge_threads: int = Field(
        default=3,
        ge=1,
        le=256,
        description="signatures checked at once; one more than cores is best",
    )
    post_limit: int = Field(
        default=10_000, ge=1, le=1_000_000, description="postings that one run sends at most"
    )

    @property
    def settle_grace(self) -> timedelta:
        """``settle_grace_minutes`` as a duration."""
        return timedelta(minutes=self.settle_grace_minutes)


def clearinghouse_of(settings: Settings) -> Clearinghouse:
    """Where postings go. Raises InsecureSecretError for a token file that others could read."""
    token_file = settings.clearinghouse_token_file
    return Clearinghouse(
        url=str(settings.clearinghouse_url).rstrip("/"),
        token="" if token_file is None else read_secret(token_file),
    )
