"""Controls: what another hand wrote is read back, and what does not fit is refused by its name."""

from datetime import UTC, datetime
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from grid.sep2.controls import Control, controls, default_control
from grid.sep2.errors import Sep2Error
from grid.sep2.programs import der_settings
from grid.sep2.setpoints import Setpoint, Settings, watts
from tests.grid.sep2 import written
from tests.grid.sep2.written import element, power

FULL = {
    "mRID": "30000000000000000000000100009F1C",
    "description": "peak &amp; more",
    "version": 7,
    "creationTime": written.CREATED,
    "currentStatus": 3,
    "dateTime": written.CREATED + 60,
    "duration": 1800,
    "start": written.START,
    "randomizeDuration": -300,
    "randomizeStart": 60,
}


def one(changes: dict[str, object] | None = None, **attributes: object) -> Control:
    page = controls(written.controls(written.control(changes, **attributes)), where="/derc")
    assert page.refused == ()
    (only,) = page.items
    return only


def asked(base: str, **namespaces: str) -> Control:
    body = written.controls(written.control({"DERControlBase": base}), **namespaces)
    page = controls(body, where="/derc")
    assert page.refused == ()
    return page.items[0]


def refusal(changes: dict[str, object] | None = None, **attributes: object) -> str:
    page = controls(written.controls(written.control(changes, **attributes)), where="/derc")
    assert page.items == ()
    (only,) = page.refused
    return str(only)


# --- what is read -----------------------------------------------------------------------------------


def test_every_field_of_a_control_is_read():
    # when
    read = one(FULL, href="/derc/1", replyTo="/rsps/1", responseRequired="03")

    # then
    assert read.mrid == "30000000000000000000000100009f1c"
    assert (read.version, read.description) == (7, "peak & more")
    assert read.created_at == datetime.fromtimestamp(written.CREATED, UTC)
    assert read.started_at == datetime.fromtimestamp(written.START, UTC)
    assert read.ended_at == datetime.fromtimestamp(written.START + 1800, UTC)
    assert (read.status, read.status_word) == (3, "cancelled_with_randomization")
    assert read.status_at == read.cancelled_at == datetime.fromtimestamp(written.CREATED + 60, UTC)
    assert (read.randomize_start_s, read.randomize_duration_s) == (60, -300)
    assert (read.href, read.reply_to, read.response_required) == ("/derc/1", "/rsps/1", 3)
    assert read.modes == ("opModFixedW",)
    assert read.setpoints == (Setpoint("opModFixedW", Decimal(100), "%"),)


def test_what_a_control_leaves_out_has_the_standards_default():
    read = one({"version": None, "DERControlBase": None})
    assert (read.version, read.description) == (0, "")
    assert (read.randomize_start_s, read.randomize_duration_s) == (0, 0)
    assert (read.href, read.reply_to, read.response_required) == ("", "", 0)
    assert (read.modes, read.setpoints) == ((), ())


@pytest.mark.parametrize(
    ("number", "word", "cancelled"),
    [
        (0, "scheduled", False),
        (1, "active", False),
        (2, "cancelled", True),
        (3, "cancelled_with_randomization", True),
        (4, "superseded", False),
        (5, "completed", False),
    ],
)
def test_of_the_statuses_only_cancellations_count(number: int, word: str, cancelled: bool):
    read = one({"currentStatus": number})
    assert read.status_word == word
    assert read.cancelled is cancelled
    assert read.cancelled_at == (read.status_at if cancelled else None)


def test_a_page_says_of_which_list_it_is():
    body = written.document(written.control_list(written.control(), all=12, href="/derp/9/derc"))
    page = controls(body.replace(b"results", b'pollRate="60" results'), where="")
    assert (page.href, page.all, page.results, page.poll_rate_s) == ("/derp/9/derc", 12, 1, 60)


def test_one_control_alone_is_a_page_of_one():
    page = controls(written.document(written.control(href="/derc/1")), where="")
    assert (page.href, page.all, page.results, len(page.items)) == ("", 1, 1, 1)


def test_one_control_that_cannot_be_read_does_not_stop_the_others():
    body = written.controls(
        written.control({"mRID": "0A"}),
        written.control({"mRID": "0B", "duration": "soon"}),
        written.control({"mRID": "0C"}),
        written.control({"mRID": "none"}),
    )
    page = controls(body, where="/derc")
    assert [control.mrid for control in page.items] == ["0a", "0c"]
    assert [str(error).partition(": ")[0] for error in page.refused] == [
        "/derc, line 2, interval/duration",
        "/derc, line 2, mRID",
    ]


def test_a_control_of_another_namespace_is_no_control():
    other = written.control().replace("<DERControl>", '<DERControl xmlns="urn:x">')
    body = written.controls(other, written.control())
    assert len(controls(body, where="").items) == 1


def test_a_default_control_says_what_holds_without_events():
    body = written.document(
        element(
            "DefaultDERControl",
            element("mRID", "10000000000000010000000000009F1C"),
            element("version", 2),
            element("DERControlBase", element("opModTargetW", power(-7))),
            href="/dderc",
        )
    )
    read = default_control(body, where="")
    assert (read.mrid, read.version, read.href) == ("10000000000000010000000000009f1c", 2, "/dderc")
    assert read.setpoints == (Setpoint("opModTargetW", Decimal(-7), "W"),)
    with pytest.raises(Sep2Error, match="expected a DefaultDERControl"):
        default_control(written.controls(), where="")


# --- what is asked for ------------------------------------------------------------------------------

LINK = '<opModVoltVar href="/curve/1"/>'
EXPORT = element("csipaus:opModExpLimW", power(5, 3))


def test_modes_are_the_controls_that_are_there_in_order_of_the_alphabet():
    base = element("rampTms", 5) + LINK + EXPORT + element("opModConnect", "true")
    read = asked(base)
    # how to get there is no mode, and a curve has no number of its own
    assert read.modes == ("csipaus:opModExpLimW", "opModConnect", "opModVoltVar")
    assert read.setpoints == (
        Setpoint("csipaus:opModExpLimW", Decimal(5000), "W"),
        Setpoint("opModConnect", Decimal(1), "on"),
    )


def test_an_extension_is_known_by_its_namespace_whatever_its_prefix():
    assert asked(EXPORT.replace("csipaus:", "a:"), a=written.CSIPAUS).modes == (
        "csipaus:opModExpLimW",
    )
    # the same prefix of somebody else is somebody else
    assert asked(EXPORT.replace("csipaus:", "b:"), b="urn:other").modes == (
        "{urn:other}opModExpLimW",
    )
    storage = "https://csipaus.org/ns/v1.3-beta/storage"
    read = asked(element("c:opModStorageTargetW", power(-3, 3)), c=storage)
    assert read.setpoints == (Setpoint("csipaus-storage:opModStorageTargetW", Decimal(-3000), "W"),)


def test_a_mode_that_is_there_to_be_off_competes_and_asks_for_nothing():
    read = asked('<opModFixedW disabled="true"/>' + EXPORT)
    assert read.modes == ("csipaus:opModExpLimW", "opModFixedW")
    assert read.disabled == ("opModFixedW",)
    assert [setpoint.mode for setpoint in read.setpoints] == ["csipaus:opModExpLimW"]


def test_a_control_of_a_later_revision_stands_in_its_container():
    read = asked(element("DERControlBase_r2_3", element("opModNew", 1)))
    assert read.modes == ("opModNew",)


def test_a_control_that_nobody_knows_is_a_mode_and_stays_in_its_bytes():
    read = asked(element("opModNew", 17))
    assert (read.modes, read.setpoints) == (("opModNew",), ())
    assert b"opModNew>17<" in read.raw


@pytest.mark.parametrize(
    ("base", "said"),
    [
        (
            element("opModFixedW", 10_001),
            "DERControlBase/opModFixedW: 10001; expected a whole number",
        ),
        (element("opModFixedW", -10_001), "opModFixedW: -10001"),
        (element("opModMaxLimW", -1), "opModMaxLimW: -1"),
        (element("opModFixedW", "80.5"), "opModFixedW: '80.5'"),
        (element("opModFixedW"), "opModFixedW: nothing; expected a value"),
        (element("opModFixedW", 1) * 2, "opModFixedW: opModFixedW twice"),
        (EXPORT * 2, "csipaus:opModExpLimW: csipaus:opModExpLimW twice"),
        (element("opModTargetW", power(1, 10)), "opModTargetW/multiplier: 10"),
        (element("opModTargetW", element("multiplier", 0)), "opModTargetW/value: nothing"),
        (element("opModTargetW", power(1), element("value", 2)), "opModTargetW/value: value twice"),
        (element("opModTargetW", power(10**10)), "opModTargetW/value: 10000000000"),
        (element("opModConnect", "yes"), "opModConnect: 'yes'; expected true or false"),
    ],
)
def test_a_setpoint_that_cannot_be_understood_refuses_its_control(base: str, said: str):
    assert said in refusal({"DERControlBase": base})


# --- watts ------------------------------------------------------------------------------------------

STORAGE = Settings(Decimal(11_000), Decimal(7_400), Decimal(10_000))


@pytest.mark.parametrize(
    ("base", "device", "expected"),
    [
        (element("opModFixedW", 8000), STORAGE, "8000"),  # of setMaxDischargeRateW
        (element("opModFixedW", 8000), Settings(Decimal(11_000)), "8800"),  # else of setMaxW
        (element("opModFixedW", -5000), STORAGE, "-3700"),  # of setMaxChargeRateW
        (element("opModFixedW", 0), STORAGE, "0"),
        (element("opModFixedW", 1), STORAGE, "1"),  # a hundredth of a percent
        (element("opModMaxLimW", 5000), STORAGE, "5500"),
        (element("opModMaxLimPctWAbsorb", 5000), STORAGE, "3700"),
        (element("opModTargetW", power(-11, 3)), None, "-11000"),
        (element("opModTargetW", power(15, -1)), None, "1.5"),
        (EXPORT, None, "5000"),
    ],
)
def test_watts_follow_from_what_the_device_has_set(
    base: str, device: Settings | None, expected: str
):
    (setpoint,) = asked(base).setpoints
    assert watts(setpoint, device) == Decimal(expected)


@pytest.mark.parametrize(
    ("base", "device", "said"),
    [
        (
            element("opModFixedW", 8000),
            None,
            "no setMaxDischargeRateW or setMaxW; expected DERSettings",
        ),
        (element("opModFixedW", -1), Settings(Decimal(1)), "no setMaxChargeRateW"),
        (element("opModMaxLimW", 1), Settings(None, Decimal(1), Decimal(1)), "no setMaxW"),
        (
            element("opModConnect", "true"),
            STORAGE,
            "opModConnect in on; expected a setpoint of active",
        ),
        (element("opModTargetVar", power(1)), STORAGE, "opModTargetVar in var"),
    ],
)
def test_a_share_of_what_is_not_known_is_not_guessed(base: str, device: Settings | None, said: str):
    (setpoint,) = asked(base).setpoints
    with pytest.raises(Sep2Error) as caught:
        watts(setpoint, device, where="/derc/1")
    assert said in str(caught.value)


def test_what_a_device_has_set_is_read_exactly():
    body = written.document(
        element(
            "DERSettings",
            element("setGradW", 0),
            element("setMaxChargeRateW", power(74, 2)),
            element("setMaxW", power(110_005, -1)),
            element("updatedTime", written.CREATED),
            href="/edev/1/der/1/derg",
        )
    )
    read = der_settings(body, where="")
    assert (read.max_w, read.max_charge_w) == (Decimal("11000.5"), Decimal(7400))
    assert read.max_discharge_w is None
    assert read.updated_at == datetime.fromtimestamp(written.CREATED, UTC)


# --- what is refused --------------------------------------------------------------------------------

NUMBERS = [
    "",
    "soon",
    "1.5",
    "1e9",
    "0x10",
    "1_795_400_597",
    "١٢٣",
    "--1",
    "+",
    "NaN",
    "inf",
    "1 2",
]
HUGE = ["9" * 19, "9" * 10_000, "-" + "9" * 18]


@pytest.mark.parametrize("number", NUMBERS + HUGE)
@pytest.mark.parametrize("name", ["version", "creationTime", "currentStatus", "duration", "start"])
def test_what_is_no_number_of_xml_schema_is_refused_by_the_fields_name(name: str, number: str):
    path = {"currentStatus": "EventStatus/", "duration": "interval/", "start": "interval/"}
    if name == "version" and not number:
        number = "?"
    said = refusal({name: number})
    assert said.startswith(f"/derc, line 2, {path.get(name, '')}{name}: ")
    assert said.isprintable()
    assert len(said) < 200


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"version": 65_536}, "version: 65536; expected a whole number from 0 to 65535"),
        ({"version": -1}, "version: -1"),
        ({"creationTime": -1}, "creationTime: -1; expected seconds since 1970"),
        ({"creationTime": written.CREATED * 1000}, "expected seconds since 1970"),
        ({"creationTime": None}, "creationTime: nothing"),
        ({"duration": 0}, "interval/duration: 0; expected a whole number from 1"),
        ({"duration": -60}, "interval/duration: -60"),
        ({"duration": 2**32}, "interval/duration: 4294967296"),
        ({"currentStatus": 6}, "EventStatus/currentStatus: 6; expected a whole number from 0 to 5"),
        ({"dateTime": None}, "EventStatus/dateTime: nothing"),
        ({"status": element("currentStatus", 2)}, "EventStatus/currentStatus: currentStatus twice"),
        (
            {"randomizeStart": 3601},
            "randomizeStart: 3601; expected a whole number from -3600 to 3600",
        ),
        ({"randomizeDuration": -3601}, "randomizeDuration: -3601"),
        ({"more": element("randomizeStart", 1) * 2}, "randomizeStart: randomizeStart twice"),
        ({"more": element("mRID", "0A")}, "mRID: mRID twice"),
        ({"more": element("interval", element("start", 1))}, "interval: interval twice"),
        ({"mRID": ""}, "mRID: nothing"),
        ({"mRID": "EV1"}, "mRID: 'EV1'; expected up to 16 bytes in hexadecimal"),
        ({"mRID": "ABC"}, "mRID: 'ABC'"),
        ({"mRID": "00" * 17}, "expected up to 16 bytes"),
        ({"mRID": "<b>0A</b>"}, "mRID: elements; expected text alone"),
        ({"description": "x" * 1025}, "expected at most 1024 characters"),
    ],
)
def test_a_control_that_does_not_fit_is_refused_by_the_fields_name(
    changes: dict[str, object], said: str
):
    assert said in refusal(changes)


@pytest.mark.parametrize("bits", ["0x3", "-1", "100", "٣", "3 ", "zz"])
def test_responses_are_asked_for_in_hexadecimal(bits: str):
    if bits.strip() == "3":
        assert one(responseRequired=bits).response_required == 3
    else:
        assert "responseRequired: " in refusal(responseRequired=bits)


@pytest.mark.parametrize("all_of_them", ["-1", "many", "", "4294967296"])
def test_a_list_that_does_not_know_its_length_is_refused(all_of_them: str):
    body = written.document(written.control_list(written.control())).replace(
        b'all="1"', f'all="{all_of_them}"'.encode()
    )
    with pytest.raises(Sep2Error, match="all: "):
        controls(body, where="/derc")


# --- properties -------------------------------------------------------------------------------------

_MODES = st.dictionaries(
    st.sampled_from(["opModFixedW", "opModMaxLimW"]), st.integers(0, 10_000), max_size=2
)
_POWERS = st.dictionaries(
    st.sampled_from(["opModTargetW", "csipaus:opModExpLimW", "csipaus:opModImpLimW"]),
    st.tuples(st.integers(-32_768, 32_767), st.integers(-9, 9)),
)
_LETTERS = st.text(st.characters(exclude_categories=["Cs", "Cc", "Zs", "Zl", "Zp"]), max_size=32)


@settings(max_examples=100, deadline=None)
@given(
    mrid=st.binary(min_size=1, max_size=16),
    description=_LETTERS,
    numbers=st.fixed_dictionaries(
        {
            "version": st.integers(0, 65_535),
            "creationTime": st.integers(1_577_836_800, 4_000_000_000),
            "currentStatus": st.integers(0, 5),
            "dateTime": st.integers(1_577_836_800, 4_000_000_000),
            "duration": st.integers(1, 86_400),
            "start": st.integers(1_577_836_800, 4_000_000_000),
            "randomizeStart": st.integers(-3600, 3600),
            "randomizeDuration": st.integers(-3600, 3600),
        }
    ),
    percentages=_MODES,
    powers=_POWERS,
    space=st.sampled_from(["", "\n", "  <!-- x -->\t"]),
)
def test_what_another_hand_wrote_is_read_back(
    mrid: bytes,
    description: str,
    numbers: dict[str, int],
    percentages: dict[str, int],
    powers: dict[str, tuple[int, int]],
    space: str,
):
    # given
    base = "".join(element(name, value) for name, value in percentages.items()) + "".join(
        element(name, power(*value)) for name, value in powers.items()
    )
    body = written.controls(
        written.control(
            {
                "mRID": mrid.hex().upper(),
                "description": written.text(description),
                "DERControlBase": base,
                **numbers,
            }
        )
    ).replace(b"><", f">{space}<".encode())

    # when
    page = controls(body, where="")

    # then
    assert page.refused == ()
    (read,) = page.items
    assert read.mrid == mrid.hex()
    assert read.description == description
    assert {
        "version": read.version,
        "creationTime": read.created_at.timestamp(),
        "currentStatus": read.status,
        "dateTime": read.status_at.timestamp(),
        "duration": (read.ended_at - read.started_at).total_seconds(),
        "start": read.started_at.timestamp(),
        "randomizeStart": read.randomize_start_s,
        "randomizeDuration": read.randomize_duration_s,
    } == numbers
    assert set(read.modes) == {*percentages, *powers}
    assert {one.mode: (one.value, one.unit) for one in read.setpoints} == {
        **{name: (Decimal(value) / 100, "%") for name, value in percentages.items()},
        **{
            name: (Decimal(value) * Decimal(10) ** power_of_ten, "W")
            for name, (value, power_of_ten) in powers.items()
        },
    }
    # and its bytes say the same again
    (again,) = controls(read.raw, where="").items
    assert again.raw == read.raw
    assert (again.mrid, again.setpoints, again.ended_at) == (
        read.mrid,
        read.setpoints,
        read.ended_at,
    )


@settings(max_examples=100, deadline=None)
@given(
    st.floats(0, 1, exclude_max=True),
    st.integers(0, 8),
    st.sampled_from([b"<", b">", b"&", b"]]>", b"\0", b"\xff", b"<!DOCTYPE a>", b"9" * 30, b"-"])
    | st.binary(max_size=4),
)
def test_a_damaged_document_is_read_or_refused(at: float, cut: int, piece: bytes):
    body = written.controls(written.control(FULL))
    place = int(at * len(body))
    try:
        page = controls(body[:place] + piece + body[place + cut :], where="/derc")
    except Sep2Error as error:
        assert str(error).isprintable()  # noqa: PT017
    else:
        assert all(str(one).isprintable() for one in page.refused)
