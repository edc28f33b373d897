"""How long, how often and how much: the bounds of one conversation, which hold for every byte of it."""

from dataclasses import dataclass

from grid.sep2.documents import BODY_MAX_BYTES

__all__ = ["Bounds"]


@dataclass(frozen=True, slots=True)
class Bounds:
    """How long, how often, how much.

    Attributes:
        connect_s: for TCP, and again for TLS.
        silence_s: between two bytes.
        document_s: for one document, all attempts together; less where time is short.
        attempts: at one document.
        redirects: followed for one document.
        documents: in one conversation.
        body_bytes: of one document.
        all_bytes: of all documents of one conversation.
    """

    connect_s: float = 5.0
    silence_s: float = 5.0
    document_s: float = 10.0
    attempts: int = 3
    redirects: int = 3
    documents: int = 20_000
    body_bytes: int = BODY_MAX_BYTES
    all_bytes: int = 64 * 1024 * 1024
