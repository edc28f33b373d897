"""IBAN, BIC, names, and the ids under which a posting goes to a bank and comes back."""

import re
from typing import Final
from uuid import UUID

_IBAN: Final = re.compile(r"[A-Z]{2}[0-9]{2}[A-Z0-9]{11,30}")
_BIC: Final = re.compile(r"[A-Z0-9]{4}[A-Z]{2}[A-Z0-9]{2}(?:[A-Z0-9]{3})?")
_NAME: Final = re.compile(r"[A-Za-z0-9/?:().,'+ -]{1,70}")
_HEX: Final = re.compile(r"[0-9a-f]{32}")
_CHECK_MODULUS: Final = 97


def wrong_in_iban(iban: str) -> str:
    """What is wrong with an IBAN without spaces (ISO 13616); empty where nothing is.

    >>> wrong_in_iban("DE89370400440532013000"), wrong_in_iban("DE88370400440532013000")
    ('', 'check digits that do not fit')
    """
    if not _IBAN.fullmatch(iban):
        return "not two letters, two digits and 11 to 30 letters and digits"
    digits = "".join(str(int(letter, 36)) for letter in iban[4:] + iban[:4])
    return "" if int(digits) % _CHECK_MODULUS == 1 else "check digits that do not fit"


def wrong_in_bic(bic: str) -> str:
    """What is wrong with a BIC (ISO 9362); empty where nothing is.

    >>> wrong_in_bic("COBADEFFXXX")
    ''
    """
    return "" if _BIC.fullmatch(bic) else "not 8 or 11 letters and digits, such as COBADEFFXXX"


def wrong_in_name(name: str) -> str:
    """What is wrong with a payee's name for a transfer; empty where nothing is.

    Banks everywhere take these letters and no others; 70 of them in SEPA.

    >>> wrong_in_name("Müller")
    "a letter beyond A-Z a-z 0-9 / ? : ( ) . , ' + - and space"
    """
    if not name.strip() or len(name) > 70:  # noqa: PLR2004 - said in the message
        return "empty, or longer than 70 characters"
    if not _NAME.fullmatch(name):
        return "a letter beyond A-Z a-z 0-9 / ? : ( ) . , ' + - and space"
    return ""


def end_to_end_id(posting_id: str) -> str:
    """A posting's id as a bank takes it: without dashes, 32 of the 35 characters there are.

    Raises:
        ValueError: no UUID.

    >>> end_to_end_id("e54703b2-8173-52ef-91ce-77d7e9687bb1")
    'e54703b2817352ef91ce77d7e9687bb1'
    """
    return UUID(posting_id).hex


def posting_id_of(end_to_end: str) -> str:
    """The posting's id that a bank gives back; another text stays as it is, and none stays none.

    >>> posting_id_of("E54703B2817352EF91CE77D7E9687BB1")
    'e54703b2-8173-52ef-91ce-77d7e9687bb1'
    >>> posting_id_of("NOTPROVIDED"), posting_id_of("RENT 7")
    ('', 'RENT 7')
    """
    text = end_to_end.strip()
    if text == "NOTPROVIDED":
        return ""
    # Some banks give everything back in capitals.
    return str(UUID(text.lower())) if _HEX.fullmatch(text.lower()) else text
