"""What the file of the feeds may say: what is read from whom, and for which program of ours.

One YAML file. A key that is not known is refused by its name and place, because a misspelt one would
be a setting that silently does nothing. Secrets are never in it, only the files that hold them.

Of each program one feed at most states the prices, so that no two of them take turns. Feeds of kind
``json`` and ``file`` name the program in each row: their ``programs`` says for which ones they may
speak, and one feed at most may leave it out, which then speaks for all that no other one claims.
"""

from pathlib import Path
from typing import Annotated, Final, Literal
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationInfo,
    model_validator,
)

from settlement import units
from settlement.hosts import is_loopback

FEEDS_MAX: Final = 64
"""Each is read in a thread of its own."""


def _whole(value: object) -> object:
    """A ``Literal`` of numbers takes no text, and the file is read as text."""
    return int(value) if isinstance(value, str) and value.isascii() and value.isdigit() else value


def _said(path: object) -> object:
    if path == "":
        raise ValueError("expected the name of a file")
    return path


def _beside(path: Path, info: ValidationInfo) -> Path:
    """Relative to the folder of the file in which it stands."""
    folder: Path = (info.context or {}).get("folder", Path())
    return folder / path


def _url(text: str) -> str:
    parts = urlsplit(text)
    try:
        _ = parts.port  # raises where it is none
    except ValueError as error:
        raise ValueError("expected a port from 0 to 65535, or none") from error
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ValueError("expected https://host/path")
    if parts.username or parts.password:
        raise ValueError("expected no user and no password in it; a secret stands in a file")
    if parts.scheme == "http" and not is_loopback(parts.hostname):
        raise ValueError("expected https: http is for this machine only")
    return text


def _https(text: str) -> str:
    if urlsplit(text).scheme != "https":
        raise ValueError("expected https://…, IEEE 2030.5 over TLS")
    return text


def _zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (ValueError, OSError, KeyError) as error:
        raise ValueError("expected a time zone of the IANA database: America/New_York") from error
    return name


Text = Annotated[str, StringConstraints(min_length=1, max_length=256, pattern=r"^[^\x00-\x1f]+$")]
Id = Annotated[
    str, StringConstraints(min_length=1, max_length=units.ID_MAX_CHARS, pattern=r"^[ -~]+$")
]
Name = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9._-]{0,62}$")]
File = Annotated[Path, AfterValidator(_beside), BeforeValidator(_said)]
Url = Annotated[str, AfterValidator(_url)]
Hex = Annotated[
    str, StringConstraints(pattern=r"^([0-9A-Fa-f]{2}){1,20}$"), AfterValidator(str.lower)
]
Lfdi = Annotated[str, StringConstraints(pattern=r"^[0-9A-Fa-f]{40}$"), AfterValidator(str.lower)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _Match(_Strict):
    """Several keys: all of them must fit."""

    @model_validator(mode="after")
    def _says_something(self) -> "_Match":
        if not self.model_fields_set:
            raise ValueError(f"expected one of {', '.join(sorted(type(self).model_fields))}")
        return self


class Sep2Match(_Match):
    """Which program or tariff of the server is meant. Its mRID in lower case."""

    mrid: Hex | None = None
    description: Text | None = None
    href: Text | None = None


class Sep2Program(_Strict):
    """A DERProgram of the server, as a program of ours; ``group``: the site group it addresses."""

    match: Sep2Match
    program: Id
    group: Annotated[str, StringConstraints(max_length=units.ID_MAX_CHARS)] = ""


class Sep2Tariff(_Strict):
    """A TariffProfile of the server, as the price of a program of ours."""

    match: Sep2Match
    program: Id


class OpenAdrMatch(_Match):
    """Which program of the VTN is meant."""

    id: Text | None = None
    name: Text | None = None


class OpenAdrProgram(_Strict):
    """A program of the VTN, as the price of a program of ours."""

    match: OpenAdrMatch
    program: Id
    payload: Literal["EXPORT_PRICE", "PRICE"] = "EXPORT_PRICE"


class _FeedConfig(_Strict):
    """What every feed has.

    Attributes:
        name: of the feed, in `v2g grid status` and beside everything that it said.
        deadline_s: for one whole reading, and for one round of answers. Longer is given up.
    """

    name: Name
    deadline_s: Annotated[int, Field(ge=1, le=90)] = 45


class Sep2Config(_FeedConfig):
    """A utility's server of IEEE 2030.5, over TLS with certificates on both sides.

    Attributes:
        url: of its DeviceCapability.
        certificate: ours, PEM; may hold its chain.
        key: its private key, PEM, mode 0600.
        ca: PEM, whom the server's certificate must come from.
        edition: of the standard by which its events supersede each other.
        clock_tolerance_ms: how far its clock may provably be from ours before nothing of it counts.
        programs: its programs that are ours; of others nothing is kept.
        tariffs: its tariffs that are ours.
        devices: LFDIs, lower case, of the devices to look at; empty: every EndDevice shown to us.
        respond: whether Responses are posted.
    """

    kind: Literal["ieee2030.5"]
    url: Annotated[Url, AfterValidator(_https)]
    certificate: File
    key: File
    ca: File
    edition: Annotated[Literal[2018, 2023], BeforeValidator(_whole)] = 2018
    clock_tolerance_ms: Annotated[int, Field(ge=1, le=60_000)] = 50
    programs: tuple[Sep2Program, ...] = ()
    tariffs: tuple[Sep2Tariff, ...] = ()
    devices: tuple[Lfdi, ...] = ()
    respond: bool = True


class OpenAdrConfig(_FeedConfig):
    """A VTN of OpenADR 3; the client authenticates by OAuth2 client credentials (RFC 6749 4.4).

    Attributes:
        url: its base, to which /programs and /events are appended.
        token_url: where the token comes from.
        client_id: ours.
        client_secret_file: mode 0600.
        ca: PEM, whom the server's certificate must come from; none: the machine's own list.
        programs: its programs that are ours.
        every_s: how often it is read.
    """

    kind: Literal["openadr3"]
    url: Url
    token_url: Url
    client_id: Text
    client_secret_file: File
    ca: File | None = None
    programs: Annotated[tuple[OpenAdrProgram, ...], Field(min_length=1)]
    every_s: Annotated[int, Field(ge=1, le=86_400)] = 300


class _RowsConfig(_FeedConfig):
    """Feeds whose rows name the program themselves.

    Attributes:
        programs: those for which it may speak; empty: all that no other feed claims.
        every_s: how often it is read.
    """

    programs: tuple[Id, ...] = ()
    every_s: Annotated[int, Field(ge=1, le=86_400)] = 60


class JsonConfig(_RowsConfig):
    """Events and prices as plain JSON over HTTP: GET ``url``/v1/events and ``url``/v1/prices.

    Attributes:
        url: the root.
        token_file: file with a bearer token (RFC 6750), mode 0600; none: no token is sent.
        ca: PEM, whom the server's certificate must come from; none: the machine's own list.
    """

    kind: Literal["json"]
    url: Url
    token_file: File | None = None
    ca: File | None = None


class FileConfig(_RowsConfig):
    """A file that somebody puts there anew: prices as CSV, or events and prices as JSON.

    Attributes:
        path: .csv or .json.
        program: of rows that name none.
        timezone: of times that say no offset, such as America/New_York; none: they are refused.
    """

    kind: Literal["file"]
    path: File
    program: Id | None = None
    timezone: Annotated[str, AfterValidator(_zone)] | None = None

    @model_validator(mode="after")
    def _of_a_known_kind(self) -> "FileConfig":
        if self.path.suffix.lower() not in {".csv", ".json"}:
            raise ValueError(
                f"path: {self.path.name!r}; expected a name that ends in .csv or .json"
            )
        return self


class ComedConfig(_FeedConfig):
    """ComEd's public prices of five minutes, a wholesale index for demonstrations.

    Attributes:
        url: its interface.
        program: the program of ours that is paid by it.
        every_s: how often it is read.
    """

    kind: Literal["comed"]
    url: Url = "https://hourlypricing.comed.com/api"
    program: Id
    every_s: Annotated[int, Field(ge=60, le=86_400)] = 300


FeedConfig = Sep2Config | OpenAdrConfig | JsonConfig | FileConfig | ComedConfig


class GridConfig(_Strict):
    """The whole file."""

    feeds: Annotated[
        tuple[Annotated[FeedConfig, Field(discriminator="kind")], ...], Field(max_length=FEEDS_MAX)
    ]

    def spoken_for(self, feed: FeedConfig) -> frozenset[str]:
        """Programs whose prices this feed may not state, because another one claims them."""
        return frozenset().union(*(prices_of(one) for one in self.feeds if one.name != feed.name))


def prices_of(feed: FeedConfig) -> frozenset[str]:
    """The programs for whose prices a feed is named."""
    match feed:
        case Sep2Config():
            return frozenset(tariff.program for tariff in feed.tariffs)
        case OpenAdrConfig():
            return frozenset(one.program for one in feed.programs)
        case ComedConfig():
            return frozenset({feed.program})
        case FileConfig() if feed.program and not feed.programs:
            return frozenset({feed.program})
        case JsonConfig() | FileConfig():
            return frozenset(feed.programs)


def speaks_for_the_rest(feed: FeedConfig) -> bool:
    """Whether its rows may name any program that no other feed claims."""
    return isinstance(feed, JsonConfig | FileConfig) and not prices_of(feed)
