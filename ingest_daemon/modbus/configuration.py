"""The poller's file: which devices, which of their registers, and what of them is plausible.

YAML (or JSON, which is YAML), checked whole before anything is polled: unknown keys, wrong types and
contradictions are refused, each with the device and the key it stands at.
"""

import re
from collections.abc import Hashable, Iterable, Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from ingest_daemon.errors import IngestError
from settlement.sensors import Limits

FILE_MAX_BYTES: Final = 8 * 1024 * 1024
DEVICES_MAX: Final = 5_000
REGISTERS_MAX: Final = 256
"""Plain registers of one device."""

_TAKEN: Final = re.compile(r"-$|\d+(#\d+)?\.")
"""Names that discovery gives, and that of what was lost."""

Kind = Literal["int16", "uint16", "int32", "uint32", "float32"]
Words = Literal["big", "little"]
Name = Annotated[str, Field(min_length=1, max_length=100, pattern=r"^[\x21-\x7e]+$")]
Exact = Annotated[
    Decimal, BeforeValidator(lambda given: str(given) if type(given) is float else given)
]
"""A decimal as it is written: 0.1 is a tenth, not the double next to it."""
DeviceId = Annotated[int, Field(ge=1, le=255)]
Address = Annotated[int, Field(ge=0, le=65_535)]


class ConfigError(IngestError):
    """The file cannot be used; every reason is listed."""

    exit_status = 2


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Plausible(_Strict):
    """``settlement.sensors.Limits``, in °C and seconds."""

    low_c: Exact = Field(default=Decimal(0), ge=-50, le=150)
    high_c: Exact = Field(default=Decimal(150), ge=-50, le=150)
    step_c: Exact = Field(default=Decimal(2), ge=0, le=200)
    rate_c_per_s: Exact = Field(default=Decimal("0.5"), ge=0, le=200)
    confirm_polls: int = Field(default=3, ge=1, le=1_000)
    confirm_s: float = Field(default=60, ge=0, le=86_400)
    stuck_polls: int = Field(default=240, ge=0, le=1_000_000)
    stuck_s: float = Field(default=43_200, ge=0, le=31_622_400)

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.low_c >= self.high_c:
            raise ValueError(
                f"low_c {self.low_c} and high_c {self.high_c}; expected low below high"
            )
        return self

    def limits(self) -> Limits:
        """The same in milli-°C and microseconds."""
        return Limits(
            low=_thousandths(self.low_c),
            high=_thousandths(self.high_c),
            step=_thousandths(self.step_c),
            rate_per_s=_thousandths(self.rate_c_per_s),
            confirm_polls=self.confirm_polls,
            confirm_us=round(self.confirm_s * 1_000_000),
            stuck_polls=self.stuck_polls,
            stuck_us=round(self.stuck_s * 1_000_000),
        )


class Register(_Strict):
    """A temperature in one register, or in two."""

    sensor: Name
    address: Address
    type: Kind
    function: Literal[3, 4] = 3
    device_id: DeviceId | None = None
    words: Words = "big"
    scale: Exact = Field(default=Decimal(1), gt=0, le=1_000_000)
    unit: Literal["C", "K", "F"] = "C"
    missing: tuple[int, ...] = ()
    battery: bool = True
    plausible: Plausible | None = None


class SunSpec(_Strict):
    """Discovery: where the chain may begin, and which of its temperatures are wanted (patterns)."""

    bases: tuple[Address, ...] = Field(default=(40_000, 0, 50_000), min_length=1, max_length=8)
    sensors: tuple[str, ...] | None = None
    battery: tuple[str, ...] | None = None
    registers_per_read: int = Field(default=125, ge=8, le=125)


class LimitRegister(_Strict):
    """Where a limit of the charger's power is written, by whoever throttles; never by the poller."""

    address: Address
    type: Literal["int16", "uint16", "int32", "uint32"]
    words: Words = "big"
    scale_w: Exact = Field(default=Decimal(1), gt=0, le=1_000_000)
    unlimited: int

    @model_validator(mode="after")
    def _can_be_written(self) -> Self:
        bits = 16 * width(self.type)
        least, beyond = (-(1 << bits - 1), 1 << bits - 1) if self.type[0] == "i" else (0, 1 << bits)
        if not least <= self.unlimited < beyond:
            raise ValueError(
                f"unlimited {self.unlimited}; expected {least} to {beyond - 1}, what {self.type} can hold"
            )
        if self.unlimited == 0:
            raise ValueError('unlimited 0; expected another value: 0 is what "0 W" is written as')
        if self.address + width(self.type) > 65_536:  # noqa: PLR2004 - the protocol's addresses
            raise ValueError(f"address {self.address}; expected room for {self.type}")
        return self


class Device(_Strict):
    """One device, as it is reached."""

    name: Name
    host: str = Field(min_length=1, max_length=253)
    port: int = Field(default=502, ge=1, le=65_535)
    device_id: DeviceId = 1
    evse_id: Name
    vehicle_id: str = Field(default="", max_length=100)
    every_s: float = Field(default=15, ge=0.05, le=86_400)
    deadline_s: float = Field(default=3, ge=0.01, le=300)
    sunspec: SunSpec | None = None
    registers: tuple[Register, ...] = Field(default=(), max_length=REGISTERS_MAX)
    plausible: Plausible = Plausible()
    limit: LimitRegister | None = None

    @model_validator(mode="after")
    def _belongs_together(self) -> Self:
        if self.sunspec is None and not self.registers:
            raise ValueError("neither sunspec nor registers; expected one of them")
        if self.deadline_s > self.every_s:
            raise ValueError(
                f"deadline_s {self.deadline_s} beyond every_s {self.every_s}; expected it within"
            )
        if twice := _twice(one.sensor for one in self.registers):
            raise ValueError(f"sensor {twice} twice; expected each name once")
        for one in self.registers:
            if _TAKEN.match(one.sensor):
                raise ValueError(f"sensor {one.sensor}; expected a name that no SunSpec sensor has")
            if one.address + width(one.type) > 65_536:  # noqa: PLR2004 - the protocol's addresses
                raise ValueError(
                    f"{one.sensor}: address {one.address}; expected room for {one.type}"
                )
        return self

    @property
    def of_battery(self) -> bool:
        """Whether it may say a temperature of the battery."""
        found = self.sunspec is not None and self.sunspec.battery != ()
        return found or any(one.battery for one in self.registers)


class Fleet(_Strict):
    """The file. ``concurrency``: how many devices are asked at one time, at most."""

    concurrency: int = Field(default=64, ge=1, le=1_000)
    devices: tuple[Device, ...] = Field(max_length=DEVICES_MAX)

    @model_validator(mode="after")
    def _do_not_collide(self) -> Self:
        if not self.devices:
            raise ValueError("no devices; expected at least one")
        if twice := _twice(one.name for one in self.devices):
            raise ValueError(f"two devices {twice}; expected each name once")
        if place := _twice((one.host, one.port, one.device_id) for one in self.devices):
            raise ValueError(f"two devices at {place}; expected each polled once")
        if evse := _twice(one.evse_id for one in self.devices if one.of_battery):
            raise ValueError(
                f"two devices would both say the battery's temperature at {evse}; expected one:"
                " set battery: [] under sunspec, or battery: false, of the other"
            )
        return self


def width(kind: Kind) -> int:
    """Registers of a type."""
    return 2 if kind.endswith("32") else 1


def load(path: Path) -> Fleet:
    """The file, checked.

    Raises:
        ConfigError: it cannot be read, or used; every reason is listed.
    """
    try:
        with path.open("rb") as stream:
            text = stream.read(FILE_MAX_BYTES + 1)
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}; expected a file that can be read") from error
    if len(text) > FILE_MAX_BYTES:
        raise ConfigError(f"{path}: more than {FILE_MAX_BYTES} bytes; expected a list of devices")
    return parse(text, where=str(path))


def parse(text: bytes, *, where: str) -> Fleet:
    """The same from its text. Raises ConfigError."""
    try:
        given = yaml.load(text, Loader=_OnceLoader)  # noqa: S506 - a SafeLoader
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{where}: no YAML: {error}") from error
    if not isinstance(given, dict):
        raise ConfigError(f"{where}: found {type(given).__name__}; expected a mapping with devices")
    given = _with_defaults(given)
    try:
        return Fleet.model_validate(given)
    except ValidationError as error:
        reasons = "\n".join(_reason(where, given, dict(one)) for one in error.errors())
        raise ConfigError(reasons) from error


class _OnceLoader(yaml.SafeLoader):
    """Refuses a key that stands twice, which YAML forbids and PyYAML takes."""

    def construct_mapping(  # as PyYAML has it
        self,
        node: yaml.MappingNode,
        deep: bool = False,  # noqa: FBT001, FBT002
    ) -> dict[Hashable, Any]:
        keys = [self.construct_object(key, deep=deep) for key, _ in node.value]
        if twice := _twice(keys):
            raise yaml.constructor.ConstructorError(
                None, None, f"the key {twice} stands twice", node.start_mark
            )
        return super().construct_mapping(node, deep=deep)


def _with_defaults(given: Mapping[Any, Any]) -> dict[Any, Any]:
    """``defaults`` beneath every device; a mapping in it beneath the device's own."""
    rest = dict(given)
    defaults, devices = rest.pop("defaults", None), rest.get("devices")
    if isinstance(defaults, Mapping) and isinstance(devices, list):
        rest["devices"] = [
            _beneath(defaults, one) if isinstance(one, Mapping) else one for one in devices
        ]
    elif defaults is not None:
        rest["defaults"] = defaults
    return rest


def _beneath(defaults: Mapping[Any, Any], own: Mapping[Any, Any]) -> dict[Any, Any]:
    merged = dict(defaults)
    for key, value in own.items():
        below = merged.get(key)
        if isinstance(below, Mapping) and isinstance(value, Mapping):
            merged[key] = {**below, **value}
        else:
            merged[key] = value
    return merged


def _reason(where: str, given: Mapping[Any, Any], error: Mapping[str, Any]) -> str:
    """One line: file, device by its name, key, what was found, what was expected."""
    path: Sequence[Any] = error["loc"]
    place, devices = "", given.get("devices")
    if len(path) > 1 and path[0] == "devices" and isinstance(devices, list):
        named = devices[path[1]]
        name = named.get("name") if isinstance(named, Mapping) else None
        place, path = f"device {name or f'number {path[1] + 1}'}: ", path[2:]
    key = "".join(f"[{one}]" if isinstance(one, int) else f".{one}" for one in path).lstrip(".")
    said = str(error["msg"]).removeprefix("Value error, ")
    if error["type"] == "extra_forbidden":
        said = "unknown key; expected one of those in docs/temperatures.md"
    elif error["type"] == "missing":
        said = "missing; expected a value"
    elif error["type"] != "value_error":
        said = f"found {str(error['input'])[:80]!r}; {said[:1].lower()}{said[1:]}"
    return f"{where}: {place}{key + ': ' if key else ''}{said}"


def _twice(values: Iterable[Any]) -> Any:
    """The first value that comes again; None where none does."""
    seen: set[Any] = set()
    for value in values:
        if value in seen:
            return value
        seen.add(value)
    return None


def _thousandths(value: Decimal) -> int:
    return round(value * 1000)
