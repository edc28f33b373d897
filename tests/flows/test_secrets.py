"""S21 on a real Prefect server: no secret in a parameter, a state, a log line, a result or an artifact."""

from pathlib import Path

import pytest

from simulators.clearinghouse import WELL_BEHAVED, ClearingHouse
from tests import canary
from tests.canary import Canary
from tests.chaos.setting import book, made, now
from tests.flows.test_on_a_server import HERE
from tests.tasks.posting.keys import made_in


@HERE
@pytest.mark.slow
def test_s21_prefect_knows_no_secret_whether_a_run_ends_well_or_falls_over(
    prefect_server, environment, monkeypatch, tmp_path
):
    from flows.post_pending import post_pending

    # given a run of posting, with canaries for token and passphrase
    token, passphrase = Canary(), Canary()
    files = (token.file(tmp_path / "token"), passphrase.file(tmp_path / "passphrase"))
    place = made_in(tmp_path / "key", now=now(), passphrase_file=files[1]).place
    monkeypatch.setenv("V2G_CLEARINGHOUSE_TOKEN_FILE", str(files[0]))
    monkeypatch.setenv("V2G_SETTLEMENT_KEY_FILE", str(place.key_file))
    monkeypatch.setenv("V2G_SETTLEMENT_PASSPHRASE_FILE", str(files[1]))
    book(environment, made(1, 5), at=now())
    with ClearingHouse(
        token=token.value, misbehaviour=WELL_BEHAVED, require_key=place.certificate
    ) as house:
        monkeypatch.setenv("V2G_CLEARINGHOUSE_URL", house.url)
        # when it ends well, and when it falls over with both in its hands
        good = post_pending(return_state=True)
        monkeypatch.setattr("tasks.posting.draining.Queue.opened", None)
        bad = post_pending(return_state=True)
    assert (good.name, bad.type.value) == ("AllPosted", "FAILED")
    # then the server's database and logs, and what the run left in its home, show neither
    for one, file in zip((token, passphrase), files, strict=True):
        assert canary.in_files(one, [Path(prefect_server.folder), tmp_path], but=[file]) == []
        assert canary.in_database(one, environment) == []
        assert canary.in_processes(one) == []
