"""`v2g packet …`: judge a packet that lies in a file, or look at it."""

import sys
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.options import Json
from cli.output import console, fail, show_fields, show_json, table
from settlement import packets
from settlement.packets import Envelope, UnreadablePacketError, keys
from settlement.packets.pagination import Pagination, pagination
from settlement.reasons import SIGNED
from settlement.signatures import CURVES, DeviceKey, Keyring, algorithm_of

if TYPE_CHECKING:
    from cli.packet_inspection import Inspection
    from settlement.verdicts import Verdict

FORMATS = (
    "A packet is a compact JWS, a meter's OCMF record, or either form in which OCPP wraps one"
    " (SignedMeterValueType of 2.0.1 and 2.1; the sampledValue of 1.6)."
)
DEFAULT_CURVE = "secp256r1"
FILE_MAX_BYTES = 1024 * 1024

app = typer.Typer(
    help=f"Look at packets: signed messages as chargers and meters send them. {FORMATS}",
    no_args_is_help=True,
)


@app.callback()
def packet() -> None:
    """Look at packets: signed messages as chargers and meters send them."""


@app.command()
def verify(
    file: Annotated[Path, typer.Argument(help="The packet, as received; - reads standard input.")],
    key: Annotated[
        Path,
        typer.Option(
            help="Public key of the charger, or of the meter whose record it is: PEM, DER, hex,"
            " base64, or a bare point."
        ),
    ],
    meter_key: Annotated[
        Path | None,
        typer.Option(help="Public key of the meter whose records a packet of version 2 carries."),
    ] = None,
    allow_curve: Annotated[
        list[str] | None,
        typer.Option(help=f"Permit a key on this curve besides {DEFAULT_CURVE}; may be repeated."),
    ] = None,
    json: Json = False,
) -> None:
    """Say whether a packet's signatures and content stand, as if the key were enrolled for it.

    Exit 0 when they do, 1 with the reason when not, 2 when file or key cannot be used. A signature
    that stands over a record which its meter marks as not billable exits 1 and says both.

    Example: v2g packet verify packet.jws --key evse.pem

    Example: v2g packet verify record.ocmf --key meter.hex --allow-curve secp256k1 --json
    """
    from settlement.verdicts import LandedPacket, Policy, judge

    data = _packet(file)
    try:
        envelope = packets.split(data)
        evse_id = packets.identify(envelope).evse_id
    except UnreadablePacketError:
        envelope, evse_id = None, ""
    allowed = _allowed(allow_curve or ())
    meters = _meters(envelope)
    enrolled = [
        _record(key, allowed, evse_id, meter_id="" if envelope is None else envelope.meter_id)
    ]
    if meter_key is not None:
        if not meters:
            raise fail(f"--meter-key {meter_key}: {file} carries no meter's records", status=2)
        enrolled.append(_record(meter_key, allowed, evse_id, meter_id=meters[0]))
    with ThreadPoolExecutor(1) as threads:
        landed = LandedPacket(data, datetime.now(UTC), batch_id=1)
        (verdict,) = judge([landed], Keyring(enrolled), Policy(), threads)
    _show_verdict(verdict, enrolled, json=json)
    if verdict.reason is not None:
        hint = ""
        if meters and meter_key is None:
            hint = f"; give the key of meter {meters[0]} with --meter-key"
        signed = "the signature stands, but " if verdict.reason in SIGNED else ""
        raise fail(f"{verdict.reason.value}: {signed}{verdict.detail}{hint}", status=1)
    if not json:
        names = " and ".join(one.key_id for one in enrolled)
        typer.echo(f"signature and content stand under key {names}")


@app.command()
def inspect(
    files: Annotated[
        list[Path],
        typer.Argument(help="Packets, as received, one per file; - reads standard input."),
    ],
    json: Json = False,
) -> None:
    """Show what packets say, field by field, and why they would or would not be paid.

    No key is needed: whether a signature stands is for `v2g packet verify`. What cannot be read is
    shown as far as it can. Of several records of a meter, says which of its numbers are missing, come
    twice or came late. Exit 0, 1 when a file holds no packet, 2 when a file cannot be read.

    Example: v2g packet inspect record.ocmf
    """
    from cli.packet_inspection import inspect as look

    now = datetime.now(UTC)
    inspected = [(file, look(_packet(file), now)) for file in files]
    paged = _paginations(one for _, one in inspected)
    if json:
        show_json(
            {
                "packets": [{"file": str(file)} | asdict(one) for file, one in inspected],
                "pagination": [{"meter_id": m} | asdict(page) for m, page in paged],
            }
        )
    else:
        for file, one in inspected:
            _show_inspection(file, one)
        for meter_id, page in paged:
            typer.echo(f"meter {meter_id}: {_paged(page)}")
    if unreadable := [str(file) for file, one in inspected if not one.readable]:
        raise fail(f"{', '.join(unreadable)}: no packet that can be read", status=1)


def _packet(file: Path) -> bytes:
    data = _read(file).strip()
    if not data:
        raise fail(f"{file}: empty; expected a packet. {FORMATS}", status=2)
    return data


def _read(path: Path) -> bytes:
    try:
        if str(path) == "-":
            data = sys.stdin.buffer.read(FILE_MAX_BYTES + 1)
        else:
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


def _allowed(curves: Iterable[str]) -> set[str]:
    allowed = {DEFAULT_CURVE, *curves}
    if unknown := sorted(allowed - set(CURVES)):
        why = "; no library at hand computes it" if "secp192k1" in unknown else ""
        raise fail(
            f"--allow-curve {unknown[0]}: unknown{why}; expected one of {', '.join(CURVES)}",
            status=2,
        )
    return allowed


def _record(path: Path, allowed: set[str], evse_id: str, *, meter_id: str) -> DeviceKey:
    """The key as if it were enrolled, for ever, for the EVSE and the meter that the packet names."""
    try:
        public = keys.load_public_key(_read(path))
    except keys.UnreadableKeyError as error:
        raise fail(f"{path}: {error}", status=2) from error
    curve = keys.curve_of(public)
    if curve not in allowed:
        raise fail(
            f"{path}: a key on {curve}; expected {DEFAULT_CURVE} (P-256), or --allow-curve {curve}"
            " where this key may be on another",
            status=2,
        )
    return DeviceKey(
        key_id=keys.key_id_of(public),
        evse_id=evse_id,
        public_key=keys.der_of(public),
        valid_from=datetime.min.replace(tzinfo=UTC),
        algorithm=algorithm_of(curve),
        meter_id=meter_id,
    )


def _meters(envelope: Envelope | None) -> list[str]:
    return [one.meter_id for one in envelope.inner] if envelope else []


def _show_verdict(verdict: "Verdict", enrolled: list[DeviceKey], *, json: bool) -> None:
    said = verdict.content or verdict.record
    claims = asdict(said) if said else {}
    reason = verdict.reason.value if verdict.reason else None
    if not json:
        points = claims.pop("points", ())
        title = "What the packet says" if reason is None else "What the packet claims"
        show_fields(title, claims | {f"point {n}": _one_line(p) for n, p in enumerate(points, 1)})
        return
    show_json(
        {
            "stands": reason is None,
            "signature_stands": verdict.reason is None or verdict.reason in SIGNED,
            "reason": reason,
            "detail": verdict.detail,
            "format": verdict.envelope.format if verdict.envelope else None,
            "keys": [one.key_id for one in enrolled],
            "content": claims,
        }
    )


def _one_line(point: dict[str, object]) -> str:
    return ", ".join(f"{name} {value}" for name, value in point.items() if value not in ("", None))


def _show_inspection(file: Path, one: "Inspection") -> None:
    rows = [(field.path, field.value, field.meaning) for field in one.fields]
    title = f"{file}: {one.format}, {one.size} bytes, sha256 {one.packet_digest}"
    console.print(table(title, ("field", "value", "meaning"), rows))
    if one.said:
        show_fields("Read as", one.said)
    if one.points:
        points = [
            (p.at.isoformat(), _wh(p.export_milliwh), _wh(p.import_milliwh), p.kind, p.problem)
            for p in one.points
        ]
        columns = ("point at", "export Wh", "import Wh", "TX", "problem")
        console.print(table("Points", columns, points))
    verdict = "if its signatures stand under enrolled keys" if one.payable else "no"
    findings = [(found.reason or "note", found.detail) for found in one.findings]
    console.print(table(f"Would it be paid? {verdict}", ("finding", "detail"), findings))


def _wh(milliwatt_hours: int | None) -> str:
    if milliwatt_hours is None:
        return "not stated"
    whole, rest = divmod(abs(milliwatt_hours), 1000)
    return f"{'-' if milliwatt_hours < 0 else ''}{whole}.{rest:03d}"


def _paginations(inspected: Iterable["Inspection"]) -> list[tuple[str, Pagination]]:
    """Of each meter with more than one record, in the order of the files."""
    by_meter: dict[str, list[tuple[str, int]]] = {}
    for one in inspected:
        if one.numbered is not None:
            meter_id, context, number = one.numbered
            by_meter.setdefault(meter_id, []).append((context, number))
    return [
        (meter_id, page)
        for meter_id, numbers in by_meter.items()
        if len(numbers) > 1
        for page in pagination(numbers)
    ]


def _paged(page: Pagination) -> str:
    said = f"records {page.context}{page.first} to {page.context}{page.last}"
    if page.whole:
        return f"{said}, each once and in its turn"
    gaps = (str(one) if one == two else f"{one} to {two}" for one, two in page.gaps)
    parts = {
        "missing": ", ".join(gaps),
        "more than once": ", ".join(map(str, page.repeats)),
        "late": ", ".join(map(str, page.late)),
    }
    return "; ".join([said, *(f"{name}: {numbers}" for name, numbers in parts.items() if numbers)])
