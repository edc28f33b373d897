"""What can be wrong with a case, by name: what is changed in a good one, and what the line says."""

from tests.cases.folders import (
    BASELINES,
    CONTRACTS,
    EVENTS,
    KEYS,
    ORDERS,
    PRICES,
    PROGRAM,
    READINGS,
    SITES,
    THERMAL,
)


def replaced(text: str, old: str, new: str) -> str:
    assert old in text
    return text.replace(old, new, 1)


def _more_of_events(column: str, value: str) -> str:
    head, row = EVENTS.splitlines()
    return f"{head},{column}\n{row},{value}\n"


# what is changed, and the line that must come of it, as pieces in their order
BAD: dict[str, tuple[dict[str, str | bytes | None], tuple[str, ...]]] = {
    "no program": ({"program.yaml": None}, ("program.yaml", "No such file", "can be read")),
    "two places for programs": (
        {"programs/a.yaml": PROGRAM},
        ("programs", "beside program.yaml", "one of the two"),
    ),
    "a program that is no YAML": (
        {"program.yaml": "program: [\n"},
        ("program.yaml, row 2", "expected YAML"),
    ),
    "a program that is a list": ({"program.yaml": "- 1\n"}, ("program.yaml", "no mapping")),
    "a program's key twice": (
        {"program.yaml": PROGRAM + "version: 2\n"},
        ("program.yaml, row 6", "the key version twice"),
    ),
    "a program's alias": (
        {"program.yaml": PROGRAM + "a: &a [1]\nb: *a\n"},
        ("program.yaml, row 7", "an alias"),
    ),
    "a program's unknown key": (
        {"program.yaml": PROGRAM + "prise: 1\n"},
        ("program.yaml, column prise", "unknown key", "expected"),
    ),
    "a program's wrong value": (
        {"program.yaml": PROGRAM.replace("energy", "energie")},
        ("program.yaml, column product: 'energie'; expected", "energy"),
    ),
    "a version twice": (
        {"program.yaml": None, "programs/a.yaml": PROGRAM, "programs/b.yaml": PROGRAM},
        ("programs/b.yaml, column version: version 1 of evening again", "each version once"),
    ),
    "versions in two currencies": (
        {
            "program.yaml": None,
            "programs/a.yaml": PROGRAM,
            "programs/b.yaml": PROGRAM.replace("version: 1", "version: 2").replace("USD", "EUR"),
        },
        ("programs/b.yaml, column currency: 'EUR'; expected USD",),
    ),
    "an empty table": ({"contracts.csv": ""}, ("contracts.csv: empty; expected a header with",)),
    "a column missing": (
        {"readings.csv": READINGS.replace("session_id,", "", 1)},
        ("readings.csv, row 1: no column session_id; expected a header with evse_id",),
    ),
    "a column misspelt": (
        {"readings.csv": READINGS.replace("power_start_w", "power_start_kw", 1)},
        ("readings.csv, row 1: the unknown column 'power_start_kw'; expected power_start_w",),
    ),
    "a column twice": (
        {"prices.csv": PRICES.replace("currency", "price_per_kwh", 1)},
        ("prices.csv, row 1: the column price_per_kwh twice",),
    ),
    "a field too few": (
        {"prices.csv": PRICES + "2026-07-01T17:00:00Z,x\n"},
        ("prices.csv, row 4: 2 fields; expected 4 fields, as in the header",),
    ),
    "a field too many": (
        {"prices.csv": replaced(PRICES, "0.42,", "0,42,")},
        ("prices.csv, row 2: 5 fields; expected 4",),
    ),
    "an empty line": (
        {"prices.csv": replaced(PRICES, "\n2026", "\n\n2026")},
        ("prices.csv, row 2: an empty line; expected 4 fields",),
    ),
    "a quotation mark left open": (
        {"prices.csv": replaced(PRICES, "USD", '"USD')},
        ("prices.csv, row 2:", "expected CSV"),
    ),
    "Latin-1": (
        {"contracts.csv": CONTRACTS.replace("V1", "Voilà").encode("latin-1")},
        ("contracts.csv, row 2: the byte 0xe0; expected text in UTF-8",),
    ),
    "UTF-16": (
        {"contracts.csv": CONTRACTS.encode("utf-16")},
        ("contracts.csv: text in UTF-16; expected text in UTF-8",),
    ),
    "lines ended by CR alone": (
        {"prices.csv": PRICES.replace("\n", "\r").replace("\r", "\n", 1)},
        ("prices.csv, row 2:", "expected CSV"),
    ),
    "a time without its offset": (
        {"readings.csv": replaced(READINGS, "2026-07-01T17:00:00Z", "2026-07-01T17:00:00")},
        (
            (
                "readings.csv, row 2, column started_at: '2026-07-01T17:00:00'; expected a time as"
                " ISO 8601 with its offset"
            ),
        ),
    ),
    "a time on no day": (
        {
            "readings.csv": replaced(
                READINGS, "2026-07-01T17:30:00Z,2026", "2026-06-31T17:30:00Z,2026"
            )
        },
        ("readings.csv, row 3, column started_at: '2026-06-31T17:30:00Z'",),
    ),
    "a time before all chargers": (
        {"readings.csv": replaced(READINGS, "2026-07-01T17:00:00Z", "1970-01-01T00:00:00Z")},
        ("readings.csv, row 2, column started_at", "from 2020 to 2100"),
    ),
    "a decimal comma": (
        {"readings.csv": replaced(READINGS, ",1000,", ',"1000,5",')},
        ("readings.csv, row 2, column export_start_wh: '1000,5'; expected a number",),
    ),
    "too many places": (
        {"readings.csv": replaced(READINGS, ",1000,", ",1000.0001,")},
        ("readings.csv, row 2, column export_start_wh: '1000.0001'", "at most 3 places", "Wh"),
    ),
    "an exponent": (
        {"readings.csv": replaced(READINGS, ",1000,", ",1e3,")},
        ("readings.csv, row 2, column export_start_wh: '1e3'",),
    ),
    "a register out of range": (
        {"readings.csv": replaced(READINGS, ",1000,", ",-1,")},
        (
            "readings.csv, row 2, column export_start_wh: '-1'; expected a number",
            "from 0 to 1000000000000 Wh",
        ),
    ),
    "a state of charge above 100": (
        {"readings.csv": replaced(READINGS, "7200,7200,,", "7200,7200,101,100")},
        ("readings.csv, row 2, column soc_start_pct: '101'", "from 0 to 100 %, or nothing"),
    ),
    "a state of charge at one end": (
        {"readings.csv": replaced(READINGS, "7200,7200,,", "7200,7200,80,")},
        ("readings.csv, row 2, column soc_end_pct: nothing; expected a value, as soc_start_pct",),
    ),
    "a latitude alone": (
        {"readings.csv": replaced(READINGS, "7200,7200,,,,", "7200,7200,,,52.5,")},
        ("readings.csv, row 2, column lon: nothing",),
    ),
    "nothing where a value must be": (
        {"readings.csv": replaced(READINGS, "\nE1,V1", "\n,V1")},
        ("readings.csv, row 2, column evse_id: nothing; expected 1 to 64 printable characters",),
    ),
    "an id of many characters": (
        {"readings.csv": replaced(READINGS, "E1", "E" * 65)},
        ("readings.csv, row 2, column evse_id:", "1 to 64 printable characters"),
    ),
    "an id that cannot be printed": (
        {"readings.csv": replaced(READINGS, "E1", "E\x07")},
        ("readings.csv, row 2, column evse_id: 'E\\x07'",),
    ),
    "an interval that ends as it starts": (
        {"readings.csv": replaced(READINGS, "T17:30:00Z,1000", "T17:00:00Z,1000")},
        ("readings.csv, row 2, column ended_at", "expected a time after started_at"),
    ),
    "an interval of more than a day": (
        {
            "readings.csv": replaced(
                READINGS, "2026-07-01T17:30:00Z,1000", "2026-07-02T17:30:00Z,1000"
            )
        },
        ("readings.csv, row 2, column ended_at", "at most 24 hours after started_at"),
    ),
    "neither readings nor packets": (
        {"readings.csv": None},
        ("readings.csv: missing; expected readings.csv, or packets with keys.csv",),
    ),
    "readings beside packets": (
        {"packets/a": "x"},
        ("packets: stands beside readings.csv; expected one of the two",),
    ),
    "packets without keys": (
        {"readings.csv": None, "packets/a": "x"},
        ("keys.csv: missing; expected once",),
    ),
    "a key that is none": (
        {"readings.csv": None, "packets/a": "x", "keys.csv": KEYS},
        ("keys.csv, row 2, column public_key_pem_or_hex: '00ff'; expected a public key on P-256",),
    ),
    "a packet line that is no packet": (
        {"readings.csv": None, "packets/a.ndjson": "eyJ\n{}\n", "keys.csv": KEYS.splitlines()[0]},
        ("packets/a.ndjson, row 2: an object without a packet as text; expected a packet, or",),
    ),
    "a contract in an unknown program": (
        {"contracts.csv": CONTRACTS.replace("evening", "morning")},
        (
            "contracts.csv, row 2, column program: 'morning'; expected a program of the case: evening",
        ),
    ),
    "a contract that ends first": (
        {"contracts.csv": replaced(CONTRACTS, "00Z,,", "00Z,2025-12-31T00:00:00Z,")},
        ("contracts.csv, row 2, column valid_to",),
    ),
    "a contract at an unknown site": (
        {"contracts.csv": CONTRACTS.replace("E1,,", "E1,hom,"), "sites.csv": SITES},
        ("contracts.csv, row 2, column site_id: 'hom'; expected a site of sites.csv",),
    ),
    "a rate above fourfold": (
        {"contracts.csv": CONTRACTS.replace("0.85", "4.01")},
        ("contracts.csv, row 2, column incentive_rate: '4.01'", "from 0 to 4"),
    ),
    "a site twice": (
        {"sites.csv": SITES + "home,1,1,\n"},
        ("sites.csv, row 3, column site_id: 'home' again; expected each site once",),
    ),
    "an event of an unknown program": (
        {"events.csv": EVENTS.replace("EV1,evening", "EV1,morning")},
        ("events.csv, row 2, column program: 'morning'",),
    ),
    "an event with an unknown status": (
        {"events.csv": EVENTS.replace("scheduled", "maybe")},
        ("events.csv, row 2, column status: 'maybe'; expected one of active, cancelled",),
    ),
    "a cancellation without its time": (
        {"events.csv": EVENTS.replace("scheduled", "cancelled")},
        ("events.csv, row 2, column superseded_or_cancelled_at: nothing",),
    ),
    "a time of cancellation without one": (
        {"events.csv": EVENTS.replace("0,,\n", "0,,2026-07-01T17:30:00Z\n")},
        ("events.csv, row 2, column superseded_or_cancelled_at", "as status is 'scheduled'"),
    ),
    "two versions of an event at one time": (
        {"events.csv": EVENTS + EVENTS.splitlines()[1].replace("18:00", "19:00") + "\n"},
        ("events.csv, row 3, column created_at: another version of 'EV1'",),
    ),
    "devices that draw more than an hour": (
        {"events.csv": _more_of_events("randomize_start_s", "3601")},
        (
            "events.csv, row 2, column randomize_start_s: '3601'; expected a number without a fraction from -3600",
        ),
    ),
    "an edition that nobody has written": (
        {"events.csv": _more_of_events("resumes", "maybe")},
        ("events.csv, row 2, column resumes: 'maybe'; expected yes or no, or nothing",),
    ),
    "a word that is no decision": (
        {"events.csv": _more_of_events("approval", "yes")},
        ("events.csv, row 2, column approval: 'yes'; expected approved or rejected, or nothing",),
    ),
    "events in two ways": (
        {"events/a.xml": "<a/>"},
        ("events: stands beside events.csv; expected one of the two",),
    ),
    "a price in a currency of no program": (
        {"prices.csv": PRICES.replace("USD", "EUR")},
        ("prices.csv, row 2, column currency: 'EUR'; expected the currency of a program: USD",),
    ),
    "two prices at once": (
        {"prices.csv": replaced(PRICES, "17:30:00Z,0.42", "17:31:00Z,0.42")},
        ("prices.csv, row 3, column started_at", "within another row", "17:31"),
    ),
    "a price above every cap": (
        {"prices.csv": PRICES.replace("0.615", "100.000001")},
        ("prices.csv, row 3, column price_per_kwh: '100.000001'", "from -100 to 100 per kWh"),
    ),
    "a temperature of nothing on earth": (
        {"thermal.csv": THERMAL.replace("30.5", "151")},
        ("thermal.csv, row 2, column battery_c: '151'", "from -50 to 150 °C"),
    ),
    "baselines that overlap": (
        {"baselines.csv": BASELINES + BASELINES.splitlines()[1].replace("17:00", "17:59") + "\n"},
        ("baselines.csv, row 3, column started_at", "within another row of the same vehicle_id"),
    ),
    "a baseline beside a computed one": (
        {
            "program.yaml": PROGRAM.replace("export_only", "against_baseline")
            + "baseline: {method: before_event}\n",
            "baselines.csv": BASELINES,
        },
        ("baselines.csv: stands beside the program evening, which computes its baseline",),
    ),
    "an order for an unknown event": (
        {"orders.csv": ORDERS.replace("EV1", "EV2")},
        ("orders.csv, row 2, column event_id: 'EV2'; expected an event of the case",),
    ),
    "orders that overlap": (
        {"orders.csv": ORDERS + ORDERS.splitlines()[1].replace("17:00", "17:59") + "\n"},
        ("orders.csv, row 3, column started_at",),
    ),
    "an order to charge": (
        {"orders.csv": ORDERS.replace(",7\n", ",-7\n")},
        ("orders.csv, row 2, column ordered_kw: '-7'",),
    ),
    "as_of without its offset": (
        {"as_of": "2026-07-01"},
        ("as_of, row 1: '2026-07-01'; expected a time as ISO 8601",),
    ),
    "a file with a slip of the pen": (
        {"reading.csv": READINGS},
        ("reading.csv: a file that no case has; expected readings.csv",),
    ),
}
