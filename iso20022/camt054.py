"""Reading camt.054, a bank's notification of debits and credits, into records.

Versions .001.02 to .001.12 are read; they differ in shapes, and
little in names. Each entry is made from its own element, so that one that cannot be read stops no
other. An entry that names its payments one by one gives a record for each.
"""

import re
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from enum import StrEnum
from functools import cache
from importlib import import_module
from typing import Any, Final, NamedTuple

from xsdata.exceptions import ConverterWarning
from xsdata.formats.dataclass.context import XmlContext
from xsdata.formats.dataclass.parsers import XmlParser
from xsdata.formats.dataclass.parsers.config import ParserConfig
from xsdata.formats.dataclass.parsers.handlers import XmlEventHandler

from iso20022.currencies import minor_of
from iso20022.documents import Element, tree
from iso20022.errors import Iso20022Error

__all__ = ["Entry", "Notification", "RefusedEntry", "Side", "Standing", "read_notification"]

NAMESPACE: Final = "urn:iso:std:iso:20022:tech:xsd:camt.054.001."
VERSIONS: Final = tuple(f"{number:02}" for number in range(2, 13))
_DIGITS_MAX: Final = 15
_ZONED_DATE: Final = re.compile(r"([0-9]{4}-[0-9]{2}-[0-9]{2})(Z|[+-][0-9]{2}:[0-9]{2})")
_EXPECTED: Final = "a camt.054 of version " + ", ".join(VERSIONS)
_CONTEXT: Final = XmlContext()
_CONFIG: Final = ParserConfig(fail_on_unknown_properties=False)


class Side(StrEnum):
    """Seen from our account."""

    CREDIT = "CRDT"
    DEBIT = "DBIT"


class Standing(StrEnum):
    """How far the bank has come with an entry."""

    BOOKED = "BOOK"
    PENDING = "PDNG"
    INFORMATION = "INFO"
    """Told, and of no effect on the account."""
    FUTURE = "FUTR"


@dataclass(frozen=True, slots=True)
class Entry:
    """One payment of a notification, or an entry whose payments the bank does not name.

    Attributes:
        line: where its entry begins in the file.
        reference: the bank's own; of the payment where it has one, otherwise of the entry.
        amount_minor: never negative; ``side`` says which way it went.
        currency: ISO 4217.
        side: debit: it left our account.
        standing: booked, or not yet.
        booked_at: the booking date, at 00:00 UTC where the bank gives no time; None where it gives none.
        message_id: of the file it was ordered with; empty where the bank names none.
        instruction_id: ours.
        end_to_end_id: ours.
        creditor_account: IBAN or other number; empty where it names none.
        is_reversal: an earlier entry taken back.
        return_reason: code, or the bank's words, of a payment that came back; None where none did.
        payments: how many the entry sums up without naming them; 1 where this is one payment.
        detail: what the bank adds in words.
        is_charge: no payment: what of an entry that was charged belongs to none of its payments.
    """

    line: int
    reference: str
    amount_minor: int
    currency: str
    side: Side
    standing: Standing
    booked_at: datetime | None
    message_id: str
    instruction_id: str
    end_to_end_id: str
    creditor_account: str
    is_reversal: bool
    return_reason: str | None
    payments: int
    detail: str
    is_charge: bool = False


class RefusedEntry(NamedTuple):
    """An entry that cannot be read: the line it begins on, what is wrong in it, what was expected."""

    line: int
    where: str
    found: str
    expected: str


@dataclass(frozen=True, slots=True)
class Notification:
    """A camt.054: its id, when it was made, the period it says it covers, and its entries."""

    version: str
    message_id: str
    created_at: datetime
    period: tuple[datetime, datetime] | None
    entries: tuple[Entry, ...]
    refused: tuple[RefusedEntry, ...]


def read_notification(body: bytes, *, where: str) -> Notification:
    """A notification from its bytes.

    Raises:
        Iso20022Error: see ``documents.tree``; another message, or another version; no id or no time.
    """
    root = tree(body, where=where)
    version = root.tag.partition("}")[0].removeprefix("{" + NAMESPACE)
    if version not in VERSIONS or not root.tag.endswith("}Document"):
        raise Iso20022Error(where, f"the root {root.tag[:120]}", _EXPECTED, line=root.line)
    models = _models(version)
    header = root.find(f"{{*}}{models.message}/{{*}}GrpHdr")
    if header is None:
        raise Iso20022Error(where, "no GrpHdr", _EXPECTED, line=root.line)
    made = _model(header, models.header, where)
    entries: list[Entry] = []
    refused: list[RefusedEntry] = []
    for element in root.iterfind(f"{{*}}{models.message}/{{*}}Ntfctn/{{*}}Ntry"):
        assert isinstance(element, Element)
        try:
            entries += _entries(element, models.entry, where)
        except Iso20022Error as error:
            refused.append(RefusedEntry(element.line, error.where, error.found, error.expected))
    return Notification(
        version=version,
        message_id=made.msg_id,
        created_at=_time(made.cre_dt_tm, "CreDtTm"),
        period=_period(root, models.message),
        entries=tuple(entries),
        refused=tuple(refused),
    )


class _Models(NamedTuple):
    message: str
    header: type
    entry: type


@cache
def _models(version: str) -> _Models:
    """The library's models of a version: loading one takes a fifth of a second."""
    module = import_module(f"pyiso20022.camt.camt_054_001_{version}.camt_054_001_{version}")
    body = module.Document.__dataclass_fields__["bk_to_cstmr_dbt_cdt_ntfctn"]
    meta = _CONTEXT.build(module.Document)
    message = next(iter(meta.find_children(f"{{{NAMESPACE}{version}}}{body.metadata['name']}")))
    assert message.clazz is not None
    parts = _CONTEXT.build(message.clazz)
    header, notification = (_class_of(parts, name, version) for name in ("GrpHdr", "Ntfctn"))
    entry = _class_of(_CONTEXT.build(notification), "Ntry", version)
    return _Models(str(body.metadata["name"]), header, entry)


def _class_of(meta: Any, name: str, version: str) -> type:
    found = next(iter(meta.find_children(f"{{{NAMESPACE}{version}}}{name}")))
    made: type = found.clazz
    return made


def _model(element: Any, kind: type, where: str) -> Any:
    parser = XmlParser(config=_CONFIG, context=_CONTEXT, handler=XmlEventHandler)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", ConverterWarning)
            return parser.parse(element, kind)
    except (ValueError, TypeError, ConverterWarning) as error:
        found = " ".join(str(error).split())[:200]
        name = element.tag.partition("}")[2]
        raise Iso20022Error(where, found, f"a {name} as the standard has it") from error


def _entries(element: Element, kind: type, where: str) -> Iterator[Entry]:
    total = _total(element)
    # Before the model, which uses the element up. Its numbers are exact, and it takes 1_0 for one.
    own = _own(element)
    amounts = [_own_amount(node) for node in element.iterfind(f"{own}NtryDtls/{own}TxDtls")]
    entry = _model(element, kind, where)
    details = [each for part in entry.ntry_dtls for each in part.tx_dtls]
    batch = next((part.btch for part in entry.ntry_dtls if part.btch is not None), None)
    if not details:
        yield _record(element, entry, None, total, batch)
        return
    if None in amounts and len(amounts) > 1:
        raise Iso20022Error("TxDtls", "no amount", "one for each payment of an entry of several")
    made = [
        _record(element, entry, detail, named or total, batch)
        for named, detail in zip(amounts, details, strict=True)
    ]
    charged = _require_whole(total, made, entry)
    yield from made
    if charged:
        side = Side.DEBIT if charged > 0 else Side.CREDIT
        charge = _record(element, entry, None, (abs(charged), total[1]), None)
        yield replace(charge, side=side, is_charge=True)


def _own(element: Element) -> str:
    """The namespace of an element, as it stands before the names of its own: others' are not ours."""
    return element.tag.partition("}")[0] + "}"


def _total(element: Element) -> tuple[int, str]:
    own = element.find(f"{_own(element)}Amt")
    if own is None:
        raise Iso20022Error("Ntry", "no Amt", "an amount with its currency")
    return _amount(own)


def _amount(node: Any) -> tuple[int, str]:
    currency = node.get("Ccy", "")
    minor = minor_of(node.text or "", currency)
    if minor < 0:
        raise Iso20022Error("Amt", (node.text or "")[:40], "an amount that is not negative")
    return minor, currency


def _own_amount(payment: Any) -> tuple[int, str] | None:
    """A payment's amount: its own, or that of the transaction, as older versions have it."""
    own = _own(payment)
    for path in (f"{own}Amt", f"{own}AmtDtls/{own}TxAmt/{own}Amt"):
        node = payment.find(path)
        if node is not None:
            return _amount(node)
    return None


def _require_whole(total: tuple[int, str], made: list[Entry], entry: Any) -> int:
    """An entry is the sum of its payments, each on its own side, unless it says that it was charged.

    Returns:
        What was charged, in minor units; negative where charges were given back.
    """
    if any(one.currency != total[1] for one in made):
        return 0  # exchanged on the way: the payments count, in their own currency
    own = Side(entry.cdt_dbt_ind.value)
    found = sum(one.amount_minor if one.side is own else -one.amount_minor for one in made)
    if found != total[0] and not entry.chrgs:
        raise Iso20022Error(
            "Ntry", f"payments that sum to {found}", f"{total[0]} minor units, as the entry says"
        )
    rest = total[0] - found
    return rest if own is Side.DEBIT else -rest


def _record(
    element: Element, entry: Any, detail: Any, amount: tuple[int, str], batch: Any
) -> Entry:
    refs = getattr(detail, "refs", None)
    returned = getattr(detail, "rtr_inf", None)
    status = getattr(entry.sts, "cd", entry.sts)
    side = getattr(detail, "cdt_dbt_ind", None) or entry.cdt_dbt_ind
    booked = entry.bookg_dt
    standing = str(getattr(status, "value", status))
    if standing not in list(Standing):
        raise Iso20022Error("Sts", repr(standing), f"one of {', '.join(Standing)}")
    return Entry(
        line=element.line,
        reference=_text(refs, "acct_svcr_ref") or _text(entry, "acct_svcr_ref", "ntry_ref"),
        amount_minor=amount[0],
        currency=amount[1],
        side=Side(side.value),
        standing=Standing(standing),
        booked_at=None if booked is None else _time(booked.dt_tm or booked.dt, "BookgDt"),
        message_id=_text(refs, "msg_id") or _text(batch, "msg_id"),
        instruction_id=_text(refs, "instr_id"),
        end_to_end_id=_text(refs, "end_to_end_id"),
        creditor_account=_account(detail),
        is_reversal=bool(entry.rvsl_ind),
        return_reason=None if returned is None else _reason(returned),
        payments=1 if detail is not None else _number(_text(batch, "nb_of_txs")),
        detail=_text(detail, "addtl_tx_inf") or _text(entry, "addtl_ntry_inf"),
    )


def _number(text: str) -> int:
    if text and not (text.isascii() and text.isdigit() and len(text) <= _DIGITS_MAX):
        raise Iso20022Error("NbOfTxs", repr(text[:40]), f"at most {_DIGITS_MAX} digits")
    return int(text or 1)


def _text(of: Any, *names: str) -> str:
    """The first of these that is there; empty where none is."""
    return next((str(getattr(of, name)) for name in names if getattr(of, name, None)), "")


def _account(detail: Any) -> str:
    account = getattr(getattr(detail, "rltd_pties", None), "cdtr_acct", None)
    number = getattr(account, "id", None)
    return _text(number, "iban") or _text(getattr(number, "othr", None), "id")


def _reason(returned: Any) -> str:
    said = " ".join(str(each) for each in returned.addtl_inf)
    return f"{_text(returned.rsn, 'cd', 'prtry')} {said}".strip() or "no reason given"


def _period(root: Element, message: str) -> tuple[datetime, datetime] | None:
    """From the first start to the last end that its notifications state; None where one has none."""
    spans = []
    for notification in root.iterfind(f"{{*}}{message}/{{*}}Ntfctn"):
        ends = [notification.findtext(f"{{*}}FrToDt/{{*}}{name}") for name in ("FrDtTm", "ToDtTm")]
        try:
            start, end = (_zoned(datetime.fromisoformat((text or "").strip())) for text in ends)
        except (ValueError, OverflowError):
            return None
        spans.append((start, end))
    if not spans:
        return None
    return min(start for start, _ in spans), max(end for _, end in spans)


def _time(value: Any, where: str) -> datetime:
    """A time, or a date at 00:00; UTC where the bank names no zone."""
    text = str(value).strip()
    try:
        # Python would read the zone of a date as its time of day.
        return _zoned(datetime.fromisoformat(_ZONED_DATE.sub(r"\1T00:00:00\2", text)))
    except (ValueError, OverflowError) as error:
        raise Iso20022Error(where, repr(str(value)[:40]), "a date or a time") from error


def _zoned(at: datetime) -> datetime:
    return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)
