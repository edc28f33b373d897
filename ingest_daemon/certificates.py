"""The daemon's own certificate and key: whether they can be used, and for how long yet.

Every message about an expired certificate, one of another time or host, or a file with wrong rights
begins with ``ERR_AUTH_EXPIRED`` and says what to do.
"""

import contextlib
import logging
import os
import stat
import threading
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.x509.oid import NameOID

from ingest_daemon.errors import SettingsError, WrongSetting
from ingest_daemon.log import say
from ingest_daemon.metrics import Metrics
from ingest_daemon.settings import Settings

logger = logging.getLogger(__name__)

AUTH_EXPIRED: Final = "ERR_AUTH_EXPIRED"
RENEW: Final = "renew it in the authority's folder: v2g certs renew DIR"
"""To be followed by whose it is."""
DAEMON: Final = "v2g-settlement"
"""The name in the certificate that v2g certs init DIR makes for this daemon."""
CERT_FILE: Final = "V2G_MQTT_TLS_CERT_FILE"
CA_FILE: Final = "V2G_MQTT_TLS_CA_FILE"
WARN_BEFORE: Final = (timedelta(days=30), timedelta(days=14), timedelta(days=3), timedelta(0))
LOOK_EVERY: Final = timedelta(days=1)
CERTIFICATE_MAX_BYTES: Final = 256 * 1024


def require_private(path: Path, variable: str) -> None:
    """A private key is a regular file of the user who runs this, and nobody else may read or put it there.

    Raises:
        SettingsError: it is not so.
    """

    def wrong(found: str, expected: str) -> SettingsError:
        return SettingsError(WrongSetting(variable, f"{path}, {found}", expected, AUTH_EXPIRED))

    if path.is_symlink():
        raise wrong("which is a symbolic link", "the file itself")
    try:
        # Opened once and judged by its descriptor; a FIFO without a writer must not be waited for.
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise wrong(
            f"which cannot be read ({error.strerror})",
            "the PEM file of the private key, readable by the user who runs this;"
            " v2g certs init DIR makes settlement_private.key",
        ) from error
    try:
        found = os.fstat(descriptor)
    finally:
        os.close(descriptor)
    if not stat.S_ISREG(found.st_mode):
        raise wrong("which is no regular file", "the PEM file of the private key")
    if found.st_uid != os.geteuid():
        raise wrong(
            f"owned by uid {found.st_uid}, while this runs as uid {os.geteuid()}",
            f"a file of its own; run: chown {os.geteuid()} '{path}'",
        )
    mode = stat.S_IMODE(found.st_mode)
    if mode & 0o077:
        raise wrong(
            f"with mode {mode:04o}, which others can read", f"mode 0600; run: chmod 600 '{path}'"
        )
    folder = stat.S_IMODE(path.parent.stat().st_mode)
    if folder & 0o022 and not folder & stat.S_ISVTX:
        raise wrong(
            f"in a folder of mode {folder:04o}, in which others can exchange it",
            f"a folder that only its owner writes to; run: chmod go-w '{path.parent}'",
        )


def require_valid(path: Path, variable: str, *, now: datetime) -> None:
    """A certificate that begins later or has expired is of no use.

    Raises:
        SettingsError: it is so, or the file cannot be read.
    """
    try:
        certificate = _read(path)
    except OSError as error:
        raise SettingsError(
            WrongSetting(
                variable,
                f"{path}, which cannot be read ({error.strerror})",
                "the PEM file of the certificate; v2g certs init DIR makes settlement_cert.pem",
                AUTH_EXPIRED,
            )
        ) from error
    except ValueError as error:
        raise SettingsError(
            WrongSetting(variable, f"{path} ({error})", "a PEM file with a certificate")
        ) from error
    begins, ends = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    if now >= ends:
        found = f"{path}, which expired at {ends.isoformat()}"
        expected = f"one that is valid; {RENEW} {name_in(certificate)}"
        raise SettingsError(WrongSetting(variable, found, expected, AUTH_EXPIRED))
    if now < begins:
        found = f"{path}, which is not valid before {begins.isoformat()}"
        expected = f"one that is valid now, {now.isoformat(timespec='seconds')}; compare the clocks"
        raise SettingsError(WrongSetting(variable, found, expected, AUTH_EXPIRED))


def _read(path: Path) -> x509.Certificate:
    """The first certificate of a file. Raises OSError, and ValueError for what is no PEM certificate."""
    with path.open("rb") as file:
        return x509.load_pem_x509_certificate(file.read(CERTIFICATE_MAX_BYTES))


def name_in(certificate: x509.Certificate) -> str:
    """Whose it is, as `v2g certs` knows them: the common name; the authority is called ca there."""
    if certificate.issuer == certificate.subject:
        return "ca"
    names = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    return str(names[0].value) if names else "NAME"


class Calendar:
    """Says in time that the daemon's own certificate, or the authority's, will expire.

    Looks at the start and daily: 30, 14 and 3 days before and when it has, each once. The figure counts
    down always.
    """

    def __init__(
        self, settings: Settings, *, now: Callable[[], datetime], metrics: Metrics
    ) -> None:
        files = (
            (CERT_FILE, settings.mqtt_tls_cert_file),
            (CA_FILE, settings.mqtt_tls_ca_file),
        )
        self._files = [(variable, path) for variable, path in files if path is not None]
        self._now = now
        self._ends: dict[str, datetime] = {}
        self._names: dict[str, str] = {}
        self._warned: dict[str, timedelta] = {}
        self._stop = threading.Event()
        for variable, _ in self._files:
            metrics.certificate_left.labels(file=variable).set_function(
                lambda variable=variable: self._left(variable).total_seconds()  # type: ignore[misc]
            )

    def start(self) -> None:
        """Look now, and daily from then on."""
        if self._files:
            threading.Thread(target=self._run, name="certificates", daemon=True).start()

    def finish(self) -> None:
        """Look no more."""
        self._stop.set()

    def look(self) -> None:
        """Read the files, which may have been renewed, and warn of what is due."""
        for variable, path in self._files:
            with contextlib.suppress(OSError, ValueError):
                certificate = _read(path)
                self._ends[variable] = certificate.not_valid_after_utc
                self._names[variable] = name_in(certificate)
            left = self._left(variable)
            due = min((before for before in WARN_BEFORE if left <= before), default=None)
            if due is None:
                self._warned.pop(variable, None)
            elif self._warned.get(variable) != due:
                self._warned[variable] = due
                self._warn(variable, path, left)

    def _warn(self, variable: str, path: Path, left: timedelta) -> None:
        ends = self._ends.get(variable)
        say(
            logger,
            logging.WARNING,
            "certificate_expires" if left > timedelta(0) else "certificate_expired",
            error=AUTH_EXPIRED,
            variable=variable,
            file=path,
            days=max(0, left // timedelta(days=1)),
            at=ends.isoformat() if ends else "unknown",
            do=f"{RENEW} {self._names.get(variable, 'NAME')}, and restart this",
        )

    def _left(self, variable: str) -> timedelta:
        ends = self._ends.get(variable)
        return ends - self._now() if ends else timedelta(0)

    def _run(self) -> None:
        while True:
            self.look()
            if self._stop.wait(LOOK_EVERY.total_seconds()):
                return
