"""The library's model files say what the reference page says of them."""

import pytest

from ingest_daemon.modbus.definitions import MODELS, definition, is_battery

INVERTER = {"TmpCab": 33, "TmpSnk": 34, "TmpTrns": 35, "TmpOt": 36}
INVERTER_FLOAT = {"TmpCab": 40, "TmpSnk": 42, "TmpTrns": 44, "TmpOt": 46}
TABLE = {
    101: (INVERTER, "int16", 37),
    102: (INVERTER, "int16", 37),
    103: (INVERTER, "int16", 37),
    111: (INVERTER_FLOAT, "float32", None),
    112: (INVERTER_FLOAT, "float32", None),
    113: (INVERTER_FLOAT, "float32", None),
    701: (
        {"TmpAmb": 35, "TmpCab": 36, "TmpSnk": 37, "TmpTrns": 38, "TmpSw": 39, "TmpOt": 40},
        "int16",
        122,
    ),
    714: ({}, "int16", 19),
    803: ({"ModTmpMax": 4, "ModTmpMin": 7, "ModTmpAvg": 10}, "int16", 23),
    804: ({"ModTmpMax": 20, "ModTmpMin": 22, "ModTmpAvg": 24}, "int16", 44),
    805: ({"CellTmpMax": 16, "CellTmpMin": 18, "CellTmpAvg": 20}, "int16", 43),
}
"""Model → its temperatures' offsets, their type, the offset of their scale factor."""

REPEATED = {
    714: ("Prt", {"Tmp": 41}, 25),
    803: ("string", {"StrModTmpMax": 40, "StrModTmpMin": 42, "StrModTmpAvg": 44}, 32),
    804: (
        "lithium_ion_string_module",
        {"ModCellTmpMax": 56, "ModCellTmpMin": 58, "ModCellTmpAvg": 60},
        16,
    ),
    805: ("lithium-ion-module-cell", {"CellTmp": 45}, 4),
}
"""Model → the name of its group, offsets in the first of them, registers of each."""


def test_every_model_of_the_table_is_read_and_no_other():
    assert set(MODELS) == set(TABLE)


@pytest.mark.parametrize("model_id", MODELS)
def test_temperatures_and_scale_factors_stand_where_the_table_says(model_id):
    offsets, kind, scale_factor = TABLE[model_id]
    known = definition(model_id)

    assert {one.name: one.offset for one in known.points} == offsets
    assert {one.kind for one in known.points} <= {kind}
    for one in known.points:
        assert known.scale_factors.get(one.scale_factor) == scale_factor


@pytest.mark.parametrize("model_id", MODELS)
def test_repeated_temperatures_stand_where_the_table_says(model_id):
    group = definition(model_id).group
    if model_id not in REPEATED:
        assert group is None
        return
    name, offsets, length = REPEATED[model_id]
    assert group is not None
    assert (group.name, group.length) == (name, length)
    assert {one.name: group.start + one.offset for one in group.points} == offsets
    for one in group.points:
        assert definition(model_id).scale_factors[one.scale_factor] == TABLE[model_id][2]


def test_the_highest_of_a_battery_and_a_dc_port_count_as_the_batterys():
    battery = [
        (803, "ModTmpMax"),
        (803, "string[3].StrModTmpMax"),
        (804, "ModTmpMax"),
        (805, "CellTmpMax"),
        (714, "Prt[1].Tmp"),
    ]
    other = [
        (803, "ModTmpMin"),
        (803, "ModTmpAvg"),
        (701, "TmpSw"),
        (103, "TmpSnk"),
        (113, "TmpOt"),
    ]
    assert all(is_battery(*one) for one in battery)
    assert not any(is_battery(*one) for one in other)


def test_a_model_file_in_the_working_directory_says_nothing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "model_802.json").write_text('{"id": 802, "group": {"name": "x", "points": []}}')

    assert len(definition.__wrapped__(802).scale_factors) > 0
