"""What counts as this machine, where a connection without TLS may go."""

import pytest

from settlement.hosts import is_loopback


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.9.9.9", "::1"])
def test_this_machine_is_known_by_its_own_names(host):
    assert is_loopback(host)


@pytest.mark.parametrize(
    "host", ["0.0.0.0", "::", "10.0.0.5", "192.168.1.1", "localhost.example.com", "mqtt", "", "LOCALHOST "]  # noqa: S104 - nothing is bound
)  # fmt: skip
def test_every_other_name_may_be_another_machine(host):
    assert not is_loopback(host)
