"""The charger: whose word sets the power, and what reaches the agent."""

from decimal import Decimal
from typing import Any

import pytest

from iso15118_bridge.bridge import Bridge
from iso15118_bridge.codec import RECEIVED, SENT
from iso15118_bridge.meter import SimulatedMeter
from iso15118_bridge.samples import Reason
from tests.iso15118.sessions import START, at, begun, loop, message


class Charger:
    """A bridge with a clock of the test's own, and what it sends and tells."""

    def __init__(self, rated_w=11_000):
        self.ns = 0
        self.sent: list[Any] = []
        self.told: list[Any] = []
        self.meter = SimulatedMeter("M1", monotonic_ns=lambda: self.ns, now=self.now)
        self.bridge = Bridge(
            self.meter,
            rated_w=rated_w,
            send=self.sent.append,
            tell=lambda what, facts: self.told.append((what, dict(facts))),
        )

    def now(self):
        return at(self.ns / 1e9)

    def wait(self, seconds):
        self.ns += int(seconds * 1e9)

    def receive(self, *messages):
        for one in messages:
            self.wait(0.01)
            self.bridge.message(RECEIVED, one, self.now())

    def plug_in(self, service=6, **car):
        """Up to the closed contactor, over TLS, with a car that asks for 8 kW."""
        self.bridge.secured("TLSv1.3")
        self.receive(*begun(service, **car))
        self.bridge.energise(on=True)
        self.bridge.asked(Decimal(8_000))

    def loop(self):
        shown = self.bridge.show()
        self.wait(0.01)
        self.bridge.message(SENT, loop(shown.export_milliwh // 1000, import_wh=0)[1], self.now())

    def said(self, what):
        return [facts for told, facts in self.told if told == what]


@pytest.fixture
def charger():
    return Charger()


def test_the_car_s_wish_sets_the_power_and_every_loop_is_a_sample(charger):
    # given a car that asks for 8 kW
    charger.plug_in()
    assert charger.meter.power_w == 8_000

    # when three loops pass, a second apart
    for _ in range(3):
        charger.wait(1)
        charger.loop()
    charger.bridge.end("unplugged")

    # then the agent is told registers that rise with it, and the end
    lines = [line for line in charger.sent if "at" in line]
    assert [line["power_w"] for line in lines] == ["8000"] * 5 + ["0"]
    assert (lines[0]["export_wh"], lines[0]["import_wh"]) == ("0.000", "0.000")
    assert float(lines[-1]["export_wh"]) == pytest.approx(8000 * 3.03 / 3600, abs=0.01)
    assert charger.sent[-1] == {"end": True, "session_id": "00000000000000A1"}


@pytest.mark.parametrize(
    ("car_w", "rated_w", "power_w"), [(3_000, 11_000, 3_000), (20_000, 5_000, 5_000)]
)
def test_neither_the_car_s_limit_nor_the_charger_s_rating_is_exceeded(car_w, rated_w, power_w):
    charger = Charger(rated_w)
    charger.plug_in(limit_w=car_w)
    assert charger.meter.power_w == power_w


def test_a_limit_of_the_agent_stops_the_discharge_at_once_and_lifting_it_lets_it_go_on(charger):
    # given 8 kW
    charger.plug_in()
    charger.wait(1)

    # when the agent says 0
    charger.bridge.limit({"limit_w": 0, "command_id": "c-1"})

    # then nothing flows, nothing is offered, and both sides of the step have a sample
    assert (charger.meter.power_w, charger.bridge.discharge_limit_w) == (0, 0)
    before, cut, after = charger.sent[-3:]
    assert (before["power_w"], cut["end"], after["power_w"]) == ("8000", True, "0")
    assert before["export_wh"] == after["export_wh"]
    assert charger.said("limit") == [{"limit_w": 0, "power_w": 0, "command_id": "c-1"}]

    # when the agent lifts it
    charger.bridge.limit({"limit_w": None, "command_id": "c-2"})

    # then it goes on
    assert (charger.meter.power_w, charger.bridge.discharge_limit_w) == (8_000, 11_000)


@pytest.mark.parametrize("limit", [-1, True, "0", 1.5, 10**9])
def test_a_limit_that_is_none_changes_nothing_and_is_told(charger, limit):
    charger.plug_in()
    charger.bridge.limit({"limit_w": limit})
    assert charger.meter.power_w == 8_000
    assert charger.said("limit_refused")[0]["found"] == limit


def test_a_limit_holds_before_a_car_is_there(charger):
    charger.bridge.limit({"limit_w": 0})
    charger.plug_in()
    assert charger.meter.power_w == 0


def test_a_car_that_chose_to_charge_gives_nothing(charger):
    charger.bridge.secured("TLSv1.3")
    *before, _ = begun()
    charger.receive(*before, message("PowerDeliveryReq", BPT_ChannelSelection="Charge"))
    charger.bridge.energise(on=True)
    charger.bridge.asked(Decimal(8_000))
    assert charger.meter.power_w == 0


def test_a_one_way_service_gives_no_power_and_no_line(charger):
    charger.plug_in(2)
    charger.loop()
    charger.bridge.end("unplugged")
    assert charger.meter.power_w == 0
    assert charger.sent == []
    assert [one["reason"] for one in charger.said("note")] == ["NOT_BIDIRECTIONAL"]


def test_without_proof_of_tls_nothing_flows_and_nothing_is_sent(charger):
    # given a connection that nobody has vouched for
    charger.receive(*begun())
    charger.bridge.energise(on=True)
    charger.bridge.asked(Decimal(8_000))
    charger.loop()

    # then
    assert (charger.meter.power_w, charger.sent) == (0, [])
    assert [one["reason"] for one in charger.said("refused")] == ["NOT_TLS"]
    assert charger.bridge.refusals == 1


def test_the_proof_of_one_car_does_not_serve_the_next(charger):
    charger.plug_in()
    charger.bridge.end("unplugged")
    charger.receive(*begun())
    charger.bridge.energise(on=True)
    charger.bridge.asked(Decimal(8_000))
    assert charger.meter.power_w == 0


def test_a_lost_register_stops_the_energy_that_nobody_could_be_paid_for(charger):
    charger.plug_in()
    charger.bridge.lost("found nothing")
    assert charger.meter.power_w == 0
    assert charger.said("refused")[0]["reason"] == Reason.REGISTER_LOST.name


def test_the_contactor_s_opening_counts_the_last_watt_second(charger):
    charger.plug_in()
    charger.wait(0.9)
    charger.bridge.energise(on=False)
    assert charger.sent[-3]["export_wh"] == "2.000"
    assert charger.sent[-1]["at"] == (START.replace(microsecond=960_000)).isoformat(
        timespec="milliseconds"
    )
