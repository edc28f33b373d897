"""What the steps read from the environment, and what they refuse."""

import pytest
from pydantic import ValidationError

from tasks.settings import Settings, grid_of


@pytest.fixture(autouse=True)
def bare(monkeypatch):
    import os

    for name in os.environ:
        if name.startswith("V2G_"):
            monkeypatch.delenv(name)


def test_only_the_database_must_be_named(monkeypatch):
    monkeypatch.setenv("V2G_DATABASE_URL", "host=/run/postgresql dbname=v2g")

    settings = Settings()

    assert settings.database_url == "host=/run/postgresql dbname=v2g"
    assert settings.settle_grace.total_seconds() == 15 * 60
    assert grid_of(settings).feeds == ()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("V2G_DATABASE_URL", ""),
        ("V2G_SETTLE_GRACE_MINUTES", "-1"),
        ("V2G_SETTLE_GRACE_MINUTES", "soon"),
        ("V2G_CLEARINGHOUSE_URL", "file:///etc/passwd"),
        ("V2G_JUDGE_THREADS", "0"),
        ("V2G_ORACLE_SHARE_PPM", "-1"),
        ("V2G_ORACLE_SHARE_PPM", "1000001"),
        ("V2G_POST_LIMIT", "0"),
    ],
)
def test_a_value_out_of_bounds_is_refused_by_name(monkeypatch, name, value):
    monkeypatch.setenv("V2G_DATABASE_URL", "dbname=v2g")
    monkeypatch.setenv(name, value)

    with pytest.raises(ValidationError, match=name.removeprefix("V2G_").lower()):
        Settings()


def test_settings_do_not_change_once_read(monkeypatch):
    monkeypatch.setenv("V2G_DATABASE_URL", "dbname=v2g")
    settings = Settings()

    with pytest.raises(ValidationError):
        settings.__setattr__("post_limit", 5)
