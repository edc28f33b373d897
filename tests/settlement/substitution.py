"""Duplicate-signature key selection: a second public key under which a victim's signature verifies.

From r and s of an ECDSA signature over a hash z one computes Q = r⁻¹·(s·R − z·G), where R is a point
whose x is r (SEC 1 §4.1.6, public key recovery). Two such points exist, R and −R: one gives the
victim's key, the other a key whose private part nobody knows.
"""

from hashlib import sha256

from cryptography.hazmat.primitives.asymmetric.ec import (
    SECP256R1,
    EllipticCurvePublicKey,
    EllipticCurvePublicNumbers,
)

from settlement.packets import Envelope
from settlement.packets.keys import der_of, key_id_of
from settlement.signatures import DeviceKey

P = 2**256 - 2**224 + 2**192 + 2**96 - 1
A = P - 3
N = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
G = (
    0x6B17D1F2E12C4247F8BCE6E563A440F277037D812DEB33A0F4A13945D898C296,
    0x4FE342E2FE1A7F9B8EE7EB4A7C0F9E162BCE33576B315ECECBB6406837BF51F5,
)
Point = tuple[int, int] | None


def _add(one: Point, other: Point) -> Point:
    if one is None or other is None:
        return one or other
    if one[0] == other[0] and (one[1] + other[1]) % P == 0:
        return None
    if one == other:
        slope = (3 * one[0] ** 2 + A) * pow(2 * one[1], -1, P)
    else:
        slope = (other[1] - one[1]) * pow(other[0] - one[0], -1, P)
    x = (slope**2 - one[0] - other[0]) % P
    return x, (slope * (one[0] - x) - one[1]) % P


def _times(factor: int, point: Point) -> Point:
    total: Point = None
    while factor:
        if factor & 1:
            total = _add(total, point)
        point, factor = _add(point, point), factor >> 1
    return total


def _on_curve(x: int, sign: bytes) -> tuple[int, int]:
    key = EllipticCurvePublicKey.from_encoded_point(SECP256R1(), sign + x.to_bytes(32))
    numbers = key.public_numbers()
    return numbers.x, numbers.y


def second_key(packet: Envelope, victim: DeviceKey) -> DeviceKey:
    """The victim's record with another public key under which the same packet verifies."""
    r, s = (int.from_bytes(half) for half in (packet.signature[:32], packet.signature[32:]))
    z = int.from_bytes(sha256(packet.signing_input).digest())
    for sign in (b"\x02", b"\x03"):
        ephemeral = _on_curve(r, sign)
        difference = _add(_times(s, ephemeral), _times(-z % N, G))
        point = _times(pow(r, -1, N), difference)
        assert point is not None
        key = EllipticCurvePublicNumbers(*point, SECP256R1()).public_key()
        if der_of(key) != victim.public_key:
            return DeviceKey(key_id_of(key), victim.evse_id, der_of(key), victim.valid_from)
    raise AssertionError("both points gave the victim's key")
