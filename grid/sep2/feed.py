"""The feed of kind ``ieee2030.5``: an aggregator's client, from the DeviceCapability to its Responses."""

import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Final

from grid.config import FeedConfig, Sep2Config
from grid.errors import AuthExpiredError, FeedRefusedError, FeedUnreadableError, GridFeedError
from grid.feeds import Answered, FeedReading, ResponseDue, ResponseSent, Secrets
from grid.records import Refusal
from grid.sep2 import controls, programs
from grid.sep2.bounds import Bounds
from grid.sep2.client import Client, OurClock
from grid.sep2.connection import Connection
from grid.sep2.controls import Control
from grid.sep2.discovery import Found, discover
from grid.sep2.errors import Sep2Error
from grid.sep2.events import Seen, events, ours
from grid.sep2.prices import prices
from grid.sep2.responses import Assigned, body, due
from grid.sep2.tls import OwnCertificate, context, own_certificate

__all__ = ["Sep2Feed", "open_feed"]

POLL_DEFAULT: Final = timedelta(seconds=900)
POLL_MIN: Final = timedelta(seconds=10)
"""A server that asks to be polled more often is not."""
AGAIN: Final = timedelta(seconds=60)
"""After a reading in which a document could not be had, unless it is due earlier."""
SPARE_S: Final = 1.0
"""With less than that left no answer is posted any more."""
_SHARE: Final = 0.8
"""Of the feed's deadline for all documents."""
_LAST_SHARE: Final = 0.1
"""For asking the clocks once more; the rest is for handing over what was read."""


class Sep2Feed:
    """One server of IEEE 2030.5. Opened per reading or kept: it holds no connection between calls.

    Args:
        config: of this feed.
        secrets: reads the key's file.
        monotonic: seconds, which never go back.
        sleep: waits so many seconds: for the tick of the server's clock, and between attempts.
        bounds: of one conversation.
    """

    def __init__(
        self,
        config: Sep2Config,
        secrets: Secrets,
        *,
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
        bounds: Bounds | None = None,
    ) -> None:
        self._config = config
        self._secrets = secrets
        self._monotonic = monotonic
        self._sleep = sleep
        self._bounds = bounds or Bounds()

    @property
    def name(self) -> str:
        """As configured."""
        return self._config.name

    @property
    def kind(self) -> str:
        """As configured."""
        return self._config.kind

    def read(
        self,
        now: Callable[[], datetime],
        answered: Answered = (),
        opted_out: Mapping[tuple[str, str], datetime] | None = None,
    ) -> FeedReading:
        """All that the server says to us.

        Args:
            now: the time in UTC; asked once.
            answered: mRID, LFDI (upper case) and status of every answer that was due before.
            opted_out: by mRID and LFDI, since when the device's user has left an event.

        Raises:
            ClockOffError: its clock is provably further off than agreed, or was set meanwhile.
            GridFeedError: its root, its clock or its list of devices cannot be had or read.
        """
        ours_ = OurClock(now, self._monotonic)
        with self._connect(ours_.now()) as (connection, own):
            client = Client(
                connection,
                ours_,
                tolerance=timedelta(milliseconds=self._config.clock_tolerance_ms),
                sleep=self._sleep,
            )
            try:
                found = discover(client, self._config.url, own, lfdis=self._config.devices)
                seen, rates = self._controls(client, found)
                received_at = ours_.now()
                priced, price_rates = prices(
                    client, self._config, found.tariffs, received_at=received_at
                )
                connection.deadline.extend(self._config.deadline_s * _LAST_SHARE)
                client.check_clocks()
            except Sep2Error as error:
                why = error.refusal()
                raise FeedUnreadableError(why.where, why.found, why.expected) from error
        said, taken, contradictory = events(
            seen, feed=self.name, edition=self._config.edition, received_at=received_at
        )
        for refusal in contradictory:
            client.refuse(refusal)
        owed, next_true_at = self._due(taken, ours_.now(), answered, opted_out)
        next_in = _next_in(
            [*found.poll_rates_s, *rates, *price_rates],
            trouble=client.missed,
            until=None if next_true_at is None else next_true_at - ours_.now(),
        )
        return FeedReading(
            events=said,
            prices=priced,
            documents=list(client.documents.values()),
            refused=client.refused,
            notes=client.notes,
            whole=client.whole,
            clock=found.clock,
            responses=owed,
            next_in=next_in,
        )

    def respond(
        self, due: Sequence[ResponseDue], now: Callable[[], datetime]
    ) -> Sequence[ResponseSent]:
        """Post answers, each once; what the server cannot take now is still due, as is what there is no
        time for, of which nothing is told.
        """
        if not due:
            return []
        sent: list[ResponseSent] = []
        try:
            with self._connect(now()) as (connection, _):
                for response in due:
                    if connection.deadline.all_left < SPARE_S:
                        break  # what was not tried is no failure of the server's
                    what_became = _post(connection, response)
                    sent.append(what_became)
        except AuthExpiredError as error:
            # Of the connection, not of one answer: the rest waits for whoever renews it.
            done = {one.response for one in sent}
            sent += [ResponseSent(one, "due", str(error)) for one in due if one not in done]
        return sent

    @contextmanager
    def _connect(self, now: datetime) -> Iterator[tuple[Connection, OwnCertificate]]:
        """Raises AuthExpiredError: our own certificate or key cannot be used."""
        config = self._config
        own = own_certificate(config.certificate, now=now)
        tls = context(config.certificate, config.key, config.ca, secrets=self._secrets)
        with Connection(
            config.url,
            tls,
            seconds=config.deadline_s * _SHARE,
            monotonic=self._monotonic,
            sleep=self._sleep,
            who=f"LFDI {own.lfdi}, SFDI {own.sfdi}",
            bounds=self._bounds,
        ) as connection:
            yield connection, own

    def _controls(self, client: Client, found: Found) -> tuple[list[Seen], list[int]]:
        """What the programs that are ours say; the others are noted, once, and left out."""
        mapped, ambiguous, others = ours(self._config, found.programs.values())
        for refusal in ambiguous:
            client.refuse(refusal)
        for note in others:
            client.note(note)
        seen: list[Seen] = []
        rates: list[int] = []
        for place, to_us in mapped:
            program = place.said
            if program.default_control_href:
                client.attempt(program.default_control_href, controls.default_control)
            if not program.controls_href:
                client.refuse(
                    Refusal(place.where, f"{program.href} without DERControlListLink", "its list")
                )
                continue
            shown = client.listed(program.controls_href, controls.controls, _name)
            rates += [shown.poll_rate_s] if shown.poll_rate_s is not None else []
            seen += [Seen(one, place, to_us, document) for one, document in shown.each()]
        if any(point.unit == "%" for one in seen for point in one.control.setpoints):
            _settings(client, found)
        return seen, rates

    def _due(
        self,
        taken: Mapping[str, Sequence[Seen]],
        now: datetime,
        answered: Answered,
        opted_out: Mapping[tuple[str, str], datetime] | None,
    ) -> tuple[list[ResponseDue], datetime | None]:
        if not self._config.respond:
            return [], None
        assigned: dict[str, list[Assigned]] = defaultdict(list)
        for same in taken.values():
            of_device: dict[str, Seen] = {}
            for one in sorted(same, key=lambda one: one.control.href, reverse=True):
                of_device |= dict.fromkeys(one.place.lfdis, one)
            for lfdi, one in sorted(of_device.items()):
                program = one.place.said
                assigned[lfdi].append(Assigned(one.control, program.mrid, program.primacy))
        return due(
            assigned,
            feed=self.name,
            edition=self._config.edition,
            now=now,
            answered=answered,
            opted_out=opted_out,
        )


def open_feed(config: FeedConfig, secrets: Secrets) -> Sep2Feed:
    """The feed of that configuration; see ``grid.feeds.open_feed``."""
    if not isinstance(config, Sep2Config):
        raise TypeError(f"{config.name}: a feed of kind {config.kind}, expected ieee2030.5")
    return Sep2Feed(config, secrets)


def _name(control: Control) -> str:
    """Two of one mRID that say different things are told apart, so that both are seen and compared."""
    return f"mRID {control.mrid}, {sha256(control.raw).hexdigest()[:8]}"


def _settings(client: Client, found: Found) -> None:
    """What 100 % are for each device: kept beside the controls that ask for a share of it."""
    for device in found.devices:
        if not device.ders_href:
            continue
        shown = client.listed(device.ders_href, programs.ders, lambda one: one.href)
        for der, _ in shown.each():
            # Where a device has set none, there is none to fetch: that is no trouble.
            if der.settings_href:
                client.attempt(der.settings_href, programs.der_settings, may_lack=True)


def _post(connection: Connection, response: ResponseDue) -> ResponseSent:
    try:
        status = connection.post(response.reply_to, body(response))
    except AuthExpiredError:
        raise
    except (FeedRefusedError, FeedUnreadableError) as error:
        return ResponseSent(response, "refused", str(error))
    except GridFeedError as error:
        return ResponseSent(response, "due", str(error))
    return ResponseSent(response, "posted", f"HTTP {status}")


def _next_in(rates_s: Sequence[int], *, trouble: bool, until: timedelta | None) -> timedelta:
    """When to read again: as often as the server asks, sooner where something is due or went wrong."""
    wanted = min((timedelta(seconds=one) for one in rates_s if one), default=POLL_DEFAULT)
    if trouble:
        wanted = min(wanted, AGAIN)
    if until is not None:
        wanted = min(wanted, until)
    return max(POLL_MIN, min(wanted, timedelta(days=1)))
