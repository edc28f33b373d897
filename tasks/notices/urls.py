r"""Which texts are a destination: one spelling per address, and whatever is spelt otherwise is refused.

A URL that two readers take apart differently is how an allow-list is got around (a backslash, a second
``@``, a tab). So nothing is normalised here: the text is the canonical form, or it is refused.

    https://HOST[:PORT][/PATH]

HOST is lower-case ASCII labels (names with other letters in their ``xn--`` form) without a dot at the
end, or an IP address as Python writes it; PORT is decimal and not 443, which is left out; PATH is
unreserved characters, sub-delimiters and whole escapes (RFC 3986 §3.3), without ``.`` and ``..``, without
escaped control characters, slashes or dots. No user, query or fragment: the token has a field of its own.
"""

import re
from dataclasses import dataclass
from ipaddress import AddressValueError, IPv4Address, IPv6Address
from typing import Final

from tasks.notices.errors import DestinationRefusedError

URL_MAX_CHARS: Final = 1024
HTTPS: Final = 443
PORT_MAX: Final = 65535

_URL: Final = re.compile(
    r"https://(?P<host>\[[0-9a-f:.]+\]|[a-z0-9.-]+)(?::(?P<port>[1-9][0-9]{0,4}))?"
    r"(?P<path>/(?:[A-Za-z0-9._~!$&'()*+,;=:@/-]|%[0-9A-F]{2})*)?"
)
_LABEL: Final = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
_NAME_MAX: Final = 253
_ESCAPED: Final = re.compile(r"%(?:[01][0-9A-F]|7F|2E|2F|5C)")
"""Control characters, dot, slash and backslash: read as themselves by some servers."""
_EXPECTED: Final = (
    "https://HOST[:PORT][/PATH] in one spelling: lower case, no user, query, fragment, dot at the end,"
    " port 443, backslash or control character"
)


@dataclass(frozen=True, slots=True)
class Url:
    """A destination, taken apart.

    Attributes:
        text: as it was given; the one way to write it.
        host: a name, or an IP address without brackets.
        port: 443 where none was given.
        path: at least ``/``.
        is_literal: whether the host is an IP address.
    """

    text: str
    host: str
    port: int
    path: str
    is_literal: bool

    @property
    def authority(self) -> str:
        """What goes into the header Host."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == HTTPS else f"{host}:{self.port}"


def parse(text: str, *, where: str = "url") -> Url:
    """Take a destination apart.

    Raises:
        DestinationRefusedError: it is not written in the one way; the text is not quoted, as it may
            hold a password.

    >>> parse("https://hooks.example.com/v2g").host
    'hooks.example.com'
    >>> parse("https://Hooks.example.com/v2g")
    Traceback (most recent call last):
    ...
    tasks.notices.errors.DestinationRefusedError: url: not in that form; expected https://HOST...
    """
    if len(text) > URL_MAX_CHARS:
        raise DestinationRefusedError(where, f"{len(text)} characters", f"at most {URL_MAX_CHARS}")
    found = _URL.fullmatch(text)
    if found is None:
        raise DestinationRefusedError(where, _wrong(text), _EXPECTED)
    path = found["path"] or "/"
    if {".", ".."} & set(path.split("/")) or _ESCAPED.search(path) or "//" in path:
        raise DestinationRefusedError(where, "a path that can be read in two ways", _EXPECTED)
    port = int(found["port"] or HTTPS)
    if port > PORT_MAX or (found["port"] and port == HTTPS):
        raise DestinationRefusedError(where, f"port {port}", "another port up to 65535, or none")
    host, is_literal = read_host(found["host"], where=where)
    return Url(text, host, port, path, is_literal)


def read_host(text: str, *, where: str) -> tuple[str, bool]:
    """A host in its one spelling, and whether it is an IP address.

    Raises:
        DestinationRefusedError: neither a name nor an address in its one spelling.
    """
    if text.startswith("["):
        return _literal(IPv6Address, text[1:-1], where), True
    labels = text.split(".")
    # A last label of digits (or 0x…) is an address to most resolvers: 127.1, 2130706433, 0x7f.1.
    if re.fullmatch(r"[0-9]+|0x[0-9a-f]*", labels[-1]):
        return _literal(IPv4Address, text, where), True
    if len(text) > _NAME_MAX or not all(_LABEL.fullmatch(label) for label in labels):
        raise DestinationRefusedError(where, "a host that is no name", _EXPECTED)
    return text, False


def _literal(kind: type[IPv4Address] | type[IPv6Address], text: str, where: str) -> str:
    try:
        canonical = str(kind(text))
    except AddressValueError:
        canonical = ""
    if canonical != text:
        raise DestinationRefusedError(where, "an address in another spelling", "the usual one")
    return text


def _wrong(text: str) -> str:
    """The first thing that is wrong, without quoting anything of the text."""
    if not text.isascii():
        return "characters beyond ASCII"
    if not text.isprintable() or " " in text:
        return "white space or control characters"
    if not text.startswith("https://"):
        return "not https://"
    authority, _, rest = text.removeprefix("https://").partition("/")
    for sign, name in (("\\", "a backslash"), ("?", "a query"), ("#", "a fragment")):
        if sign in text:
            return name
    if "@" in authority or "%" in authority:
        return "a user, or an escape, before the path"
    return (
        "another character"
        if rest and _URL.fullmatch(f"https://{authority}")
        else "not in that form"
    )
