import os
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from embedded.errors import NoUsablePlaceError
from embedded.places import NOBODY, placed, reaches, socket_folder

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0,
    reason="only root starts servers as another user, who may not reach its files",
)


@pytest.fixture
def closed(tmp_path):
    """A tree in a folder that only root may enter."""
    root = tmp_path / "closed"
    root.mkdir(mode=0o700)
    (root / "part" / "bin").mkdir(parents=True, mode=0o700)
    program = root / "part" / "bin" / "program"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o700)
    (root / "part" / "data").write_text("data")
    (root / "part" / "link").symlink_to("data")
    (root / "other").write_text("not asked for")
    return root


@pytest.fixture
def shared(tmp_path):
    folder = tmp_path / "shared"
    folder.mkdir()
    return folder


def test_what_the_user_reaches_is_used_where_it_lies():
    assert placed(Path("/usr"), ["bin", "lib"], "key", user=NOBODY) == Path("/usr")


def test_a_folder_below_a_closed_one_is_not_reached(closed):
    assert not reaches(NOBODY, closed / "part")


def test_a_copy_holds_the_parts_and_can_be_read_and_run_by_everybody(closed, shared):
    copy = placed(closed, ["part"], "key", user=NOBODY, shared=shared)

    assert sorted(path.name for path in copy.iterdir()) == ["part"]
    assert stat.S_IMODE((copy / "part" / "bin").stat().st_mode) == 0o755
    assert stat.S_IMODE((copy / "part" / "bin" / "program").stat().st_mode) == 0o755
    assert stat.S_IMODE((copy / "part" / "data").stat().st_mode) == 0o644
    assert (copy / "part" / "link").is_symlink()


def test_processes_that_copy_at_once_end_with_one_whole_copy(closed, shared):
    with ThreadPoolExecutor(8) as pool:
        copies = set(
            pool.map(
                lambda _: placed(closed, ["part"], "key", user=NOBODY, shared=shared), range(32)
            )
        )

    assert copies == set(shared.iterdir())
    assert len(copies) == 1


def test_a_copy_from_which_a_cleaner_took_a_file_is_made_anew(closed, shared):
    copy = placed(closed, ["part"], "key", user=NOBODY, shared=shared)
    (copy / "part" / "data").unlink()

    again = placed(closed, ["part"], "key", user=NOBODY, shared=shared)

    assert (again / "part" / "data").read_text() == "data"
    assert list(shared.iterdir()) == [again]


def test_programs_that_another_user_laid_there_are_not_run(closed, shared):
    copy = placed(closed, ["part"], "key", user=NOBODY, shared=shared)
    os.chown(copy, NOBODY, NOBODY)

    with pytest.raises(NoUsablePlaceError, match="belongs to another user"):
        placed(closed, ["part"], "key", user=NOBODY, shared=shared)


def test_a_socket_folder_avoids_a_long_temporary_folder(tmp_path, monkeypatch):
    long = tmp_path / ("long" * 30)
    long.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(long))

    folder = socket_folder(NOBODY)

    assert len(str(folder)) < 100
    assert (folder.stat().st_uid, stat.S_IMODE(folder.stat().st_mode)) == (NOBODY, 0o700)
    folder.rmdir()
