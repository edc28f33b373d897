"""Notifications of our own making, in the shapes that their versions have."""

from collections.abc import Iterable

IBAN = "DE89370400440532013000"
OTHER_IBAN = "GB82WEST12345698765432"


def payment(
    end_to_end: str,
    amount: str = "3.77",
    currency: str = "EUR",
    *,
    version: str = "08",
    side: str = "DBIT",
    iban: str = IBAN,
    returned: str = "",
    reference: str = "",
) -> str:
    """One TxDtls."""
    own = f'<Amt Ccy="{currency}">{amount}</Amt><CdtDbtInd>{side}</CdtDbtInd>'
    if version == "02":
        own = f'<AmtDtls><TxAmt><Amt Ccy="{currency}">{amount}</Amt></TxAmt></AmtDtls>'
    ref = f"<AcctSvcrRef>{reference}</AcctSvcrRef>" if reference else ""
    why = f"<RtrInf><Rsn><Cd>{returned}</Cd></Rsn></RtrInf>" if returned else ""
    return (
        f"<TxDtls><Refs><MsgId>M-1</MsgId>{ref}<InstrId>I-1</InstrId>"
        f"<EndToEndId>{end_to_end}</EndToEndId></Refs>{own}"
        f"<RltdPties><CdtrAcct><Id><IBAN>{iban}</IBAN></Id></CdtrAcct></RltdPties>{why}</TxDtls>"
    )


def entry(
    payments: Iterable[str],
    amount: str = "3.77",
    currency: str = "EUR",
    *,
    version: str = "08",
    side: str = "DBIT",
    status: str = "BOOK",
    reference: str = "R-1",
    booked: str = "<Dt>2026-07-02</Dt>",
    batch: str = "",
    reversal: bool = False,
) -> str:
    """One Ntry."""
    state = f"<Cd>{status}</Cd>" if version == "08" else status
    code = "<BkTxCd><Prtry><Cd>X</Cd></Prtry></BkTxCd>"
    own = "".join(payments)
    details = f"<NtryDtls>{batch}{own}</NtryDtls>" if own or batch else ""
    back = "<RvslInd>true</RvslInd>" if reversal else ""
    return (
        f'<Ntry><NtryRef>{reference}</NtryRef><Amt Ccy="{currency}">{amount}</Amt>'
        f"<CdtDbtInd>{side}</CdtDbtInd>{back}<Sts>{state}</Sts><BookgDt>{booked}</BookgDt>"
        f"{code}{details}</Ntry>"
    )


def notification(entries: Iterable[str], *, version: str = "08", period: bool = True) -> bytes:
    """A camt.054."""
    span = (
        "<FrToDt><FrDtTm>2026-07-02T00:00:00Z</FrDtTm><ToDtTm>2026-07-03T00:00:00Z</ToDtTm></FrToDt>"
        if period
        else ""
    )
    lines = "\n".join(entries)
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        f'<Document xmlns="urn:iso:std:iso:20022:tech:xsd:camt.054.001.{version}">'
        "<BkToCstmrDbtCdtNtfctn><GrpHdr><MsgId>N-1</MsgId><CreDtTm>2026-07-03T01:00:00Z</CreDtTm>"
        "</GrpHdr><Ntfctn><Id>N-1-1</Id><CreDtTm>2026-07-03T01:00:00Z</CreDtTm>"
        f"{span}<Acct><Id><IBAN>{OTHER_IBAN}</IBAN></Id></Acct>\n{lines}\n"
        "</Ntfctn></BkToCstmrDbtCdtNtfctn></Document>\n"
    ).encode()
