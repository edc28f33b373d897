"""What can be wrong with the keys between us and the clearinghouse.

StorageError
└── SettlementKeyError       ERR_AUTH_EXPIRED: a key or certificate of posting cannot be used
    └── UnsignedError        no key at all, and a partner that is not on this machine
"""

from storage.errors import StorageError

AUTH_EXPIRED = "ERR_AUTH_EXPIRED"
"""First word wherever a certificate is over or a key is badly kept."""


class SettlementKeyError(StorageError):
    """A key or certificate that cannot be used: over, not yet valid, badly kept, of another kind, away.

    Nothing is posted with it; what is booked waits in the outbox.

    Attributes:
        where: the setting, and the file where there is one.
        found: what is wrong.
        do: the command, or the action, that puts it right.
    """

    def __init__(self, where: str, found: str, do: str) -> None:
        super().__init__(f"{AUTH_EXPIRED} {where}: {found}; {do}")
        self.where = where
        self.found = found
        self.do = do


class UnsignedError(SettlementKeyError):
    """Nothing would be signed. Payloads that are not signed are refused by the clearinghouse."""

    def __init__(self, url: str) -> None:
        super().__init__(
            "V2G_SETTLEMENT_KEY_FILE",
            f"no settlement key, and {url} is not on this machine: the clearinghouse refuses"
            " unsigned payloads",
            "make a key: v2g keys init /etc/v2g, and name it",
        )
        self.url = url
