"""How long the keys count: 30, 14 and 3 days before the end, each told once."""

from datetime import timedelta

import psycopg
import pytest

from embedded.postgres import SUPERUSER
from tasks import words
from tasks.posting.expiry import Standing, tell, watch
from tasks.posting.key_settings import KeySettings
from tasks.posting.settlement_key import CERTIFICATE, PRIVATE
from tests.tasks.posting.keys import NOW, made_in

ENDS = NOW.replace(microsecond=0) + timedelta(days=397)


@pytest.fixture
def keys(tmp_path, monkeypatch):
    """A settlement key for 397 days, and a partner's in a certificate for 500."""
    made_in(tmp_path / "ours")
    made_in(tmp_path / "theirs", days=500)
    return KeySettings(
        settlement_key_file=tmp_path / "ours" / PRIVATE,
        clearinghouse_key_file=tmp_path / "theirs" / CERTIFICATE,
    )


@pytest.mark.parametrize(
    ("left", "days", "threshold", "standing"),
    [
        (timedelta(days=397), 397, None, Standing.GOOD),
        (timedelta(days=30, seconds=1), 30, None, Standing.GOOD),
        (timedelta(days=30), 30, 30, Standing.ENDS_SOON),
        (timedelta(days=14, seconds=1), 14, 30, Standing.ENDS_SOON),
        (timedelta(days=14), 14, 14, Standing.ENDS_SOON),
        (timedelta(days=3, seconds=1), 3, 14, Standing.ENDS_SOON),
        (timedelta(days=3), 3, 3, Standing.ENDS_SOON),
        (timedelta(seconds=1), 0, 3, Standing.ENDS_SOON),
        (timedelta(0), 0, 0, Standing.OVER),
        (timedelta(days=-1), -1, 0, Standing.OVER),
    ],
)
def test_the_end_is_named_30_14_and_3_days_before_it(keys, left, days, threshold, standing):
    ours, theirs = watch(keys, now=ENDS - left)

    assert (ours.days_left, ours.threshold, ours.standing) == (days, threshold, standing)
    assert (ours.standing is Standing.OVER) == ours.problem.startswith("ERR_AUTH_EXPIRED")
    assert ours.not_after == ENDS
    assert theirs.standing is Standing.GOOD


def test_what_cannot_be_used_says_so_with_the_repair_and_keeps_the_other_from_nothing(keys):
    keys.settlement_key_file.chmod(0o640)
    ours, theirs = watch(keys, now=NOW)
    assert (ours.standing, ours.threshold) == (Standing.OVER, 0)
    assert "run: chmod 600" in ours.problem
    assert theirs.standing is Standing.GOOD
    assert "chmod 600" in words.watched([ours, theirs])


def test_the_partners_key_is_watched_where_a_certificate_says_how_long_it_counts(keys, tmp_path):
    _, theirs = watch(keys, now=NOW + timedelta(days=600))
    assert theirs.standing is Standing.OVER
    assert "ask the clearinghouse for its new key" in theirs.problem
    bare = keys.model_copy(
        update={"clearinghouse_key_file": tmp_path / "theirs" / "settlement_public.pem"}
    )
    _, theirs = watch(bare, now=NOW + timedelta(days=600))
    assert (theirs.standing, theirs.days_left) == (Standing.GOOD, None)
    assert "no certificate says" in words.watched([theirs])


def test_where_nothing_is_configured_there_is_nothing_to_watch():
    assert watch(KeySettings(), now=NOW) == []
    assert words.watched([]) == "no settlement key and no key of the clearinghouse is configured"


def test_each_threshold_is_noted_once(keys, plain_database):
    # given: somebody has said where notices go
    with psycopg.connect(plain_database, user=SUPERUSER, autocommit=True) as conn:
        conn.execute(
            "insert into webhook_destination (destination_id, number, url, addresses, outcome, detail,"
            " changed_by, changed_at, sealed_token, sealed_secret) values (gen_random_uuid(), 1,"
            " 'https://partner.example', '{}', 'in_force', '', 'anna', %s, '', '')",
            [NOW],
        )

    def told(days_left: float) -> int:
        now = ENDS - timedelta(days=days_left)
        return tell(plain_database, watch(keys, now=now), now=now)

    # then
    assert [told(days) for days in (31, 30, 29, 15, 14, 13, 3, 2, -1, -2)] == [
        0,
        1,
        0,
        0,
        1,
        0,
        1,
        0,
        1,
        0,
    ]
    with psycopg.connect(plain_database, user=SUPERUSER) as conn:
        noted = conn.execute(
            "select kind, data->>'days_left', data->>'expires_at' from notice order by occurred_at"
        ).fetchall()
    ends = f"{ENDS:%Y-%m-%dT%H:%M:%SZ}"
    assert noted == [("certificate.expiring", days, ends) for days in ("30", "14", "3", "-1")]
