"""What the fields of a packet mean, in words, for who looks at one.

The words of the project's own packet stand where it is read (``jws.FIELDS``); these are the meters'
(OCMF 1.4 §3) and OCPP's.
"""

from collections.abc import Mapping
from typing import Final

from settlement.packets import ocmf_fields as rd

OCMF: Final[Mapping[str, str]] = {
    "FV": "version of the format",
    "GI": "gateway: its id",
    "GS": "gateway: its serial number; the meter's where MS is missing",
    "GV": "gateway: its version",
    "PG": "pagination: T transaction or F fiscal, and a number that rises by one per record",
    "MV": "meter: its vendor",
    "MM": "meter: its model",
    "MS": "meter: its serial number, under which its key is registered",
    "MF": "meter: its firmware",
    "IS": "whether a user was assigned",
    "IL": "how sure that is",
    "IF": "by what means it was made sure",
    "IT": "type of the user's id",
    "ID": "the user's id; the car's where the type is EVCCID or EMAID",
    "TT": "tariff",
    "CF": "charge controller: its firmware",
    "LC": "compensation of the cable's loss",
    "CT": "type of the charge point's id",
    "CI": "the charge point's id; the EVSE where the type is EVSEID",
    "RD": "the readings",
    "TM": "time, and how good the clock was",
    "TX": "place in the transaction",
    "RV": "what the register showed",
    "RI": "which register (OBIS)",
    "RU": "its unit",
    "RT": "kind of current",
    "CL": "loss of the cable so far",
    "EF": "error flags",
    "ST": "status of the meter",
    "SA": "algorithm that it claims; the key's record decides",
    "SE": "how the signature is written: hex or base64",
    "SM": "form of the signature",
    "SD": "the signature",
}

OCPP: Final[Mapping[str, str]] = {
    "signedMeterData": "the meter's record, as base64",
    "signingMethod": "algorithm; empty where the record says it itself",
    "encodingMethod": "format of the record",
    "publicKey": "a key that came along; it proves nothing and is not used",
    "value": "the object with the record, as text (OCPP 1.6)",
    "format": "SignedData where the value is such an object",
}

JOSE: Final[Mapping[str, str]] = {
    "alg": "algorithm that it claims; the key's record decides",
    "kid": "the key: its thumbprint",
    "typ": "type of the token",
}


def spelled_out(name: str, value: str) -> str:
    """What a coded value of an OCMF reading says; empty where it says nothing more than itself.

    >>> spelled_out("TM", "2018-07-24T13:22:04,000+0200 S"), spelled_out("RI", "1-b:2.8.e")
    ('clock synchronised', 'export, register 2.8.0')
    """
    match name:
        case "TM" if value[-1:].isalpha() and value[-2:-1] == " ":
            return f"clock {rd.CLOCKS.get(value[-1], 'of a state that no version names')}"
        case "TX":
            return rd.KINDS.get(value, "")
        case "ST":
            return rd.STATUSES.get(value, "")
        case "EF":
            found = (said for letter, said in rd.ERROR_FLAGS.items() if letter in value)
            return ", ".join(found)
        case "RI":
            register = rd.register_of(value)
            way = "export" if register in rd.EXPORT_REGISTERS else "import"
            return f"{way}, register {register}" if register else "no register that counts here"
        case _:
            return ""
