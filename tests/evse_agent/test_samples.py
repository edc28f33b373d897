"""Lines of the controller: taken apart exactly, or refused with where, found and expected."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evse_agent.samples import RefusedError, Sample, parse, to_json
from tests.evse_agent.harness import sample


def line(**changes) -> bytes:
    return json.dumps(sample(0, **changes)).encode()


def test_digits_are_kept_as_they_came():
    read = parse(line(export_wh="1000000.100", snr_db="9.99"))

    assert isinstance(read, Sample)
    assert (read.export_wh, read.export_milliwh, read.snr_cdb) == (
        "1000000.100",
        1_000_000_100,
        999,
    )


@pytest.mark.parametrize(
    ("content", "where"),
    [
        (b"", "line"),
        (b"[]", "line"),
        (b"[" * 20_000, "line"),
        (b'{"end": 1, "session_id": "s"}', "end"),
        (b'{"end": true}', "session_id"),
        (b'{"at": "x", "at": "y"}', "at"),
        (line(at="2026-07-01T17:00:00"), "at"),
        (line(at=17), "at"),
        (line(at="1999-01-01T00:00:00Z"), "at"),
        (line(export_wh=1000), "export_wh"),
        (line(export_wh="1e3"), "export_wh"),
        (line(export_wh="-1"), "export_wh"),
        (line(export_wh="1.0001"), "export_wh"),
        (line(power_w="7200.5"), "power_w"),
        (line(power_w="99999999"), "power_w"),
        (line(soc_pct="101"), "soc_pct"),
        (line(latitude_deg=None), "latitude_deg"),
        (line(longitude_deg="181"), "longitude_deg"),
        (line(vehicle_id="x" * 65), "vehicle_id"),
        (line(vehicle_id="a\nb"), "vehicle_id"),
        (line(power="7200"), "power"),
        (line(records=["XML"]), "records"),
        (line(records=["OCMF|"] * 5), "records"),
        (line(snr_db=12), "snr_db"),
    ],
    ids=lambda value: value.decode()[-40:] if isinstance(value, bytes) else value,
)
def test_what_is_wrong_is_named(content, where):
    with pytest.raises(RefusedError) as caught:
        parse(content)

    assert caught.value.where == where
    assert caught.value.expected


@given(st.one_of(st.binary(max_size=300), st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(
        st.sampled_from([*sample(0), "end", "records", "snr_db"]) | st.text(max_size=5), inner, max_size=12),
    max_leaves=20,
).map(lambda value: json.dumps(value).encode())))  # fmt: skip
def test_any_bytes_are_a_sample_an_end_or_refused(content):
    try:
        read = parse(content)
    except RefusedError:
        return
    if isinstance(read, Sample):
        assert parse(to_json(read).encode()) == read or read.snr_cdb is not None
