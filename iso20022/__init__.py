"""ISO 20022 at the edge: what banks say and are told, bytes to records and back; no I/O.

    documents    bytes to elements: within limits, and with nothing that XML can do besides
    currencies   decimal text to minor units and back, exactly
    identifiers  IBAN, BIC, and the ids under which a posting goes to a bank
    camt054      read a bank's notification of debits and credits
    pain001      write a credit transfer initiation

Errors:
    Iso20022Error   what was wrong, where, what was expected
"""

from iso20022.camt054 import Entry, Notification, RefusedEntry, Side, Standing, read_notification
from iso20022.currencies import decimal_of, exponent_of, minor_of
from iso20022.errors import Iso20022Error
from iso20022.identifiers import (
    end_to_end_id,
    posting_id_of,
    wrong_in_bic,
    wrong_in_iban,
    wrong_in_name,
)
from iso20022.pain001 import Debtor, Initiation, Transfer, write_initiation

__all__ = [
    "Debtor",
    "Entry",
    "Initiation",
    "Iso20022Error",
    "Notification",
    "RefusedEntry",
    "Side",
    "Standing",
    "Transfer",
    "decimal_of",
    "end_to_end_id",
    "exponent_of",
    "minor_of",
    "posting_id_of",
    "read_notification",
    "write_initiation",
    "wrong_in_bic",
    "wrong_in_iban",
    "wrong_in_name",
]
