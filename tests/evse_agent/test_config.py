"""The configuration: every error names the key, what was found, what was expected; nothing is ignored."""

import json
from pathlib import Path

import pytest

from evse_agent import config
from evse_agent.config_keys import KEYS
from evse_agent.errors import ConfigError

ROOT = Path(__file__).parents[2]
GOOD = {
    "BidirectionalEnabled": True,
    "SettlementInterval": 15,
    "EvseId": "DE*V2G*E1",
    "KeyFile": "/etc/v2g/settlement_private.key",
    "Broker": {"Host": "127.0.0.1"},
    "StoreFile": "/var/lib/v2g-agent/store.db",
    "SocketFile": "/run/v2g-agent/controller.sock",
}


def load(**changes):
    content = {name: value for name, value in (GOOD | changes).items() if value is not None}
    return config.parse(json.dumps(content).encode())


def refusal(**changes) -> str:
    with pytest.raises(ConfigError) as caught:
        load(**changes)
    return str(caught.value)


def test_the_names_are_those_of_the_requirements_and_the_rest_has_defaults():
    loaded = load()

    assert (loaded.bidirectional_enabled, loaded.settlement_interval) == (True, 15)
    assert (loaded.client_id, loaded.broker.port, loaded.broker.window) == ("DE*V2G*E1", 8883, 20)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"SettlementIntervall": 15}, "SettlementIntervall: found an unknown key; expected a key of docs/agent.md; did you mean SettlementInterval?"),
        ({"Broker": {"Host": "127.0.0.1", "port": 1}}, "Broker.port: found an unknown key; expected a key of docs/agent.md; did you mean Broker.Port?"),
        ({"SettlementInterval": None}, "SettlementInterval: found nothing; expected seconds that one packet covers"),
        ({"SettlementInterval": "15"}, 'SettlementInterval: found "15"; expected an integer from 1 to 3600'),
        ({"SettlementInterval": 0}, "SettlementInterval: found 0; expected an integer from 1 to 3600"),
        ({"BidirectionalEnabled": 1}, "BidirectionalEnabled: found 1; expected true or false"),
        ({"KeyFile": None}, "KeyFile: found nothing; expected either KeyFile or Pkcs11"),
        ({"KeyFile": "key.pem"}, 'KeyFile: found "key.pem"; expected an absolute path'),
        ({"Latitude": "52.5"}, "Longitude: found nothing; expected a value, since Latitude is given"),
        ({"Latitude": "91", "Longitude": "0"}, 'Latitude: found "91"; expected degrees'),
        ({"EvseId": "A/B"}, "ClientId: found nothing, and EvseId cannot stand for it; expected text without / + # $"),
        ({"Broker": {"Host": "broker.example"}}, "Broker.CaFile: found nothing, and a broker on another machine; expected TLS"),
        ({"Broker": "broker.example"}, 'Broker: found "broker.example"; expected an object'),
        ({"UploadUrl": "http://x.example", "UploadTokenFile": "/t"}, "UploadUrl: found http to another machine; expected https"),
        ({"UploadUrl": "https://x.example"}, "UploadTokenFile: found nothing; expected a value, since UploadUrl is given"),
        ({"UploadUrl": "https://u:p@x.example", "UploadTokenFile": "/t"}, "a URL without a password"),
        ({"ClockSource": "stated"}, 'ClockOffset: found nothing; expected a value exactly if ClockSource is "stated"'),
        ({"Pkcs11": {"Module": "/m.so"}, "KeyFile": None}, "Pkcs11.Token: found nothing; expected label of the token"),
    ],
)  # fmt: skip
def test_a_wrong_key_is_named_with_what_was_found_and_expected(changes, expected):
    assert expected in refusal(**changes)


def test_all_that_is_wrong_is_said_at_once():
    said = refusal(SettlementInterval=-1, EvseId="", Speed=3)

    assert [line.partition(":")[0] for line in said.splitlines()] == [
        "Speed",
        "SettlementInterval",
        "EvseId",
    ]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"[]", "found a JSON list; expected one JSON object"),
        (b"{", "found no JSON"),
        (b"[" * 50_000, "found no JSON"),
        (b'{"EvseId": "a", "EvseId": "b"}', "EvseId: found this key twice"),
        (b"\xff", "found no JSON"),
    ],
)
def test_what_is_no_object_is_refused(content, expected):
    with pytest.raises(ConfigError, match=expected):
        config.parse(content)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ConfigError, match=r"nothing\.json: found nothing readable"):
        config.load(tmp_path / "nothing.json")


def test_every_key_stands_in_the_documentation_and_nothing_else():
    text = (ROOT / "docs" / "agent.md").read_text().partition("## Every key")[2]

    rows = [line.split("`")[1] for line in text.splitlines() if line.startswith("| `")]

    assert rows == list(KEYS)


def test_the_example_can_be_loaded_and_keeps_the_rules_of_production():
    loaded = config.load(ROOT / "infra" / "evse_agent.example.json")

    assert loaded.bidirectional_enabled is True
    assert loaded.settlement_interval == 15
    assert not loaded.allow_plain_network
    assert loaded.broker.ca_file is not None
    assert loaded.clock_source == "auto"
