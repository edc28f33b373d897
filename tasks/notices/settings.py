"""Files and bounds of notices, from the environment: V2G_* variables, the same for every program."""

from datetime import timedelta
from pathlib import Path

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class NoticeSettings(BaseSettings):
    """Where notices may go and what seals their token; of the HTTP service, `v2g webhook` and runs."""

    model_config = SettingsConfigDict(env_prefix="V2G_", frozen=True, extra="ignore")

    webhook_allow_file: Path | None = Field(
        default=None,
        description="file of hosts that notices may go to, one per line, which only root or its user"
        " writes; without one no destination can be configured (docs/webhook.md)",
    )
    webhook_ca_file: Path | None = Field(
        default=None,
        description="certificates to trust instead of the public ones; checking cannot be switched off",
    )
    seal_key_file: Path | None = Field(
        default=None,
        description="file with the key that seals the destination's token in the database: 64"
        " hexadecimal digits, mode 0600",
    )
    notice_days: int = Field(
        default=7, ge=1, le=365, description="days after which an undelivered notice is dead"
    )
    notice_concurrency: int = Field(
        default=4, ge=1, le=32, description="notices that are sent at the same time"
    )
    notice_limit: int = Field(
        default=1_000, ge=1, le=100_000, description="notices that one run sends at most"
    )

    @property
    def dead_after(self) -> timedelta:
        """``notice_days`` as a duration."""
        return timedelta(days=self.notice_days)
