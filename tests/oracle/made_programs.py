"""The terms of random cases: programs, contracts and sites."""

from decimal import Decimal

from tests.oracle.dice import CHANGE, DAY, START, Dice, Row

PROGRAM = "evening"
RIVAL = "night"
SITES = [
    {"site_id": "site-0", "lat": None, "lon": None, "group": "north"},
    {"site_id": "site-1", "lat": None, "lon": None, "group": "south"},
]


def evse(vehicle: str) -> str:
    return f"US*V2G*E{vehicle[-3:]}"


def programs(dice: Dice, kind: str) -> list[Row]:
    """One program, often in two versions; `rivals`: two of them."""
    found = [_program(dice, kind, PROGRAM)]
    if kind == "rivals":
        found.append(_program(dice, kind, RIVAL))
    elif kind not in ("capacity", "order") and dice.often(0.3):
        second = dict(found[0], version=2, valid_from=CHANGE.isoformat(), tiers=_tiers(dice))
        if dice.often(0.5):
            second["rounding"] = _rounding(dice)
        found.append(second)
    return found


def _rounding(dice: Dice) -> Row:
    return {
        "mode": dice.choice(["half_away", "half_even", "down"]),
        "stage": dice.choice(["line", "settlement"]),
    }


def _program(dice: Dice, kind: str, name: str) -> Row:
    body: Row = {
        "program": name,
        "version": 1,
        "currency": "USD",
        "timezone": dice.choice(["UTC", "America/Los_Angeles", "Europe/Berlin"]),
        "product": kind if kind in ("capacity", "order") else "energy",
        "quantity": dice.choice(["net", "net", "export_only"]),
        "net_per": dice.choice(["event", "interval"]),
        "rounding": _rounding(dice),
        "checks": {"register_vs_power_pct": dice.choice([1, 5, 20])},
    }
    if kind in ("baseline", "order") or (kind == "capacity" and dice.often(0.3)):
        body["quantity"] = "against_baseline"
    if kind == "order":
        body["order"] = {
            "price_per_kw": str(dice.decimal(1, 9, 2)),
            "penalty_per_kw": str(dice.decimal(0, 12, 2)),
            "cap_at_order": dice.choice([True, False]),
        }
        return body
    if dice.often(0.3):
        body["season"] = {"months": [7], "hours": _hours(dice)}
    body["caps"] = _caps(dice)
    body["minimum"] = _minimum(dice)
    if dice.often(0.3):
        body["checks"] |= {"lookback_min": dice.choice([15, 60])}
        body["checks"] |= {"lookahead_min": dice.choice([0, 10])}
    if kind == "capacity":
        body["capacity"] = {
            "per_avg_kw": str(dice.decimal(50, 300, 2)),
            "average_over": dice.choice(["event_hours", "events"]),
            "absent": dice.choice(["zero", "excluded"]),
        }
        return body
    body["price"] = {"source": "rtp"}
    if dice.often(0.1):
        body["price"] = {"source": "fixed", "per_kwh": str(dice.decimal(0, 2, 4))}
    body["negative_price"] = dice.choice(["zero", "pass_through"])
    body["tiers"] = _tiers(dice)
    if kind == "heat":
        body["thermal"] = {
            "time_constant_min": dice.choice([0, 0, 7, 20]),
            "curve_c": [["20", "1"], ["45", "1"], ["55", "0"]],
            "missing": dice.choice(["hold", "0.5"]),
            "fresh_min": 12,
        }
    return body


def _hours(dice: Dice) -> list[str]:
    return dice.choice([["09:00", "12:30"], ["17:30", "20:00"], ["16:45", "22:00"]])


def _caps(dice: Dice) -> Row:
    caps: Row = {}
    if dice.often(0.2):
        caps["season_hours"] = dice.randint(2, 6)
    if dice.often(0.2):
        caps["event_hours"] = dice.randint(1, 2)
    if dice.often(0.2):
        caps["event_kwh"] = str(dice.decimal(2, 12, 2))
    return caps


def _minimum(dice: Dice) -> Row:
    minimum: Row = {}
    if dice.often(0.2):
        minimum["event_kwh"] = str(dice.decimal(0, 6, 1))
    if dice.often(0.15):
        minimum["avg_kw"] = str(dice.decimal(0, 3, 1))
    if dice.often(0.1):
        minimum["duration_min"] = dice.randint(5, 60)
    return minimum


def _tiers(dice: Dice) -> Row:
    def multiplier() -> str:
        return str(dice.decimal(1, 2, 3))

    return {
        "mode": dice.choice(["slab", "graduated"]),
        "power_kw": [{"from": edge, "multiplier": multiplier()} for edge in ("0", "3", "7.5")],
        "duration_min": [{"from": edge, "multiplier": multiplier()} for edge in ("0", "45")],
    }


def contracts(dice: Dice, kind: str, vehicles: list[str]) -> list[Row]:
    """One for most vehicles; some have none, two, or one that begins or ends between two events."""
    found = []
    for number, vehicle in enumerate(vehicles):
        first: Row = {
            "vehicle_id": vehicle,
            "evse_id": evse(vehicle),
            "site_id": f"site-{number % 2}",
            "program": PROGRAM,
            "incentive_rate": dice.decimal(0, 1, 4),
            "valid_from": START - 30 * DAY,
            "valid_to": None,
            "capacity_kwh": dice.choice([None, None, Decimal(60)]),
            "rated_kw": dice.choice([None, Decimal(22), Decimal(22), Decimal("10.5")]),
        }
        if kind == "rivals" and dice.often(0.8):
            second = dict(first, program=RIVAL, incentive_rate=dice.decimal(0, 1, 4))
            if dice.often(0.3):
                second["valid_from"] = CHANGE
            found.append(second)
        drawn = dice.random()
        if drawn < 0.02:
            continue
        if drawn < 0.06:
            first["valid_from"] = CHANGE
        elif drawn < 0.10:
            first["valid_to"] = CHANGE
        elif drawn < 0.12:
            found.append(
                dict(first, incentive_rate=dice.decimal(0, 1, 4), evse_id=f"{evse(vehicle)}X")
            )
        elif drawn < 0.15:
            # without a gap: both are in force at some moment of time outside of events
            found.append(dict(first, valid_to=CHANGE))
            first |= {"valid_from": CHANGE, "incentive_rate": dice.decimal(0, 1, 4)}
        found.append(first)
    return found
