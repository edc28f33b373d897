"""What a world is made of: devices, programs, controls with every version, tariffs, responses.

Times are aware and whole seconds; what is said from when on stands beside each value, so that what
the server says at a moment follows from the moment alone.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from decimal import Decimal
from enum import Enum, IntEnum

from simulators.sep2.modes import ModeValue, names


class Edition(IntEnum):
    """The edition of IEEE 2030.5 that the server follows."""

    E2018 = 2018
    E2023 = 2023


class Manner(Enum):
    """How the server marks superseded events.

    STANDARD: as its edition says. EARLY: as soon as an overlapping control is created, whatever the
    controls target, as one open source server does; a client that believes it loses money.
    """

    STANDARD = "standard"
    EARLY = "early"


class Flow(IntEnum):
    """Whose energy a price is for (FlowDirectionType)."""

    IMPORT = 1
    EXPORT = 19


@dataclass(frozen=True, slots=True)
class Settings:
    """DERSettings and DERCapability of a device, watts."""

    max_w: int = 11_000
    max_charge_w: int | None = None
    max_discharge_w: int | None = None


@dataclass(slots=True)
class Device:
    """An EndDevice. ``manager`` is the LFDI of the aggregator that may see it, beside its own."""

    number: int
    lfdi: str
    sfdi: int
    pin: int
    since: datetime
    manager: str | None = None
    settings: Settings | None = None
    put: dict[str, bytes] = field(default_factory=dict)
    """Documents that the client has put, by the last part of their path."""


@dataclass(frozen=True, slots=True)
class Cancellation:
    """From ``at`` on the server says that the event is cancelled."""

    at: datetime
    randomized: bool = False
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Content:
    """What a control says, from ``since`` on.

    Attributes:
        since: from when on the server serves this content.
        created_at: its creationTime.
        start: of its interval.
        duration_s: of its interval.
        modes: by element name, see ``simulators.sep2.modes``.
        randomize_start_s: randomizeStart, -3600 to 3600; None leaves the element out.
        randomize_duration_s: the same for the duration.
        version: None leaves the element out.
        description: up to 32 characters; None leaves the element out.
        extensions: XML that is put at the end of the DERControlBase, as it is.
        response_required: hex bits: 1 received, 2 specific, 4 of the end user.
    """

    since: datetime
    created_at: datetime
    start: datetime
    duration_s: int
    modes: Mapping[str, ModeValue]
    randomize_start_s: int | None = None
    randomize_duration_s: int | None = None
    version: int | None = 0
    description: str | None = None
    extensions: str = ""
    response_required: int = 3

    @property
    def end(self) -> datetime:
        """Where the interval ends."""
        return self.start + timedelta(seconds=self.duration_s)

    @property
    def earliest_start(self) -> datetime:
        """The earliest Effective Start Time."""
        return self.start + timedelta(seconds=min(0, self.randomize_start_s or 0))

    @property
    def latest_end(self) -> datetime:
        """The end of the maximum Effective Scheduled Period."""
        spread = max(0, self.randomize_start_s or 0) + max(0, self.randomize_duration_s or 0)
        return self.end + timedelta(seconds=spread)

    @property
    def mode_names(self) -> frozenset[str]:
        """What it targets."""
        return names(self.modes)

    def overlaps(self, other: "Content") -> bool:
        """Whether the two intervals, half-open, have a moment in common."""
        return self.start < other.end and other.start < self.end


@dataclass(slots=True)
class Control:
    """A DERControl in a program: every content it has had, newest last, and how it ended."""

    number: int
    mrid: str
    program: int
    contents: list[Content]
    cancellation: Cancellation | None = None
    withdrawn_at: datetime | None = None
    """From then on it is not served any more, without a word."""
    claimed: tuple[int, datetime] | None = None
    """A status and its time that the server claims instead of the true ones."""

    def at(self, moment: datetime) -> Content | None:
        """What it says at that moment; None while it is not there yet, or not any more."""
        if self.withdrawn_at is not None and self.withdrawn_at <= moment:
            return None
        said = [content for content in self.contents if content.since <= moment]
        return said[-1] if said else None

    def cancelled(self, moment: datetime) -> Cancellation | None:
        """The cancellation, once it stands."""
        one = self.cancellation
        return one if one is not None and one.at <= moment else None


@dataclass(slots=True)
class Program:
    """A DERProgram; ``devices`` None: every device is assigned to it."""

    number: int
    mrid: str
    description: str
    primacy: int
    devices: frozenset[str] | None
    controls: list[Control] = field(default_factory=list)
    default_modes: Mapping[str, ModeValue] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class PriceContent:
    """What a TimeTariffInterval says, from ``since`` on; price None leaves the element out."""

    since: datetime
    created_at: datetime
    start: datetime
    duration_s: int
    price: int | None
    version: int = 0

    @property
    def end(self) -> datetime:
        """Where the interval ends."""
        return self.start + timedelta(seconds=self.duration_s)


@dataclass(slots=True)
class Interval:
    """A TimeTariffInterval: every content it has had, newest last."""

    number: int
    mrid: str
    contents: list[PriceContent]
    cancellation: Cancellation | None = None

    def at(self, moment: datetime) -> PriceContent | None:
        """What it says at that moment; None while it is not there yet."""
        said = [content for content in self.contents if content.since <= moment]
        return said[-1] if said else None


@dataclass(slots=True)
class Rate:
    """A RateComponent with its ReadingType: prices for one direction, in one unit."""

    number: int
    mrid: str
    tariff: int
    description: str
    flow: Flow
    power_of_ten: int
    intervals: list[Interval] = field(default_factory=list)


@dataclass(slots=True)
class Tariff:
    """A TariffProfile; currency is the number of ISO 4217."""

    number: int
    mrid: str
    description: str
    currency: int
    multiplier: int
    primacy: int
    devices: frozenset[str] | None
    rates: list[Rate] = field(default_factory=list)

    def scaled(self, price: Decimal) -> int:
        """The whole number that stands for a price. Raises ValueError where none does exactly."""
        scaled = price.scaleb(-self.multiplier)
        if scaled != scaled.to_integral_value() or not -(2**31) <= scaled < 2**31:
            raise ValueError(
                f"price {price}: expected a 32-bit whole number times 10 to the {self.multiplier}"
            )
        return int(scaled)


@dataclass(frozen=True, slots=True)
class Answer:
    """A Response that a client has posted.

    Attributes:
        href: where it is kept.
        kind: its root element.
        subject: mRID of the event, lower-case hex.
        status: 1 received, 2 started, 3 completed, 6 cancelled, 7 superseded, …
        lfdi: the device it speaks for, capitals.
        client: the LFDI of the certificate it came with.
        created_at: as the client says, seconds since 1970.
        received_at: the server's time.
        body: as it came.
    """

    href: str
    kind: str
    subject: str
    status: int | None
    lfdi: str
    client: str
    created_at: int | None
    received_at: datetime
    body: bytes


def altered(content: Content, **changes: object) -> Content:
    """The content with other values. Raises TypeError for a name that it has not."""
    return replace(content, **changes)  # type: ignore[arg-type]
