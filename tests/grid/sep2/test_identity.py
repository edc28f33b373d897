"""Who a device is: the standard's worked example, a real certificate, and the digit that checks."""

import hashlib
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import given
from hypothesis import strategies as st
from py20305.security.identity import compute_lfdi, compute_sfdi

from grid.sep2 import identity

WORKED = "3E4F45AB31EDFE5B67E343E5E4562E31984E23E5"
SERVED = "0F5FEE138DEAA880D1472833DC3B083B1338271D"


def certificate() -> x509.Certificate:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "aggregator")])
    now = datetime(2026, 1, 1, tzinfo=UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(7)
        .not_valid_before(now)
        .not_valid_after(now + timedelta(days=1))
        .sign(key, hashes.SHA256())
    )


def test_the_worked_example_of_the_standard_and_a_running_servers_device():
    assert identity.sfdi(WORKED) == 167261211391
    assert identity.sfdi(SERVED) == 41271217203
    assert identity.sfdi(SERVED.lower()) == 41271217203


def test_a_certificates_lfdi_is_the_start_of_its_hash():
    made = certificate()
    der, pem = made.public_bytes(Encoding.DER), made.public_bytes(Encoding.PEM)
    assert identity.lfdi(der) == hashlib.sha256(der).digest()[:20].hex().upper()
    assert identity.certificate_lfdi(pem) == identity.lfdi(der)
    # the first of a chain is its own
    assert identity.certificate_lfdi(pem + certificate().public_bytes(Encoding.PEM)) == (
        identity.lfdi(der)
    )
    # and another hand says the same
    assert compute_lfdi(pem.decode()).upper() == identity.lfdi(der)


@pytest.mark.parametrize("wrong", ["", "3E4F", WORKED + "00", WORKED[:-1] + "G", WORKED[:-1] + "٣"])
def test_what_is_no_lfdi_has_no_sfdi(wrong: str):
    with pytest.raises(ValueError, match="40 hexadecimal digits"):
        identity.sfdi(wrong)


def test_a_file_without_a_certificate_says_so():
    with pytest.raises(ValueError, match="PEM"):
        identity.certificate_lfdi(b"no certificate")


@given(st.binary(min_size=20, max_size=20))
def test_an_sfdi_is_36_bits_and_a_digit_that_makes_the_sum_a_multiple_of_ten(bits: bytes):
    sfdi = identity.sfdi(bits.hex())
    assert sum(map(int, str(sfdi))) % 10 == 0
    assert sfdi // 10 == int.from_bytes(bits[:5]) >> 4
    assert sfdi == compute_sfdi(bits.hex())
    assert identity.sfdi_fits(sfdi)
    # one digit read wrong is noticed
    assert not identity.sfdi_fits(sfdi + 1 if sfdi % 10 < 9 else sfdi - 1)


@pytest.mark.parametrize("number", [-1, 167261211392, (1 << 36) * 10])
def test_what_is_no_sfdi_does_not_fit(number: int):
    assert not identity.sfdi_fits(number)
