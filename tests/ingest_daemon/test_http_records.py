"""Raw OCMF records, and OCPP's objects with one, at the HTTP intake: real daemon, real database."""

import base64
import json
import uuid
from datetime import UTC, datetime

import pytest

from settlement import packets
from tests.conftest import _fresh_database
from tests.ingest_daemon.harness import Daemon, rows
from tests.ocmf import make_meter, make_record, point
from tests.packets import make_packet


@pytest.fixture(scope="module")
def database(plain_postgres):
    with _fresh_database(plain_postgres) as dsn:
        yield dsn


@pytest.fixture(scope="module")
def http_daemon(database, tmp_path_factory):
    with Daemon(tmp_path_factory.mktemp("daemon"), database) as running:
        yield running


def landed(database: str, meter) -> list[bytes]:
    query = "select packet from raw_packet where evse_id = %s"
    return [bytes(packet) for (packet,) in rows(database, query, f"meter:{meter.meter_id}")]


@pytest.fixture
def meter():
    return make_meter(meter_id=f"M-{uuid.uuid4().hex[:12]}")


@pytest.mark.parametrize("media", ["application/ocmf", "text/plain; charset=utf-8"])
def test_a_record_lands_under_its_meter_where_it_names_no_evse(http_daemon, database, meter, media):
    record = make_record(meter, number=5)

    first = http_daemon.post(record, media=media)
    second = http_daemon.post(record + b"\r\n", media=media)

    assert (first.status_code, second.status_code) == (200, 208)
    assert landed(database, meter) == [record]


def test_ocpps_object_lands_as_it_was_sent(http_daemon, database, meter):
    record = make_record(meter)
    sent = json.dumps(
        {
            "signedMeterData": base64.b64encode(record).decode(),
            "signingMethod": "",
            "encodingMethod": "OCMF",
            "publicKey": "",
        },
        indent=2,
    ).encode()

    answer = http_daemon.post(sent, media="application/json")

    assert (answer.status_code, answer.json()["digest"]) == (
        200,
        packets.split(record).digest.hex(),
    )
    assert landed(database, meter) == [sent]


def test_lines_of_a_batch_may_be_of_any_format(http_daemon, database, meter, key):
    record = make_record(meter)
    # The second is the first in another wrapping: the same signed bytes.
    wrapped = json.dumps({"signedMeterData": record.decode(), "encodingMethod": "OCMF"}).encode()

    answer = http_daemon.post_batch([make_packet(key), record, wrapped])

    assert [item["status"] for item in answer.json()["items"]] == [200, 200, 208]


def test_a_record_of_an_odd_time_is_answered_in_the_words_of_its_format(http_daemon, meter):
    long_ago = datetime(2021, 5, 1, tzinfo=UTC)
    record = make_record(meter, [point(0, at=long_ago), point(15, at=long_ago)])

    answer = http_daemon.post(record, media="application/ocmf")

    assert answer.status_code == 400
    assert answer.json()["error"] == "odd_time"
    assert answer.json()["where"] == "payload.RD, TM of the last reading"
    assert "sign anew what can be" in answer.json()["do"]


def test_a_record_that_is_cut_off_is_answered_with_what_was_wrong(http_daemon, meter):
    answer = http_daemon.post(make_record(meter)[:-40], media="application/ocmf")

    assert (answer.status_code, answer.json()["state"]) == (400, "aside")
    assert answer.json()["error"] == "unreadable"
