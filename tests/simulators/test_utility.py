"""The utility over a real socket."""

import subprocess
import sys

import httpx
import pytest

from simulators.utility import UnusableFeedError, Utility, UtilityFaults, parse_feed
from tests.simulators.evenings import small

TOKEN = "token-of-the-test"


@pytest.fixture
def client():
    with httpx.Client(headers={"Authorization": f"Bearer {TOKEN}"}, timeout=5) as one:
        yield one


def test_it_serves_the_events_and_prices_of_the_evening(client):
    with Utility(small().feed, token=TOKEN) as utility:
        events = client.get(f"{utility.url}/v1/events").json()["events"]
        prices = client.get(f"{utility.url}/v1/prices").json()["prices"]
    assert events == small().feed["events"]
    assert prices == small().feed["prices"]
    assert set(events[0]) == {
        "event_id",
        "program",
        "started_at",
        "ended_at",
        "created_at",
        "status",
    }
    assert set(prices[0]) == {"program", "started_at", "ended_at", "price_per_kwh", "currency"}
    assert isinstance(prices[0]["price_per_kwh"], str)


@pytest.mark.parametrize("given", ["", "Bearer wrong", f"Basic {TOKEN}", TOKEN])
def test_without_the_token_it_answers_401_and_says_what_it_wants(given):
    with Utility(small().feed, token=TOKEN) as utility:
        answer = httpx.get(
            f"{utility.url}/v1/events", headers={"Authorization": given} if given else {}
        )
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == "Bearer"


def test_its_health_is_open_to_all():
    with Utility(small().feed, token=TOKEN) as utility:
        assert httpx.get(f"{utility.url}/healthz").status_code == 200


def test_it_answers_500_so_often_and_then_well(client):
    with Utility(small().feed, token=TOKEN, faults=UtilityFaults(errors_first=2)) as utility:
        statuses = [
            client.get(f"{utility.url}/v1/{what}").status_code
            for what in ("events", "prices", "events")
        ]
        assert statuses == [500, 500, 200]
        assert utility.requests == 3


def test_healthy_ends_its_faults(client):
    with Utility(
        small().feed, token=TOKEN, faults=UtilityFaults(errors_first=9, slow_s=9)
    ) as utility:
        utility.healthy()
        assert client.get(f"{utility.url}/v1/events").status_code == 200


def test_when_slow_it_outlasts_an_impatient_client(client):
    with Utility(small().feed, token=TOKEN, faults=UtilityFaults(slow_s=1.0)) as utility:
        with pytest.raises(httpx.ReadTimeout):
            client.get(f"{utility.url}/v1/events", timeout=0.3)
        assert client.get(f"{utility.url}/healthz", timeout=0.9).status_code == 200


def test_a_withheld_price_is_missing_until_it_is_released(client):
    # given a price that is not known yet
    missing = small().feed["prices"][2]
    faults = UtilityFaults(withheld_prices=frozenset({missing["started_at"]}))

    with Utility(small().feed, token=TOKEN, faults=faults) as utility:
        # when prices are asked for before and after its release
        before = client.get(f"{utility.url}/v1/prices").json()["prices"]
        utility.release_prices()
        after = client.get(f"{utility.url}/v1/prices").json()["prices"]

    # then it is missing first
    assert missing not in before
    assert after == small().feed["prices"]


def test_prices_and_events_can_be_revised(client):
    start = small().feed["prices"][0]["started_at"]
    event = small().feed["events"][0]["event_id"]
    with Utility(small().feed, token=TOKEN) as utility:
        utility.revise_price(start, "0.99000")
        utility.revise_event(event, status="cancelled")
        prices = client.get(f"{utility.url}/v1/prices").json()["prices"]
        events = client.get(f"{utility.url}/v1/events").json()["events"]
    assert prices[0]["price_per_kwh"] == "0.99000"
    assert events[0]["status"] == "cancelled"
    assert small().feed["prices"][0]["price_per_kwh"] != "0.99000"


def test_what_is_not_there_cannot_be_revised():
    with Utility(small().feed, token=TOKEN) as utility:
        with pytest.raises(KeyError):
            utility.revise_price("2020-01-01T00:00:00Z", "1")
        with pytest.raises(KeyError):
            utility.revise_event("NONE", status="cancelled")


def test_a_new_feed_replaces_the_old_one_and_a_bad_one_is_refused(client):
    with Utility(small().feed, token=TOKEN) as utility:
        refused = client.put(f"{utility.url}/v1/feed", content=b'{"events": []}')
        taken = client.put(f"{utility.url}/v1/feed", json={"events": [], "prices": []})
        events = client.get(f"{utility.url}/v1/events").json()["events"]
    assert refused.status_code == 400
    assert "prices" in refused.json()["error"]
    assert taken.status_code == 200
    assert events == []


@pytest.mark.parametrize(
    "text", [b"", b"[]", b"{}", b'{"events": [1], "prices": []}', b"[" * 100_000]
)
def test_an_unusable_feed_is_refused(text):
    with pytest.raises(UnusableFeedError):
        parse_feed(text)


def test_it_runs_as_a_process_of_its_own_and_says_its_address_first(tmp_path, client):
    # given its files
    (tmp_path / "token").write_text(TOKEN + "\n")
    (tmp_path / "feed.json").write_text('{"events": [], "prices": []}')
    command = ["--feed", str(tmp_path / "feed.json"), "--token-file", str(tmp_path / "token")]

    # when it is started
    with subprocess.Popen(
        [sys.executable, "-m", "simulators.utility", *command], stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout is not None
            url = process.stdout.readline().strip()

            # then it serves at the address that it prints
            assert client.get(f"{url}/v1/events").json() == {"events": []}
        finally:
            process.terminate()
            process.wait(timeout=10)
