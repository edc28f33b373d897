"""What the charge controller says: one JSON object per line, a sample or the end of a session.

    {"at": "2026-07-01T17:00:15Z", "vehicle_id": "…", "session_id": "…", "export_wh": "1000030.000",
     "import_wh": "250000.000", "power_w": "7200", "soc_pct": "79.95", "latitude_deg": "52.520008",
     "longitude_deg": "13.404954", "snr_db": "18.5", "records": ["OCMF|…|…"]}
    {"end": true, "session_id": "…"}

Discharge is positive. ``soc_pct``, the position, ``snr_db`` and ``records`` may be absent. The digits
are kept as they came; nothing passes through a float.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from settlement import units
from settlement.decimals import decimal_text

LINE_MAX_BYTES: Final = 16 * 1024
RECORDS_MAX: Final = 4
SOC_MAX: Final = 100
SNR_MAX_DB: Final = 1000
_SHOWN_MAX_CHARS: Final = 60


class RefusedError(ValueError):
    """A line that is not accepted: ``where``, what was ``found``, what was ``expected``."""

    def __init__(self, where: str, found: str, expected: str) -> None:
        super().__init__(f"{where}: {found}; expected {expected}")
        self.where = where
        self.found = found
        self.expected = expected


@dataclass(frozen=True, slots=True)
class Sample:
    """Meter and session at one time. Decimal texts: Wh with 3 places, W, percent with 4, degrees
    with 6; ``snr_db`` in hundredths of a decibel.
    """

    at: datetime
    vehicle_id: str
    session_id: str
    export_wh: str
    import_wh: str
    power_w: str
    soc_pct: str | None = None
    latitude_deg: str | None = None
    longitude_deg: str | None = None
    snr_cdb: int | None = None
    records: tuple[str, ...] = ()

    @property
    def export_milliwh(self) -> int:
        return decimal_text(self.export_wh, 3)

    @property
    def import_milliwh(self) -> int:
        return decimal_text(self.import_wh, 3)


@dataclass(frozen=True, slots=True)
class End:
    """The session is over."""

    session_id: str


_FIELDS: Final = frozenset(
    {
        "at",
        "vehicle_id",
        "session_id",
        "export_wh",
        "import_wh",
        "power_w",
        "soc_pct",
        "latitude_deg",
        "longitude_deg",
        "snr_db",
        "records",
    }
)


def parse(line: bytes) -> Sample | End:
    """A line of the controller. Raises RefusedError."""
    try:
        fields = json.loads(line, object_pairs_hook=_once)
    except (ValueError, RecursionError) as error:
        if isinstance(error, RefusedError):
            raise
        raise RefusedError("line", f"no JSON ({error})"[:200], "one JSON object") from error
    if not isinstance(fields, dict):
        raise RefusedError("line", f"a JSON {type(fields).__name__}", "one JSON object")
    if "end" in fields:
        _only(fields, frozenset({"end", "session_id"}))
        if fields["end"] is not True:
            raise _wrong(fields, "end", "true")
        return End(_id(fields, "session_id"))
    _only(fields, _FIELDS)
    if ("latitude_deg" in fields) != ("longitude_deg" in fields):
        absent = "latitude_deg" if "longitude_deg" in fields else "longitude_deg"
        raise _wrong(fields, absent, "both of a position, or neither")
    register = units.REGISTER_MAX_MILLIWH
    snr = _decimal(fields, "snr_db", 2, -SNR_MAX_DB * 100, SNR_MAX_DB * 100, optional=True)
    return Sample(
        at=_time(fields, "at"),
        vehicle_id=_id(fields, "vehicle_id"),
        session_id=_id(fields, "session_id"),
        export_wh=_decimal(fields, "export_wh", 3, 0, register) or "",
        import_wh=_decimal(fields, "import_wh", 3, 0, register) or "",
        power_w=_decimal(fields, "power_w", 0, -units.POWER_MAX_W, units.POWER_MAX_W) or "",
        soc_pct=_decimal(fields, "soc_pct", 4, 0, SOC_MAX * 10_000, optional=True),
        latitude_deg=_decimal(
            fields, "latitude_deg", 6, -units.LATITUDE_MAX_MICRODEG, units.LATITUDE_MAX_MICRODEG,
            optional=True,
        ),
        longitude_deg=_decimal(
            fields, "longitude_deg", 6, -units.LONGITUDE_MAX_MICRODEG,
            units.LONGITUDE_MAX_MICRODEG, optional=True,
        ),
        snr_cdb=None if snr is None else decimal_text(snr, 2),
        records=_records(fields),
    )  # fmt: skip


def to_json(sample: Sample) -> str:
    """The sample as a line that ``parse`` reads back."""
    fields: dict[str, object] = {
        "at": sample.at.isoformat(),
        "vehicle_id": sample.vehicle_id,
        "session_id": sample.session_id,
        "export_wh": sample.export_wh,
        "import_wh": sample.import_wh,
        "power_w": sample.power_w,
    }
    for name in ("soc_pct", "latitude_deg", "longitude_deg"):
        if (value := getattr(sample, name)) is not None:
            fields[name] = value
    if sample.records:
        fields["records"] = list(sample.records)
    return json.dumps(fields, separators=(",", ":"))


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise RefusedError(twice[:_SHOWN_MAX_CHARS], "this name twice", "each name once")
    return fields


def _only(fields: Mapping[str, Any], known: frozenset[str]) -> None:
    for name in fields:
        if name not in known:
            raise RefusedError(name[:_SHOWN_MAX_CHARS], "an unknown name", ", ".join(sorted(known)))


def _wrong(fields: Mapping[str, Any], name: str, expected: str) -> RefusedError:
    found = "missing"
    if name in fields:
        found = json.dumps(fields[name])[:_SHOWN_MAX_CHARS]
    return RefusedError(name, found, expected)


def _id(fields: Mapping[str, Any], name: str) -> str:
    value = fields.get(name)
    if type(value) is not str or not 0 < len(value) <= units.ID_MAX_CHARS:
        raise _wrong(fields, name, f"text of 1 to {units.ID_MAX_CHARS} characters")
    if not value.isprintable():
        raise _wrong(fields, name, "printable characters")
    return value


def _time(fields: Mapping[str, Any], name: str) -> datetime:
    expected = "a time as RFC 3339 text with its offset, such as 2026-07-01T17:00:15Z"
    try:
        at = datetime.fromisoformat(fields[name])
        if at.tzinfo is None:
            raise ValueError
        at = at.astimezone(UTC)
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise _wrong(fields, name, expected) from error
    if not units.EARLIEST <= at < units.LATEST:
        raise _wrong(fields, name, "a time from 2020 to 2099: look at the controller's clock")
    return at


def _decimal(
    fields: Mapping[str, Any],
    name: str,
    places: int,
    low: int,
    high: int,
    *,
    optional: bool = False,
) -> str | None:
    """Decimal text within [low, high], which count units of 10^-places."""
    if optional and name not in fields:
        return None
    value = fields.get(name)
    try:
        if type(value) is str and low <= decimal_text(value, places) <= high:
            return value
    except ValueError:
        pass
    scale = 10**places
    expected = f"a decimal as text from {low // scale} to {high // scale}, {places} places at most"
    raise _wrong(fields, name, expected)


def _records(fields: Mapping[str, Any]) -> tuple[str, ...]:
    value = fields.get("records", [])
    if (
        not isinstance(value, list)
        or len(value) > RECORDS_MAX
        or not all(type(one) is str and one.startswith("OCMF|") for one in value)
    ):
        raise _wrong(fields, "records", f"at most {RECORDS_MAX} OCMF records as text")
    return tuple(value)
