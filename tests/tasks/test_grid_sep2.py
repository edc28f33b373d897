"""A utility's server of IEEE 2030.5, over mutual TLS, through the whole step into the database."""

from datetime import timedelta
from hashlib import sha256
from typing import Any

import psycopg
import pytest
import yaml

from grid.config import FileConfig, GridConfig
from grid.sep2.feed import Sep2Feed
from storage import feeds, secrets
from storage.engine import Role, connect
from tasks.grid import GridSummary, sync_grid
from tests.grid.sep2.site import Utility, utility


@pytest.fixture
def site(tmp_path) -> Utility:
    return utility(tmp_path)


def rows(dsn: str, query: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(dsn, user="v2g") as conn:
        return conn.execute(query).fetchall()


def sync(dsn: str, site: Utility, config: GridConfig, **words) -> GridSummary:
    def opener(one, _):
        if isinstance(one, FileConfig):
            from grid.file_feed import open_feed

            return open_feed(one, secrets)
        return Sep2Feed(one, secrets, monotonic=site.time.monotonic, sleep=site.time.sleep)

    return sync_grid(dsn, config, secrets=secrets, clock=site.time.now, opener=opener, **words)


def test_an_event_goes_from_its_announcement_to_its_cancellation_and_is_answered(
    plain_database, site
):
    # given an event to come, and the price of what is exported in it
    soon = site.time.second + timedelta(minutes=10)
    program = site.world.add_program("Grid stress", primacy=1)
    control = site.world.add_control(
        program, start=soon, duration_s=1800, modes={"opModTargetW": 5_000}
    )
    export = site.world.add_rate(site.world.add_tariff("RTP export"))
    site.world.add_price(export, start=soon, duration_s=1800, price="0.2145")

    # when the feed is read whenever it wants to be, and the event is cancelled as it runs
    with site.serve() as server:
        config = GridConfig(feeds=(site.config(server.url),))
        first = sync(plain_database, site, config)
        again = sync(plain_database, site, config, due_only=False)
        site.time.go_to(soon + timedelta(minutes=5))
        running = sync(plain_database, site, config)
        site.world.cancel(control, at=site.time.second)
        site.time.sleep(900)
        cancelled = sync(plain_database, site, config)

    # then every version is kept, on the document that said it
    for summary in (first, again, running, cancelled):
        assert [one.error for one in summary.feeds] == [""]
    assert (first.news, again.news) == (2, 0)
    assert rows(
        plain_database,
        "select status, program, site_group, primacy, modes from event_version order by version",
    )[0] == ("scheduled", "energy", "g", 1, ["opModTargetW"])
    assert rows(
        plain_database,
        "select status, cancelled_at from event_version order by version desc limit 1",
    ) == [("cancelled", soon + timedelta(minutes=5))]
    assert rows(plain_database, "select price_micros_per_kwh, currency from price_version") == [
        (214_500, "USD")
    ]
    kept = dict(rows(plain_database, "select digest, body from grid_document"))
    assert all(sha256(body).digest() == digest for digest, body in kept.items())
    cited = rows(
        plain_database, "select source from event_version union select digest from price_version"
    )
    assert {digest for (digest,) in cited} <= kept.keys()

    # and each device has answered what became of it, once: received, started, cancelled
    for lfdi in site.devices:
        assert site.world.statuses(control, lfdi) == [1, 2, 6]
    assert rows(plain_database, "select distinct state, tries from grid_response") == [
        ("posted", 1)
    ]

    # and how far its clock is off stands in the state of the feed
    with connect(plain_database, Role.READ) as conn:
        state = feeds.feed_states(conn)["utility"]
    assert state.clock_offset_us is not None
    assert state.clock_uncertainty_us is not None
    assert abs(state.clock_offset_us) <= state.clock_uncertainty_us <= 25_000


def test_a_server_whose_clock_is_off_does_not_stop_the_prices_of_other_programs(
    plain_database, tmp_path
):
    # given a server two seconds off, with an event, and a file with the prices of another program
    site = utility(tmp_path, offset_s=2.0)
    program = site.world.add_program("Grid stress")
    start = site.time.second + timedelta(minutes=10)
    site.world.add_control(program, start=start, duration_s=600, modes={"opModTargetW": 5_000})
    path = tmp_path / "prices.csv"
    path.write_text(
        "started_at,ended_at,price_per_kwh,currency\n"
        "2026-07-01T17:00:00Z,2026-07-01T18:00:00Z,0.42,USD\n"
    )

    # when both are read
    with site.serve() as server:
        day = FileConfig(name="day", kind="file", path=path, program="other")
        summary = sync(plain_database, site, GridConfig(feeds=(site.config(server.url), day)))

    # then nothing of the server is in force, nothing is answered, and the prices are there
    server_, file_ = summary.feeds
    assert "ahead of ours; expected at most 50 ms" in server_.error
    assert (file_.error, file_.prices_new) == ("", 1)
    assert rows(plain_database, "select 1 from event_version") == []
    assert site.world.answers == []
    with connect(plain_database, Role.READ) as conn:
        state = feeds.feed_states(conn)["utility"]
    assert state.read_at is None
    assert state.clock_offset_us is not None
    assert state.clock_uncertainty_us is not None
    assert abs(state.clock_offset_us - 2_000_000) <= state.clock_uncertainty_us


def test_the_feed_is_opened_by_its_kind_from_the_file(plain_database, tmp_path):
    # given a file that names keys which are not there
    path = tmp_path / "grid.yaml"
    feed = {
        "name": "utility",
        "kind": "ieee2030.5",
        "url": "https://127.0.0.1:1/dcap",
        "certificate": "client.pem",
        "key": "client.key",
        "ca": "ca.pem",
    }
    path.write_text(yaml.safe_dump({"feeds": [feed]}))
    from grid.config_file import read_config

    # when it is read
    site = utility(tmp_path)
    summary = sync_grid(plain_database, read_config(path), secrets=secrets, clock=site.time.now)

    # then the trouble is told by the name that operators look for
    assert summary.failed[0].error.startswith("ERR_AUTH_EXPIRED: certificate")
