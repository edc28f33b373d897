"""What a host's name gives, asked once; and which addresses may be called.

A name is resolved when a destination is configured, and never again: what it gives later changes
nothing (DNS rebinding). Which addresses are public is written here as what is allowed, as libraries that
list what is not pass some: ``is_global`` of Python 3.11.7 passes 192.0.0.8 and 64:ff9b::7f00:1.
"""

import socket
import threading
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final, TypeAlias

from tasks.notices.errors import DestinationRefusedError
from tasks.notices.urls import Url

Resolver: TypeAlias = Callable[[str, int], Sequence[str]]
"""Addresses of a name, for a port. Raises OSError where there are none."""

ADDRESSES_MAX: Final = 8

_UNICAST_6: Final = IPv6Network("2000::/3")
"""All that IANA has given out for global unicast."""
_NOT_PUBLIC_4: Final = tuple(
    map(
        ip_network,
        (
            "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16",
            "172.16.0.0/12", "192.0.0.0/24", "192.0.2.0/24", "192.31.196.0/24", "192.52.193.0/24",
            "192.88.99.0/24", "192.168.0.0/16", "192.175.48.0/24", "198.18.0.0/15",
            "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/3",
        ),
    )
)  # fmt: skip
"""IANA's registry of special addresses, multicast and everything reserved."""
_NOT_PUBLIC_6: Final = tuple(
    map(ip_network, ("2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20"))
)
"""Within 2000::/3: protocol assignments and Teredo, documentation, 6to4 (which carries any IPv4)."""
_INTERNAL: Final = tuple(
    map(
        ip_network,
        (
            "127.0.0.0/8", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10",
            "::1/128", "fc00::/7",
        ),
    )
)  # fmt: skip
"""This machine and private networks: for hosts that are marked as internal."""


def resolve(host: str, port: int) -> list[str]:
    """The system's answer for a name. Raises OSError."""
    answers = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [str(answer[4][0]) for answer in answers]


def pinned(url: Url, *, internal: bool, resolver: Resolver, deadline_s: float) -> tuple[str, ...]:
    """The addresses of a destination, to be called from now on.

    Args:
        url: its host is a name, or the one address.
        internal: whether this machine and private networks are allowed, too.
        resolver: asked once.
        deadline_s: for its answer.

    Raises:
        DestinationRefusedError: no address, or one among them that may not be called.
    """
    given = [url.host] if url.is_literal else _asked(url, resolver, deadline_s)
    addresses = sorted(dict.fromkeys(given), key=lambda text: ":" in text)
    if not 0 < len(addresses) <= ADDRESSES_MAX:
        found = f"{len(addresses)} addresses for {url.host}"
        raise DestinationRefusedError("url", found, f"1 to {ADDRESSES_MAX}")
    require_callable(url.host, addresses, internal=internal)
    return tuple(addresses)


def require_callable(host: str, addresses: Iterable[str], *, internal: bool) -> None:
    """Raise DestinationRefusedError unless each of the addresses may be called."""
    for text in addresses:
        try:
            address = ip_address(text)
        except ValueError:
            address = IPv4Address(0)
        if not (is_public(address) or (internal and _is_internal(address))):
            raise DestinationRefusedError(
                "url",
                f"{host} has the address {text[:60]!r}, which is not public",
                "public addresses only (or `internal` beside the host in the file of allowed hosts)",
            )


def is_public(address: IPv4Address | IPv6Address) -> bool:
    """Whether an address is a place in the internet, and nothing else.

    >>> [
    ...     is_public(ip_address(a))
    ...     for a in ("8.8.8.8", "192.0.0.8", "::ffff:8.8.8.8", "64:ff9b::7f00:1")
    ... ]
    [True, False, False, False]
    """
    if isinstance(address, IPv4Address):
        return not any(address in network for network in _NOT_PUBLIC_4)
    if address.scope_id is not None or address not in _UNICAST_6:
        return False
    return not any(address in network for network in _NOT_PUBLIC_6)


def _is_internal(address: IPv4Address | IPv6Address) -> bool:
    """This machine, or a private network."""
    return any(address.version == one.version and address in one for one in _INTERNAL)


def _asked(url: Url, resolver: Resolver, deadline_s: float) -> Sequence[str]:
    """The resolver's answer, or a refusal: it may block for longer than anybody wants to wait."""
    answer: Future[Sequence[str]] = Future()

    def ask() -> None:
        try:
            answer.set_result(resolver(url.host, url.port))
        except OSError as error:
            answer.set_exception(error)

    # A thread of its own, which nobody joins: the pool's would keep its process from ending.
    threading.Thread(target=ask, name="resolve", daemon=True).start()
    try:
        return answer.result(timeout=deadline_s)
    except (OSError, TimeoutError) as error:
        raise DestinationRefusedError(
            "url", f"no address for {url.host} ({type(error).__name__})", "a name that resolves"
        ) from error
