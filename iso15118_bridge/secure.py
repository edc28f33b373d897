"""No session without TLS 1.3, both sides with a certificate; no fallback, no second car.

`iso15118` 0.31.2 opens a plain TCP port when its certificates cannot be loaded, tells the car so, and
goes on, even when it was told to enforce TLS. Here the certificates are checked before the start, an
SDP request is not answered when the port that was opened is not TLS, and every connection has to
prove itself before the library sees it.
"""

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar, Final

from cryptography import x509
from iso15118.secc import SECCHandler, comm_session_handler
from iso15118.secc.transport.tcp_server import TCPServer
from iso15118.shared.exceptions import InvalidSDPRequestError
from iso15118.shared.messages.sdp import create_sdp_response
from iso15118.shared.security import get_ssl_context

from iso15118_bridge.samples import Reason

TLS: Final = "TLSv1.3"
CERTIFICATES: Final = ("cpoCertChain.pem", "seccLeafCert.pem", "oemRootCACert.pem")
KEYS: Final = ("seccLeaf.key", "seccLeafPassword.txt")
"""What the library looks for, in iso15118_2 below the folder it is given, for ISO 15118-20 too."""

Refuse = Callable[[Reason, str], None]


class CertificatesError(ValueError):
    """Certificates that cannot be used; says which file, what was found, and what to do."""


def check_certificates(folder: Path, *, now: datetime) -> str:
    """Until when the charger's certificate is valid, in words.

    Raises:
        CertificatesError: a file is missing, cannot be read, or is out of date.
    """
    places = [folder / "iso15118_2" / "certs" / name for name in CERTIFICATES]
    places += [folder / "iso15118_2" / "private_keys" / name for name in KEYS]
    for place in places:
        if not place.is_file():
            raise CertificatesError(
                f"TLS is required and {place} is missing; make certificates:"
                f" python -m iso15118_bridge.certificates {folder}"
            )
        if place.parent.name == "private_keys" and place.stat().st_mode & 0o077:
            raise CertificatesError(
                f"ERR_AUTH_EXPIRED {place} can be read by others, expected mode 0600; chmod 600 it"
            )
    leaf = x509.load_pem_x509_certificate(places[1].read_bytes())
    if not leaf.not_valid_before_utc <= now < leaf.not_valid_after_utc:
        raise CertificatesError(
            f"ERR_AUTH_EXPIRED {places[1]} is valid from {leaf.not_valid_before_utc.isoformat()} to"
            f" {leaf.not_valid_after_utc.isoformat()}, now is {now.isoformat()}; make it anew"
        )
    if get_ssl_context(True) is None:
        raise CertificatesError(
            f"TLS is required and the certificates in {folder} do not load (the reason stands"
            " above); make them anew"
        )
    return leaf.not_valid_after_utc.astimezone(UTC).isoformat()


def proof(writer: asyncio.StreamWriter) -> tuple[str, str]:
    """(how the connection is secured, "") or ("", what is wrong)."""
    connection = writer.get_extra_info("ssl_object")
    if not isinstance(connection, ssl.SSLObject):
        return "", "the connection is plain TCP"
    if connection.version() != TLS:
        return "", f"found {connection.version()}, expected {TLS}"
    if not connection.getpeercert(binary_form=True):
        return "", "the car has shown no certificate"
    cipher = connection.cipher()
    return f"{connection.version()} {cipher[0] if cipher else ''}".strip(), ""


class GuardedServer(TCPServer):
    """The library's server, with a guard at its door."""

    refuse: ClassVar[Refuse]
    admit: ClassVar[Callable[[str], None]]
    _here: asyncio.StreamWriter | None = None

    async def server_factory(self, ready_event: asyncio.Event, tls: bool) -> None:
        """Open the port; never a plain one."""
        if not tls or get_ssl_context(True) is None:
            GuardedServer.refuse(Reason.NOT_TLS, "the library would have opened a plain TCP port")
            ready_event.set()  # nothing listens: whoever waits for it must not wait in vain
            return
        await super().server_factory(ready_event, tls)

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Let a connection in, or close it."""
        secured, problem = proof(writer)
        if problem:
            GuardedServer.refuse(Reason.NOT_TLS, problem)
        elif self._here is not None and not self._here.is_closing():
            problem = "a second connection while a car is plugged in"
            GuardedServer.refuse(Reason.MIXED_SESSIONS, problem)
        if problem:
            writer.close()
            with contextlib.suppress(OSError, ssl.SSLError):
                await writer.wait_closed()
            return
        self._here = writer
        GuardedServer.admit(secured)
        await super().__call__(reader, writer)


class GuardedSECC(SECCHandler):
    """The library's charger; answers no car for which it has no TLS port."""

    def __init__(self, *arguments: Any, refuse: Refuse, admit: Callable[[str], None]) -> None:
        super().__init__(*arguments)
        GuardedServer.refuse, GuardedServer.admit = staticmethod(refuse), staticmethod(admit)
        # The library makes its server itself, by this name.
        comm_session_handler.TCPServer = GuardedServer
        self.config.enforce_tls = True

    async def process_sdp_request(self, sdp_request: Any) -> Any:
        """Answer a car that looks for a charger, if there is a TLS port to send it to.

        Raises:
            InvalidSDPRequestError: there is none; the library logs it and stays silent.
        """
        if get_ssl_context(True) is None:
            GuardedServer.refuse(Reason.NOT_TLS, "the certificates do not load any more")
            raise InvalidSDPRequestError("TLS is required and cannot be had")
        if (port := self._open_port()) is not None:
            # The library would close the port and open it anew, in the face of a car that asks twice
            # because an answer was late, and is just connecting.
            address = socket.inet_pton(socket.AF_INET6, self.tcp_server.ipv6_address_host)
            return create_sdp_response(sdp_request, address, port, True)
        response = await super().process_sdp_request(sdp_request)
        if self.tcp_server is None or not self.tcp_server.is_tls_enabled:
            raise InvalidSDPRequestError("TLS is required and cannot be had")
        return response

    def _open_port(self) -> int | None:
        """The port that is open and TLS, if there is one."""
        server, task = self.tcp_server, self.tcp_server_handler
        if server is None or task is None or task.done() or not server.is_tls_enabled:
            return None
        serving = server.server is not None and server.server.is_serving()
        return int(server.port) if serving else None
