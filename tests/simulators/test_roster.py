"""The roster: what it says, and that a file of it says the same."""

import pytest
from joserfc.jwk import ECKey

from simulators.roster import UnusableRosterError, read_roster, write_roster
from tests.simulators.evenings import small


def test_a_key_is_known_by_its_rfc_7638_thumbprint():
    for row in small().roster():
        assert row.key_id == ECKey.import_key(row.public_key).thumbprint()


def test_every_evse_has_one_key_in_force_and_some_an_expired_one_without_contract():
    rows = small().roster()
    in_force = [row.evse_id for row in rows if row.valid_to is None]
    expired = [row for row in rows if row.valid_to is not None]
    assert sorted(in_force) == sorted(plan.evse_id for plan in small().plans)
    assert expired
    assert not any(row.has_contract for row in expired)
    assert len({row.key_id for row in rows}) == len(rows)


@pytest.mark.parametrize("name", ["roster.csv", "roster.json"])
def test_a_roster_read_back_is_the_roster_written(tmp_path, name):
    write_roster(small().roster(), tmp_path / name)
    assert read_roster(tmp_path / name) == small().roster()


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("r.csv", "key_id,evse_id\nk,e\n", "row 1: column 'vehicle_id' is missing"),
        ("r.json", "{}", "a JSON list of objects"),
        ("r.json", "[", "not JSON"),
    ],
)
def test_an_unusable_roster_says_where(tmp_path, name, text, said):
    (tmp_path / name).write_text(text)
    with pytest.raises(UnusableRosterError, match=said.replace("'", ".")):
        read_roster(tmp_path / name)


def test_a_value_that_does_not_parse_is_named_with_its_row(tmp_path):
    # given a roster with a broken rating in its second row
    write_roster(small().roster(), tmp_path / "r.csv")
    lines = (tmp_path / "r.csv").read_text().splitlines()
    lines[2] = lines[2].replace(",11500,", ",eleven,")
    (tmp_path / "r.csv").write_text("\n".join(lines))

    # when it is read, then the row is named
    with pytest.raises(UnusableRosterError, match=r"row 2: .*eleven"):
        read_roster(tmp_path / "r.csv")


def test_what_a_contract_earns_is_divided_to_the_last_part_or_all_the_owners():
    shares = [row.shares_ppm for row in small().roster() if row.has_contract]
    assert {len(one) for one in shares} == {1, 3}
    assert {sum(part for _, _, part in one) for one in shares} == {1_000_000}
    assert all(account for one in shares for _, account, _ in one)
