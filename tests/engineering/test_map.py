"""The map of the house, drawn from the code."""

from pathlib import Path

from cli import map as house_map


def write_room(root: Path, name: str, docstring: str, lines: int = 1) -> None:
    (root / name).mkdir()
    (root / name / "__init__.py").write_text(f'"""{docstring}\n\nMore about it.\n"""\n')
    (root / name / "module.py").write_text("X = 1\n" * lines)


def test_rooms_come_in_the_order_of_the_datas_way_and_the_others_by_name(tmp_path: Path):
    # given rooms with and without numbers
    write_room(tmp_path, "alpha", "6 CONDUCT: sentences.")
    write_room(tmp_path, "beta", "1 LAND: bytes in, rows out.")
    write_room(tmp_path, "zulu", "The commands.")
    write_room(tmp_path, "kilo", "The world outside.")
    write_room(tmp_path, "tests", "What must hold.")

    # when the map is drawn
    rooms = house_map.rooms(tmp_path)

    # then the numbered come first, and tests are no room
    assert [room.name for room in rooms] == ["beta", "alpha", "kilo", "zulu"]
    assert house_map.draw(rooms).splitlines()[0].split() == [
        "beta/", "1", "LAND", "bytes", "in,", "rows", "out.", "(2", "files,", "5", "lines)",
    ]  # fmt: skip


def test_the_longest_files_are_shown_and_long_ones_are_asked(tmp_path: Path):
    # given one file that is longer than a file should be
    write_room(tmp_path, "alpha", "1 LAND: bytes.", lines=house_map.LONG_FILE_LINES + 1)
    write_room(tmp_path, "beta", "2 KEEP: facts.", lines=house_map.LONG_FILE_LINES)

    # when the map is drawn
    drawn = house_map.draw(house_map.rooms(tmp_path)).splitlines()

    # then it comes first, with the question
    first, second = drawn[drawn.index("longest files") + 1 :][:2]
    assert "alpha/module.py" in first
    assert "two things?" in first
    assert "beta/module.py" in second
    assert "two things?" not in second


def test_every_room_of_this_house_introduces_itself():
    # given the real house
    rooms = house_map.rooms()

    # then the numbers run from 1 without a gap, each with its verb
    numbers = [room.number for room in rooms if room.number is not None]
    assert numbers == list(range(1, len(numbers) + 1))
    assert [room.name for room in rooms if not room.sentence] == []
