"""The daily look at the keys of posting: how its run ends by the days that are left."""

from datetime import UTC, datetime, timedelta

import pytest

from tasks.posting.settlement_key import PRIVATE
from tests.tasks.posting.keys import made_in

pytestmark = pytest.mark.usefixtures("here")


@pytest.mark.parametrize(
    ("days", "name", "failed"),
    [
        (None, "NothingToWatch", False),
        (397, "AllValid", False),
        (29, "NeedsAttention", False),
        (0, "AuthExpired", True),
    ],
)
def test_a_run_ends_as_the_days_that_are_left_say(
    environment, monkeypatch, tmp_path, days, name, failed
):
    from flows.watch_certificates import watch_certificates

    # given
    if days is not None:
        made_in(tmp_path / "v2g", now=datetime.now(UTC) - timedelta(days=1), days=days + 1)
        monkeypatch.setenv("V2G_SETTLEMENT_KEY_FILE", str(tmp_path / "v2g" / PRIVATE))

    # when
    state = watch_certificates(return_state=True)

    # then
    message = state.message or ""
    assert (state.name, state.is_failed()) == (name, failed)
    if days:
        assert f"{days - 1} days left" in message
    if failed:
        assert message.startswith("ERR_AUTH_EXPIRED V2G_SETTLEMENT_CERT_FILE")
        assert "v2g keys rotate" in message
