"""A utility's site for tests: throwaway certificates, a server on loopback, and a plain client."""

import ssl
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
from lxml import etree  # type: ignore[import-untyped]

from simulators.sep2 import Authority, Pair, Sep2Server, ServerClock, World

NOON = datetime(2026, 7, 1, 12, 0, tzinfo=UTC)
GCM_AND_CCM8 = "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES128-CCM8:@SECLEVEL=0"
NS = {"s": "urn:ieee:std:2030.5:ns"}
DEADLINE_S = 20


class Clock:
    """A true time that only the test moves."""

    def __init__(self, now: datetime = NOON) -> None:
        self.time = now

    def __call__(self) -> datetime:
        return self.time

    def forward(self, **amount: float) -> None:
        self.time += timedelta(**amount)


class Site:
    """An authority with a server's and two clients' certificates."""

    def __init__(self, folder: Path) -> None:
        self.authority = Authority(folder / "utility")
        self.server = self.authority.server()
        self.client = self.authority.client()
        self.other = self.authority.client("other")
        self.stranger = Authority(folder / "elsewhere", name="stranger").client("stranger")

    def serve(self, world: World, pair: Pair | None = None, **options) -> Sep2Server:
        pair = pair or self.server
        return Sep2Server(
            world,
            certificate=pair.certificate,
            key=pair.key,
            ca=self.authority.certificate,
            **options,
        )

    def context(self, pair: Pair | None = None, *, ciphers: str = GCM_AND_CCM8) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        context.set_ciphers(ciphers)
        context.load_verify_locations(self.authority.certificate)
        pair = pair or self.client
        context.load_cert_chain(pair.certificate, pair.key)
        return context

    @contextmanager
    def talk(self, server: Sep2Server, pair: Pair | None = None, *, timeout_s: float = DEADLINE_S):
        with httpx.Client(
            verify=self.context(pair), base_url=server.url, timeout=timeout_s
        ) as client:
            yield client


def world(clock: Clock | None = None, **options) -> World:
    """A world whose clock only the test moves."""
    return World(clock=ServerClock(clock or Clock()), name="test", **options)


def parsed(body: bytes) -> etree._Element:
    return etree.fromstring(body, etree.XMLParser(resolve_entities=False, no_network=True))


def texts(body: bytes, path: str) -> list[str]:
    """The texts of the elements at a path, such as ``s:DERControl/s:mRID``."""
    return [found.text or "" for found in parsed(body).findall(path, NS)]
