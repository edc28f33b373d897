"""The door: mutual TLS 1.2 with the standard's suites, and its scripted weaknesses."""

import ssl
from datetime import UTC, datetime

import httpx
import pytest

from simulators.sep2 import Suites
from simulators.sep2.certificates import lfdi_of, sfdi_of
from tests.simulators.sep2.site import DEADLINE_S, Clock, world

CCM8 = "ECDHE-ECDSA-AES128-CCM8:@SECLEVEL=0"
GCM = "ECDHE-ECDSA-AES128-GCM-SHA256"


def fetch(server, context: ssl.SSLContext) -> int:
    with httpx.Client(verify=context, base_url=server.url, timeout=DEADLINE_S) as client:
        return client.get("/dcap").status_code


@pytest.mark.parametrize(
    ("suites", "ciphers", "good"),
    [
        (Suites.BOTH, CCM8, True),
        (Suites.BOTH, GCM, True),
        (Suites.CCM8, CCM8, True),
        (Suites.CCM8, GCM, False),
        (Suites.GCM, CCM8, False),
    ],
)
def test_the_suites_are_those_that_were_chosen(site, suites, ciphers, good) -> None:
    with site.serve(world(), suites=suites) as server:
        context = site.context(ciphers=ciphers)
        if good:
            assert fetch(server, context) == 200
        else:
            with pytest.raises(httpx.ConnectError):
                fetch(server, context)


def test_a_client_without_a_certificate_of_the_authority_is_turned_away(site) -> None:
    with site.serve(world()) as server:
        bare = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        bare.load_verify_locations(site.authority.certificate)
        bare.maximum_version = ssl.TLSVersion.TLSv1_2
        for context in (bare, site.context(site.stranger)):
            with pytest.raises(httpx.TransportError):
                fetch(server, context)
        assert server.trail == []


def test_an_expired_and_a_misnamed_server_are_recognised(site) -> None:
    for pair, said in (
        (site.authority.server("late", expired=True), "expired"),
        (site.authority.server("misnamed", hosts=("utility.example",)), "IP address mismatch"),
    ):
        with (
            site.serve(world(), pair) as server,
            pytest.raises(httpx.ConnectError, match=said),
        ):
            fetch(server, site.context())


def test_a_server_of_another_authority_is_recognised(site) -> None:
    with site.serve(world(), site.stranger) as server, pytest.raises(httpx.ConnectError):
        fetch(server, site.context())


def test_a_server_may_speak_tls_1_3_only(site) -> None:
    with site.serve(world(), tls13_only=True) as server:
        with pytest.raises(httpx.ConnectError):
            fetch(server, site.context())
        newer = site.context()
        newer.maximum_version = ssl.TLSVersion.TLSv1_3
        assert fetch(server, newer) == 200


def test_the_identity_is_that_of_the_certificate(site) -> None:
    one = world(Clock())
    one.add_device(site.client.lfdi)
    with site.serve(one) as server:
        for pair, seen in ((site.client, 200), (site.other, 404)):
            with site.talk(server, pair) as client:
                assert client.get("/edev/1").status_code == seen
        assert [asked.client for asked in server.trail] == [site.client.lfdi, site.other.lfdi]


def test_identifiers_are_those_of_the_standards_example() -> None:
    # IEEE 2030.5 6.3.4: the LFDI that begins so has this SFDI
    assert sfdi_of("3E4F45AB31EDFE5B67E343E5E4562E31984E23E5") == 167261211391


def test_keys_are_readable_by_their_owner_only_and_certificates_hold_now(site) -> None:
    from cryptography import x509

    pair = site.client
    assert pair.key.stat().st_mode & 0o777 == 0o600
    certificate = x509.load_pem_x509_certificate(pair.certificate.read_bytes())
    assert certificate.not_valid_before_utc < datetime.now(UTC) < certificate.not_valid_after_utc
    der = ssl.PEM_cert_to_DER_cert(pair.certificate.read_text())
    assert lfdi_of(der) == pair.lfdi
