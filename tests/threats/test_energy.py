"""S10 to S13 and S16: energy that was moved, and is not what the program buys."""

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

import pytest

from storage.engine import Role, connect
from storage.registry import Contract, put_contracts, put_program
from tests.ocmf import make_meter, make_record, point
from tests.packets import make_packet_2
from tests.tasks.metered import Metered
from tests.tasks.scene import HOUR, PROGRAM, PROGRAM_FILE, START, Scene, now, vehicle_of
from tests.threats.claims import STEP, Liar, land_at, unpaid
from tests.threats.conftest import EVSE

VEHICLE = vehicle_of(EVSE)
LONG_AGO = START - timedelta(days=30)


def net(scene: Scene, **changes: Any) -> None:
    """From now on the program pays for export minus import."""
    version = changes.pop("version", 2)
    scene.program(valid_from=LONG_AGO, version=version, quantity="net", **changes)


def settle(scene: Scene, packets: Iterable[bytes], **how: Any):
    scene.deliver(packets)
    return scene.settle(**how)


# --- S10 cycling -------------------------------------------------------------------------------


def test_s10_energy_that_goes_round_in_the_event_earns_nothing(scene: Scene) -> None:
    # given who charges for half of the event and discharges the same in the other half
    net(scene)
    settled = settle(scene, Liar(scene, EVSE, VEHICLE).steps([-7_200, -7_200, 7_200, 7_200]))
    assert (settled.paid_milliwh, unpaid(settled)) == (0, {"NETTED": 3_600})
    assert scene.owed() == {}


def test_s10_going_round_many_times_earns_no_more_than_the_net_export(scene: Scene) -> None:
    # given quick cycles whose net export is one kWh
    net(scene)
    liar = Liar(scene, EVSE, VEHICLE)
    minute = timedelta(minutes=1)
    cycles = [
        liar.step(START + n * minute, 11_000 if n % 2 else -10_000, length=minute)
        for n in range(60)
    ]
    settled = settle(scene, cycles)
    # then a kWh is what 30 minutes at 11 kW less 30 minutes at 10 kW come to
    assert 0 < settled.paid_milliwh <= 500_000


def test_s10_charging_just_before_the_event_never_raises_what_is_paid(
    scene: Scene, plain_database: str
) -> None:
    # given a program that looks back an hour
    net(scene, checks={"lookback_min": 60, "register_vs_power_pct": 5})
    liar = Liar(scene, EVSE, VEHICLE)
    before = liar.steps([-3_600, -3_600], START - HOUR / 2)
    settled = settle(scene, before + liar.steps([7_200] * 4))
    # then what was charged to be discharged is deducted, and the rest is paid
    assert unpaid(settled)["CHARGED_BEFORE"] == 1_800
    assert settled.paid_milliwh == 7_200_000 - 1_800_000


def test_s10_charging_long_before_is_no_offence(scene: Scene) -> None:
    net(scene, checks={"lookback_min": 60, "register_vs_power_pct": 5})
    liar = Liar(scene, EVSE, VEHICLE)
    before = liar.steps([-3_600, -3_600], START - HOUR - HOUR / 2)
    settled = settle(scene, before + liar.steps([7_200] * 4))
    assert settled.paid_milliwh == 7_200_000


# --- S11 own load ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("quantity", "paid_wh"), [("export_only", 3_600), ("net", 0)], ids=["export only", "net"]
)
def test_s11_what_the_own_load_takes_back_is_paid_or_not_as_the_contract_rule_says(
    scene: Scene, quantity: str, paid_wh: int
) -> None:
    # given who gives for half of the event and draws the same for the other half
    scene.program(valid_from=LONG_AGO, version=2, quantity=quantity)
    settled = settle(scene, Liar(scene, EVSE, VEHICLE).steps([7_200, 7_200, -7_200, -7_200]))
    assert settled.paid_milliwh == paid_wh * 1000


@pytest.mark.parametrize("exported_wh", [0, 30], ids=["shows none", "shows it"])
def test_s11_a_premise_meter_that_shows_no_export_pays_none_whatever_the_charger_claims(
    scene: Scene, exported_wh: int
) -> None:
    # given the certified meter of the premise, whose record the charger's packet carries
    one = Metered(scene, make_meter())
    one.enrol()
    record = make_record(
        one.meter,
        [
            point(0, export_kwh="1000.000", import_kwh="250.000", kind="B"),
            point(15, export_kwh=f"1000.{exported_wh:03d}", import_kwh="250.000", kind="E"),
        ],
    )
    # when the charger claims 7.2 kW of discharge around it
    power = "7200" if exported_wh else None
    packet = make_packet_2(
        scene.keys[EVSE],
        [record],
        evse_id=EVSE,
        sequence=0,
        started_at=_time(START),
        ended_at=_time(START + timedelta(seconds=15)),
        power_start_w=power,
        power_end_w=power,
        soc_start_pct="80.0000",
        soc_end_pct="46.0000",
    )
    settled = settle(scene, [packet])
    # then the meter decides, both ways
    assert scene.rows("select reason, detail from quarantine") == []
    assert settled.paid_milliwh == exported_wh * 1000


def test_s11_a_charger_that_contradicts_the_premise_meter_is_not_paid_either(scene: Scene) -> None:
    # given a premise meter that shows export, and a charger whose own powers say it was charging
    one = Metered(scene, make_meter())
    one.enrol()
    packet = make_packet_2(
        scene.keys[EVSE],
        [make_record(one.meter)],
        evse_id=EVSE,
        sequence=0,
        started_at=_time(START),
        ended_at=_time(START + timedelta(seconds=15)),
        power_start_w="-7200",
        power_end_w="-7200",
    )
    settled = settle(scene, [packet])
    assert (settled.paid_milliwh, unpaid(settled)) == (0, {"ERR_DATA_INCONSISTENCY": 30})


def _time(at: datetime) -> str:
    return at.isoformat().replace("+00:00", "Z")


# --- S12 baselines -----------------------------------------------------------------------------


NOTICE = START - HOUR


def against_baseline(scene: Scene) -> None:
    """Pays what a vehicle draws less than in the hour before ``NOTICE``, which is when the event of
    the scene was created.
    """
    scene.program(
        valid_from=LONG_AGO,
        version=2,
        quantity="against_baseline",
        baseline={"method": "before_event", "before_min": 60},
    )


def test_s12_a_baseline_inflated_after_the_notice_moves_nothing(scene: Scene) -> None:
    # given three that draw 5 kW until the notice, and from then on 5, 6.5 (30 % more) and 50 kW
    against_baseline(scene)
    for n, inflated_w in enumerate((5_000, 6_500, 50_000), start=2):
        evse = f"DE*V2G*E0000{n}"
        scene.enrol(evse)
        liar = Liar(scene, evse, vehicle_of(evse))
        land_at(scene, liar.steps([-5_000] * 4, NOTICE - HOUR), NOTICE)
        scene.deliver(liar.steps([-inflated_w] * 4, NOTICE))
        # when they draw 1 kW in the event
        scene.deliver(liar.steps([-1_000] * 4))
    settled = scene.settle()
    # then each is paid for the 4 kW by which it stays below what it drew before anybody knew
    assert settled.paid_milliwh == 3 * 4_000_000
    assert len(set(scene.owed().values())) == 1


def test_s12_readings_of_the_time_before_that_come_after_the_notice_count_for_nothing(
    scene: Scene,
) -> None:
    # given who holds its readings back until it knows of the event, and then signs what it likes
    against_baseline(scene)
    liar = Liar(scene, EVSE, VEHICLE)
    scene.deliver(liar.steps([-50_000] * 4, NOTICE - HOUR))
    settled = settle(scene, liar.steps([-1_000] * 4))
    # then there is no baseline, and nothing is paid
    assert settled.paid_milliwh == 0
    assert scene.owed() == {}


# --- S13 double enrolment ----------------------------------------------------------------------


def test_s13_two_contracts_of_one_vehicle_are_paid_by_neither(scene: Scene) -> None:
    # given a second contract for the same vehicle and time, to another account
    _sign_up(scene, "c-again", PROGRAM, "a-accomplice")
    settled = settle(scene, Liar(scene, EVSE, VEHICLE).steps([7_200] * 4))
    assert (settled.paid_milliwh, unpaid(settled)) == (0, {"DOUBLE_ENROLMENT": 7_200})
    assert scene.owed() == {}


def test_s13_two_programs_do_not_both_pay_for_the_same_hour(scene: Scene) -> None:
    # given a second program with an event over the same hour, and a contract in it
    import yaml

    other = yaml.safe_load(PROGRAM_FILE.read_text()) | {"program": "other-energy"}
    with connect(scene.dsn, Role.SETTLE) as conn:
        put_program(conn, other, valid_from=LONG_AGO, source="test", now=now())
    scene.event("other-peak", program="other-energy")
    _sign_up(scene, "c-other", "other-energy", "a-other")
    # when
    settled = settle(scene, Liar(scene, EVSE, VEHICLE).steps([7_200] * 4))
    # then the hour is paid at most once; here by nobody, until it is resolved
    assert (settled.paid_milliwh, unpaid(settled)) == (0, {"DOUBLE_ENROLMENT": 7_200})
    assert scene.owed() == {}


def test_s13_a_contract_that_follows_another_without_overlap_is_paid(scene: Scene) -> None:
    scene.contract(EVSE, valid_to=START - HOUR)
    _sign_up(scene, "c-next", PROGRAM, "a-next", valid_from=START - HOUR)
    settled = settle(scene, Liar(scene, EVSE, VEHICLE).steps([7_200] * 4))
    assert settled.paid_milliwh == 7_200_000
    assert list(scene.owed()) == ["payable:owner:a-next"]


def _sign_up(scene: Scene, contract: str, program: str, account: str, valid_from=LONG_AGO) -> None:
    terms = Contract(contract, VEHICLE, program, 850_000, account, valid_from)
    with connect(scene.dsn, Role.SETTLE) as conn:
        put_contracts(conn, [terms], now=now())


# --- S16 bounds --------------------------------------------------------------------------------

RATED_W = 7_200
MOST_MILLIWH = RATED_W * 1_000 // 4 * 102 // 100 + 1_000
"""A quarter of an hour at the rated power, 2 % more, and one step of the register."""


@pytest.mark.parametrize(
    ("energy_milliwh", "reason"), [(MOST_MILLIWH, None), (MOST_MILLIWH + 1, "ABOVE_RATING")]
)
def test_s16_a_watt_thousandth_above_the_rated_power_is_not_paid(
    scene: Scene, energy_milliwh: int, reason: str | None
) -> None:
    # given a generator at the bound, and just above it, with powers that bear it out
    scene.contract(EVSE, rated_w=RATED_W)
    power = round(energy_milliwh * 4 / 1000)
    lie = Liar(scene, EVSE, VEHICLE).step(START, power, energy_milliwh=energy_milliwh)
    settled = settle(scene, [lie])
    assert settled.paid_milliwh == (0 if reason else energy_milliwh)
    assert unpaid(settled) == ({reason: energy_milliwh // 1000} if reason else {})


@pytest.mark.parametrize("over", [-1, 0, 1])
def test_s16_an_events_cap_is_paid_to_the_last_milliwatt_hour_and_not_one_more(
    scene: Scene, over: int
) -> None:
    # given a cap of 3 kWh, and somebody who delivers about that much
    scene.program(valid_from=LONG_AGO, version=2, caps={"event_kwh": "3"})
    liar = Liar(scene, EVSE, VEHICLE)
    first = liar.step(START, 6_000)
    last = liar.step(START + STEP, 6_000, energy_milliwh=1_500_000 + over)
    settled = settle(scene, [first, last])
    assert settled.paid_milliwh == min(3_000_000 + over, 3_000_000)
    assert sum(one.energy_milliwh for one in settled.unpaid) == max(over, 0)


LIES: list[dict[str, str]] = [
    {"export_start_wh": "10.000", "export_end_wh": "9.999"},
    {"export_end_wh": "99999999999999.000"},
    {"power_start_w": "99999999"},
    {"soc_end_pct": "100.0001"},
    {"latitude_deg": "90.000001"},
    {"clock_offset_ms": "50.001"},
    {"ended_at": _time(START + HOUR + timedelta(milliseconds=1))},
    {"ended_at": _time(START)},
    {"started_at": _time(START + timedelta(days=30))},
]


def test_s16_a_value_beyond_its_bound_is_quarantined_and_earns_nothing(scene: Scene) -> None:
    # given one lie in each packet, every one of them validly signed
    lies = [
        scene.packet(EVSE, n, **({"started_at": _time(START)} | lie)) for n, lie in enumerate(LIES)
    ]
    settled = settle(scene, lies)
    # then all are quarantined, each by its value
    assert settled.paid_milliwh == 0
    reasons = dict(scene.rows("select reason, count(*)::int from quarantine group by reason"))
    assert sum(reasons.values()) == len(LIES)
    assert set(reasons) <= {"VALUE_OUT_OF_RANGE", "CLOCK_OFFSET", "FUTURE_TIME", "UNREADABLE"}


def test_s16_the_last_permitted_values_are_no_offence(scene: Scene) -> None:
    settled = settle(
        scene, [scene.packet(EVSE, 0, clock_offset_ms="50.000", latitude_deg="90.000000")]
    )
    assert settled.paid_milliwh == 30_000
