"""`v2g packet …`: judge a packet that lies in a file."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_public_key
from joserfc.jwk import ECKey

from cli.options import Json
from cli.output import fail, show_fields, show_json
from settlement import packets
from settlement.packets import UnreadablePacketError
from settlement.signatures import DeviceKey, UnusableKeyError
from settlement.units import EARLIEST

app = typer.Typer(
    help="Look at packets: signed messages as a charger sends them.", no_args_is_help=True
)

FILE_MAX_BYTES = 1024 * 1024


@app.callback()
def packet() -> None:
    """Look at packets: signed messages as a charger sends them."""  # keeps `verify` a word of its own


@app.command()
def verify(
    file: Annotated[Path, typer.Argument(help="The packet, as received: a compact JWS.")],
    key: Annotated[Path, typer.Option(help="The EVSE's public key, PEM (P-256).")],
    json: Json = False,
) -> None:
    """Say whether a packet's signature and content stand.

    Exit 0 when they do, 1 with the reason when not, 2 when file or key cannot be used.

    Example: v2g packet verify packet.jws --key evse.pem
    """
    from settlement.verdicts import LandedPacket, Policy, judge

    data = _read(file).strip()
    if not data:
        raise fail(f"{file}: empty; expected a packet, a compact JWS (RFC 7515)", status=2)
    now = datetime.now(UTC)
    try:
        record = _record(key, data)
    except (UnusableKeyError, ValueError) as error:
        raise fail(
            f"{key}: {error}; expected a PEM public key on P-256 (secp256r1)", status=2
        ) from error
    with ThreadPoolExecutor(1) as threads:
        (verdict,) = judge(
            [LandedPacket(data, now, batch_id=1)], {record.key_id: record}, Policy(), threads
        )
    claims = asdict(verdict.content) if verdict.content else {}
    if json:
        reason = verdict.reason.value if verdict.reason else None
        show_json(
            {
                "stands": reason is None,
                "reason": reason,
                "detail": verdict.detail,
                "content": claims,
            }
        )
    else:
        show_fields(
            "What the packet says" if verdict.reason is None else "What the packet claims", claims
        )
    if verdict.reason is not None:
        raise fail(f"{verdict.reason.value}: {verdict.detail}", status=1)
    if not json:
        typer.echo(f"signature and content stand under key {record.key_id}")


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as stream:
            data = stream.read(FILE_MAX_BYTES + 1)
    except OSError as error:
        raise fail(
            f"{path}: {error.strerror}; expected a file that can be read", status=2
        ) from error
    if len(data) > FILE_MAX_BYTES:
        raise fail(
            f"{path}: more than {FILE_MAX_BYTES} bytes; that is no packet and no key", status=2
        )
    return data


def _record(path: Path, packet: bytes) -> DeviceKey:
    """The key as if it were enrolled, for ever, for the EVSE that the packet names."""
    pem = _read(path)
    try:
        public = load_pem_public_key(pem)
    except UnsupportedAlgorithm as error:
        raise UnusableKeyError(str(error)) from error
    if not isinstance(public, EllipticCurvePublicKey) or not isinstance(public.curve, SECP256R1):
        raise UnusableKeyError(f"a key of another kind ({type(public).__name__})")
    try:
        evse_id = packets.identify(packets.split(packet)).evse_id
    except UnreadablePacketError:
        evse_id = ""
    return DeviceKey(
        key_id=str(ECKey.import_key(pem).thumbprint()),
        evse_id=evse_id,
        public_key=public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
        valid_from=EARLIEST,
    )
