"""Mutual TLS with real handshakes: what is agreed, what is refused, and in which words."""

import contextlib
import os
import socket
import ssl
import threading
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from py20305.security import compute_sfdi

from grid.errors import AuthExpiredError, FeedRefusedError, FeedUnavailableError
from grid.sep2.bounds import Bounds
from grid.sep2.tls import CIPHERS, context, own_certificate
from simulators.sep2 import Authority, Suites
from storage import secrets

GCM = "ECDHE-ECDSA-AES128-GCM-SHA256"
CCM8 = "ECDHE-ECDSA-AES128-CCM8"


def test_a_server_of_the_standard_is_read(site):
    with site.serve() as server:
        reading = site.read(server.url)
    assert reading.clock is not None
    assert not [one for one in reading.refused if "TLS" in one.found]


@pytest.mark.parametrize("suites", [Suites.CCM8, Suites.GCM])
def test_both_kinds_of_suites_are_spoken(site, suites):
    with site.serve(suites=suites) as server:
        assert site.read(server.url).clock is not None


def test_the_suites_are_those_of_the_standard_and_for_this_context_alone(site):
    made = context(
        site.client_pair.certificate,
        site.client_pair.key,
        site.authority.certificate,
        secrets=secrets,
    )
    offered = [one["name"] for one in made.get_ciphers() if one["protocol"] == "TLSv1.2"]
    assert offered == [GCM, "ECDHE-ECDSA-AES256-GCM-SHA384", CCM8]
    assert made.minimum_version == made.maximum_version == ssl.TLSVersion.TLSv1_2
    assert made.check_hostname
    assert made.verify_mode is ssl.CERT_REQUIRED
    others = {one["name"] for one in ssl.create_default_context().get_ciphers()}
    assert CCM8 not in others
    assert "SECLEVEL=0" in CIPHERS


def test_a_server_of_tls_1_3_alone_is_refused_in_clear_words(site):
    with (
        handshaking(site, version=ssl.TLSVersion.TLSv1_3) as url,
        pytest.raises(FeedRefusedError) as caught,
    ):
        site.read(url)
    said = str(caught.value)
    assert "it refuses TLS 1.2" in said
    assert CCM8 in said
    assert "the utility has to offer it" in said


def test_a_server_without_a_suite_of_the_standard_is_refused_in_clear_words(site):
    with (
        handshaking(site, suites="ECDHE-ECDSA-CHACHA20-POLY1305") as url,
        pytest.raises(FeedRefusedError, match=r"it finds no cipher suite in common"),
    ):
        site.read(url)


def test_a_server_that_cuts_the_line_without_a_word_is_told_of_with_what_it_may_be(site):
    # It speaks TLS 1.3 only, and hangs up instead of sending the alert.
    with (
        site.serve(tls13_only=True) as server,
        pytest.raises(FeedUnavailableError, match=r"cut the line within TLS") as caught,
    ):
        site.read(server.url)
    assert "IEEE 2030.5 asks for TLS 1.2" in str(caught.value)


def test_a_server_of_an_unknown_authority_is_refused(site, tmp_path):
    other = Authority(tmp_path / "other", name="other")
    pair = other.server()
    with (
        site.serve(certificate=pair.certificate, key=pair.key) as server,
        pytest.raises(AuthExpiredError) as caught,
    ):
        site.read(server.url)
    said = str(caught.value)
    assert said.startswith("ERR_AUTH_EXPIRED")
    assert "an authority that is not in the file of `ca`" in said


def test_a_server_whose_certificate_has_expired_is_refused(site):
    pair = site.authority.server("old", expired=True)
    with (
        site.serve(certificate=pair.certificate, key=pair.key) as server,
        pytest.raises(AuthExpiredError, match=r"has expired: the utility must renew it"),
    ):
        site.read(server.url)


def test_a_server_of_another_name_is_refused(site):
    pair = site.authority.server("elsewhere", hosts=("grid.example",))
    with (
        site.serve(certificate=pair.certificate, key=pair.key) as server,
        pytest.raises(AuthExpiredError, match=r"is for another name than 127.0.0.1"),
    ):
        site.read(server.url)


def test_a_client_that_the_server_does_not_know_is_told_whom_to_ask(site, tmp_path):
    pair = Authority(tmp_path / "other", name="other").client()
    with handshaking(site) as url, pytest.raises(AuthExpiredError) as caught:
        site.read(url, certificate=pair.certificate, key=pair.key)
    said = str(caught.value)
    assert said.startswith("ERR_AUTH_EXPIRED")
    assert "does not know the authority that signed our certificate" in said
    assert "ask the utility" in said


def test_a_client_that_the_simulated_server_does_not_know_gets_nothing(site, tmp_path):
    pair = Authority(tmp_path / "other", name="other").client()
    with site.serve() as server:
        with pytest.raises(
            (AuthExpiredError, FeedUnavailableError), match=r"certificate of ours|our cert"
        ):
            site.read(server.url, certificate=pair.certificate, key=pair.key)
        assert server.trail == []


def test_our_certificate_that_has_expired_is_not_even_shown(site):
    pair = site.authority.client("late", expired=True)
    with site.serve() as server:
        with pytest.raises(
            AuthExpiredError, match=r"^ERR_AUTH_EXPIRED: certificate: .* expired at"
        ) as e:
            site.read(server.url, certificate=pair.certificate, key=pair.key)
        assert "LFDI" in str(e.value)
        assert server.trail == []


def test_our_certificate_that_is_not_yet_valid_points_at_the_clock(site):
    site.time.sleep(-86_400)
    with (
        site.serve() as server,
        pytest.raises(AuthExpiredError, match=r"this machine's clock says"),
    ):
        site.read(server.url)


def test_a_key_that_others_can_read_is_refused_before_a_connection(site, tmp_path):
    key = tmp_path / "open.key"
    key.write_bytes(site.client_pair.key.read_bytes())
    key.chmod(0o640)
    with site.serve() as server:
        with pytest.raises(
            AuthExpiredError, match=r"^ERR_AUTH_EXPIRED: key: .*mode 0640.*chmod 600"
        ):
            site.read(server.url, key=key)
        assert server.trail == []


@pytest.mark.parametrize(
    ("which", "content", "words"),
    [
        ("certificate", b"no certificate", "cannot be read"),
        ("certificate", None, "cannot be read"),
        ("ca", b"no certificate", "cannot be used"),
        ("ca", None, "cannot be used"),
        ("key", b"no key", "cannot be used together"),
        ("key", None, "cannot be opened"),
    ],
)
def test_a_file_that_is_none_is_named(site, tmp_path, which, content, words):
    path = tmp_path / "file.pem"
    if content is not None:
        path.write_bytes(content)
        path.chmod(0o600)
    with pytest.raises(AuthExpiredError, match=r"^ERR_AUTH_EXPIRED") as caught:
        site.read("https://127.0.0.1:9", **{which: path})
    assert words in str(caught.value)
    assert str(path) in str(caught.value)


def test_a_key_of_another_certificate_is_refused(site):
    other = site.authority.client("other")
    with pytest.raises(AuthExpiredError, match=r"cannot be used together"):
        site.read("https://127.0.0.1:9", key=other.key)


def test_who_we_are_follows_from_our_certificate(site):
    pem = site.client_pair.certificate.read_bytes()
    own = own_certificate(site.client_pair.certificate, now=site.time.now())

    certificate = x509.load_pem_x509_certificate(pem)
    assert own.lfdi == site.client_pair.lfdi
    assert own.sfdi == int(compute_sfdi(own.lfdi))
    assert own.ends_at == certificate.not_valid_after_utc
    assert certificate.public_bytes(Encoding.PEM) == pem


def test_a_port_that_speaks_no_tls_and_a_port_where_nobody_listens_are_told_apart(site):
    with (
        listening(lambda line: line.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")) as port,
        pytest.raises(FeedRefusedError, match=r"speaks no TLS on this port"),
    ):
        site.read(f"https://127.0.0.1:{port}")
    with pytest.raises(FeedUnavailableError, match=r"nobody listens"):
        site.read(f"https://127.0.0.1:{port}")


def test_a_handshake_that_stalls_is_given_up(site):
    done = threading.Event()
    with listening(lambda _: done.wait(10)) as port:
        began = datetime.now(UTC)
        bounds = Bounds(connect_s=0.3, silence_s=0.3, document_s=1.0, attempts=2)
        with pytest.raises(FeedUnavailableError, match=r"does not answer in time"):
            site.feed(f"https://127.0.0.1:{port}", bounds=bounds).read(site.time.now)
        done.set()
    assert datetime.now(UTC) - began < timedelta(seconds=3)


def test_proxies_of_the_environment_are_not_used(site, monkeypatch):
    for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY"):
        monkeypatch.setitem(os.environ, name, "http://127.0.0.1:9")
    with site.serve() as server:
        assert site.read(server.url).clock is not None


@contextmanager
def listening(answer):
    """A bare TCP server; ``answer`` gets each connection."""
    server = socket.create_server(("127.0.0.1", 0))

    def run() -> None:
        while True:
            try:
                line, _ = server.accept()
            except OSError:
                return
            with line:
                answer(line)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        yield server.getsockname()[1]
    finally:
        server.shutdown(socket.SHUT_RDWR)
        server.close()
        thread.join(timeout=5)


@contextmanager
def handshaking(site, *, version=ssl.TLSVersion.TLSv1_2, suites=None):
    """A TLS server that says in an alert why it refuses, as OpenSSL by itself does."""
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.minimum_version = tls.maximum_version = version
    tls.set_ciphers(suites or CIPHERS)
    tls.verify_mode = ssl.CERT_REQUIRED
    tls.load_verify_locations(site.authority.certificate)
    tls.load_cert_chain(site.server_pair.certificate, site.server_pair.key)

    def answer(line: socket.socket) -> None:
        line.settimeout(5)
        with contextlib.suppress(OSError):
            tls.wrap_socket(line, server_side=True).close()

    with listening(answer) as port:
        yield f"https://127.0.0.1:{port}"
