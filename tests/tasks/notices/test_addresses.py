"""S17: what a name resolves to decides, not what it is called; and it decides once."""

import threading
import time
from ipaddress import ip_address

import pytest

from tasks.notices.addresses import is_public, pinned
from tasks.notices.errors import DestinationRefusedError
from tasks.notices.urls import parse

URL = parse("https://hooks.example.com/v2g")
PUBLIC = ["8.8.8.8", "1.1.1.1", "2001:4860:4860::8888", "2606:4700::1"]
NOT_PUBLIC = [
    "0.0.0.0", "0.1.2.3", "10.0.0.1", "100.64.0.1", "127.0.0.1", "127.1.2.3", "169.254.169.254",  # noqa: S104 - refused here
    "172.16.0.1", "192.0.0.8", "192.0.0.170", "192.0.2.1", "192.88.99.1", "192.168.1.1",
    "198.18.0.1", "198.51.100.1", "203.0.113.1", "224.0.0.1", "239.1.1.1", "240.0.0.1",
    "255.255.255.255",
    "::", "::1", "::ffff:127.0.0.1", "::ffff:8.8.8.8", "::127.0.0.1", "64:ff9b::7f00:1",
    "64:ff9b::808:808", "64:ff9b:1::1", "100::1", "2001::1", "2001:db8::1", "2002:7f00:1::",
    "3fff::1", "fc00::1", "fd00::1", "fe80::1", "fe80::1%eth0", "fec0::1", "ff02::1", "4000::1",
]  # fmt: skip


def ask(addresses, *, internal=False, deadline_s=2.0):
    resolver = addresses if callable(addresses) else lambda _host, _port: addresses
    return pinned(URL, internal=internal, resolver=resolver, deadline_s=deadline_s)


@pytest.mark.parametrize("address", NOT_PUBLIC)
def test_s17_an_address_that_is_not_public_is_refused_also_among_others(address):
    assert not is_public(ip_address(address))
    for answer in ([address], ["8.8.8.8", address], [address, "8.8.8.8"]):
        with pytest.raises(DestinationRefusedError, match="not public"):
            ask(answer)


@pytest.mark.parametrize("address", PUBLIC)
def test_a_public_address_is_pinned(address):
    assert ask([address, address]) == (address,)


def test_addresses_are_pinned_once_each_ipv4_first():
    answer = ["2606:4700::1", "8.8.8.8", "8.8.8.8", "1.1.1.1"]
    assert ask(answer) == ("8.8.8.8", "1.1.1.1", "2606:4700::1")


@pytest.mark.parametrize("address", ["127.0.0.1", "10.1.2.3", "::1", "fd00::1"])
def test_a_host_that_is_marked_as_internal_may_be_at_home(address):
    assert ask([address], internal=True) == (address,)


@pytest.mark.parametrize(
    "address",
    ["0.0.0.0", "169.254.169.254", "224.0.0.1", "255.255.255.255", "::", "::ffff:127.0.0.1",  # noqa: S104 - refused here
     "64:ff9b::7f00:1", "fe80::1%eth0", "ff02::1"],
)  # fmt: skip
def test_s17_even_then_some_addresses_are_nobodys(address):
    with pytest.raises(DestinationRefusedError):
        ask([address], internal=True)


@pytest.mark.parametrize("answer", [[], ["8.8.8.8"] * 0, [f"8.8.8.{n}" for n in range(9)], ["no"]])
def test_no_address_too_many_and_none_at_all_are_refused(answer):
    with pytest.raises(DestinationRefusedError):
        ask(answer)


def test_a_resolver_that_fails_or_never_answers_is_a_refusal_within_the_deadline():
    def fails(_host, _port):
        raise OSError("no such name")

    never = threading.Event()

    def hangs(_host, _port):
        never.wait(30)
        return ["8.8.8.8"]

    started = time.monotonic()
    for resolver in (fails, hangs):
        with pytest.raises(DestinationRefusedError, match="no address"):
            ask(resolver, deadline_s=0.2)
    assert time.monotonic() - started < 5
    never.set()
