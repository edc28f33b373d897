"""Which addresses mean this machine: where a connection without TLS may go."""

from ipaddress import ip_address


def is_loopback(host: str) -> bool:
    """Whether a host name or address means this machine and no other.

    >>> (
    ...     is_loopback("127.0.0.1"),
    ...     is_loopback("::1"),
    ...     is_loopback("localhost"),
    ...     is_loopback("0.0.0.0"),
    ... )
    (True, True, True, False)
    """
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False
