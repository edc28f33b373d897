"""Events as IEEE 2030.5 documents: ``DERControlList`` (2018 edition, clause 10.10) in XML.

Read with expat and nothing of what XML can do besides elements: a document type declaration, and so
every entity of its own, is refused before anything is expanded. Of each control the identity, the
creation time, the interval and the status are taken, wherever its other elements come from.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final
from xml.parsers import expat

from cases.errors import CaseError, quoted
from settlement import units

FILE_MAX_BYTES: Final = 16 * 2**20

NAMESPACE: Final = "urn:ieee:std:2030.5:ns"

_DEPTH_MAX: Final = 64
_TEXT_MAX_CHARS: Final = 4096
_LIST: Final = f"{NAMESPACE} DERControlList"
_CONTROL: Final = f"{NAMESPACE} DERControl"
_CANCELLED: Final = frozenset({2, 3})
_STATUS_MAX: Final = 4
_DIGITS_MAX: Final = 15
_EARLIEST_S: Final = int(units.EARLIEST.timestamp())
_LATEST_S: Final = int(units.LATEST.timestamp())
_WANTED: Final = frozenset(
    {
        "mRID",
        "version",
        "creationTime",
        "interval/start",
        "interval/duration",
        "EventStatus/currentStatus",
        "EventStatus/dateTime",
    }
)


@dataclass(frozen=True, slots=True)
class Control:
    """One ``DERControl``.

    Attributes:
        mrid: its identity.
        version: rises with every change; 0 where none is said.
        created_at: ``creationTime``.
        started_at: start of ``interval``; a randomized start is up to each device and left aside.
        ended_at: its end.
        status_at: ``EventStatus/dateTime``: since when the status is so.
        cancelled: whether the status is 2 or 3, cancelled; the others are evidence only.
        line: where it stands in its document.
    """

    mrid: str
    version: int
    created_at: datetime
    started_at: datetime
    ended_at: datetime
    status_at: datetime
    cancelled: bool
    line: int


@dataclass(frozen=True, slots=True)
class ControlList:
    """One ``DERControlList``: its address without query, how many controls it has on the server, and
    those that this document carries.
    """

    href: str
    all: int
    controls: tuple[Control, ...]


def read_controls(data: bytes, file: str) -> ControlList:
    """Read a document.

    Raises:
        CaseError: no XML, a document type declaration, another root, or a control that lacks an
            element or holds what does not fit.
    """
    parser = expat.ParserCreate(namespace_separator=" ")
    document = _Document(file, parser)
    parser.buffer_text = True
    parser.StartElementHandler = document.start
    parser.EndElementHandler = document.end
    parser.CharacterDataHandler = document.text
    parser.StartDoctypeDeclHandler = document.doctype
    try:
        parser.Parse(data, True)
    except CaseError:
        raise
    except (expat.ExpatError, ValueError, LookupError) as error:
        raise CaseError(
            file,
            f"no well-formed XML ({error})",
            "a DERControlList of IEEE 2030.5",
            row=parser.CurrentLineNumber,
        ) from error
    return ControlList(document.href.partition("?")[0], document.all, tuple(document.made))


class _Document:
    """What expat's handlers gather: the path of open elements, and the fields of the open control."""

    def __init__(self, file: str, parser: expat.XMLParserType) -> None:
        self.file = file
        self.parser = parser
        self.href = ""
        self.all = 0
        self.made: list[Control] = []
        self.path: list[str] = []
        self.fields: dict[str, str] = {}
        self.line = 1
        self.letters: list[str] = []

    def error(self, found: str, expected: str, *, column: str = "") -> CaseError:
        return CaseError(
            self.file, found, expected, row=self.parser.CurrentLineNumber, column=column
        )

    def doctype(self, *_: object) -> None:
        raise self.error("a document type declaration", "none: it could declare entities")

    def start(self, name: str, attributes: dict[str, str]) -> None:
        if not self.path:
            if name != _LIST:
                raise self.error(
                    f"the root {quoted(name.rpartition(' ')[2])} in {quoted(name.rpartition(' ')[0])}",
                    f"a DERControlList in {NAMESPACE}",
                )
            self.href = attributes.get("href", "")[:_TEXT_MAX_CHARS]
            self.all = self.whole("all", attributes.get("all", "0"))
        if len(self.path) >= _DEPTH_MAX:
            raise self.error(f"elements {_DEPTH_MAX} deep", "a DERControlList")
        self.path.append(name)
        self.letters = []
        if self.path == [_LIST, _CONTROL]:
            self.fields = {}
            self.line = self.parser.CurrentLineNumber

    def text(self, letters: str) -> None:
        if len(self.path) > len((_LIST, _CONTROL)):
            self.letters.append(letters)

    def end(self, _: str) -> None:
        below = self.path[2:]
        if self.path[:2] == [_LIST, _CONTROL]:
            name = "/".join(one.removeprefix(f"{NAMESPACE} ") for one in below)
            if name in _WANTED:
                if name in self.fields:
                    raise self.error(f"{name} twice", "each element once", column=name)
                self.fields[name] = "".join(self.letters).strip()
            elif not below:
                self.made.append(self.control())
        self.letters = []
        self.path.pop()

    def control(self) -> Control:
        started_at = self.moment("interval/start")
        length = self.whole("interval/duration", self.need("interval/duration"))
        longest = (units.LATEST - started_at) // timedelta(seconds=1)
        if not 0 < length <= longest:
            raise self.error(
                f"{length} seconds",
                f"1 to {longest}: an end before {units.LATEST.year}",
                column="interval/duration",
            )
        ended_at = started_at + timedelta(seconds=length)
        status = self.whole("EventStatus/currentStatus", self.need("EventStatus/currentStatus"))
        if status > _STATUS_MAX:
            raise self.error(f"{status}", "0 to 4", column="EventStatus/currentStatus")
        mrid = self.need("mRID")
        if len(mrid) > units.ID_MAX_CHARS or not mrid.isprintable():
            raise self.error(
                quoted(mrid), f"1 to {units.ID_MAX_CHARS} printable characters", column="mRID"
            )
        return Control(
            mrid=mrid,
            version=self.whole("version", self.fields.get("version", "0")),
            created_at=self.moment("creationTime"),
            started_at=started_at,
            ended_at=ended_at,
            status_at=self.moment("EventStatus/dateTime"),
            cancelled=status in _CANCELLED,
            line=self.line,
        )

    def need(self, name: str) -> str:
        value = self.fields.get(name, "")
        if not value:
            raise self.error("nothing", "a value", column=name)
        return value

    def whole(self, name: str, digits: str) -> int:
        if not (digits.isascii() and digits.isdigit() and len(digits) <= _DIGITS_MAX):
            raise self.error(quoted(digits), "a whole number", column=name)
        return int(digits)

    def moment(self, name: str) -> datetime:
        seconds = self.whole(name, self.need(name))
        if not _EARLIEST_S <= seconds <= _LATEST_S:
            raise self.error(
                f"{seconds}",
                f"seconds since 1970 (UTC) from {_EARLIEST_S} to {_LATEST_S}",
                column=name,
            )
        return datetime.fromtimestamp(seconds, UTC)
