"""The demonstration, whole, as a newcomer runs it."""

import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import TextIO

import httpx
import pytest

from cli.demo.checks import Paid, check, check_ledger, check_opinion, check_troubles
from cli.demo.troubles import KINDS, Cost, Trouble
from embedded.processes import wait_until
from simulators.evening import Evening
from storage.engine import Role, connect
from tasks.second_opinion import Opinion
from tasks.settle import SettleSummary
from tests.packets import evening as evening_starts
from tests.storage.booked import book
from tests.tasks.scene import administrator, now

DEADLINE_S = 400


def start(
    folder: Path, *options: str, out: TextIO | int = subprocess.PIPE
) -> subprocess.Popen[str]:
    return subprocess.Popen(
        (sys.executable, "-m", "cli.main", "demo", "--evses", "10", *options),
        cwd=folder, stdout=out, stderr=subprocess.STDOUT, text=True, start_new_session=True,
    )  # fmt: skip


def left_behind(folder: Path) -> list[str]:
    """Command lines or environments of processes that still belong to a demonstration's folder."""
    found = []
    for process in Path("/proc").iterdir():
        if not process.name.isdigit() or int(process.name) == os.getpid():
            continue
        try:
            words = (process / "cmdline").read_bytes() + (process / "environ").read_bytes()
        except OSError:
            continue
        if str(folder).encode() in words:
            found.append(words.replace(b"\0", b" ").decode(errors="replace")[:200])
    return found


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One folder for the two tests that follow: the second finds what the first has left."""
    return tmp_path_factory.mktemp("demo")


def test_an_interrupt_stops_everything_that_was_started(folder: Path) -> None:
    # given a demonstration in which Prefect, the database, the broker and the utility run
    running = start(folder)
    log = folder / ".demo" / "logs" / "clearinghouse.log"
    wait_until(
        lambda: log.exists() or running.poll() is not None,
        deadline_s=DEADLINE_S,
        what="the clearinghouse to start",
    )
    # when it is interrupted
    running.send_signal(signal.SIGINT)
    out, _ = running.communicate(timeout=DEADLINE_S)
    # then
    assert running.returncode == 130, out
    assert left_behind(folder) == []


@pytest.mark.timeout(DEADLINE_S)
def test_an_evening_is_settled_on_what_an_interrupted_one_has_left_and_stays_up_to_be_tried(
    folder: Path,
) -> None:
    # given a demonstration that has run to its end and stays up
    with (folder / "out").open("w") as out:
        running = start(folder, "--keep", out=out)
    said = folder / "out"
    wait_until(
        lambda: "stays up" in said.read_text() or running.poll() is not None,
        deadline_s=DEADLINE_S,
        what="the demonstration to stay up",
    )
    assert "Every check holds" in said.read_text(), said.read_text()
    assert "✗" not in said.read_text()
    # and its table tells what each trouble cost
    assert [kind for kind in sorted(KINDS) if kind not in said.read_text()] == []
    try:
        # when the README's story is told
        assert send(folder, "packet.jws") == 200
        assert send(folder, "packet.jws") == 208
        settled = v2g(folder, "settle")
        assert settled.returncode == 0, settled.stderr
        assert send(folder, "contradiction.jws") == 409
        # and its utility is looked at, which speaks IEEE 2030.5
        status = v2g(folder, "grid status")
        assert status.returncode == 0, status.stderr
        assert "ieee2030.5" in status.stdout
        # and its payouts: what the statement leaves out, and the key that has signed
        assert "missing_at_partner" in v2g(folder, "reconcile differences").stdout
        key = v2g(folder, "keys show")
        assert key.returncode == 0, key.stderr
        assert "ecdsa-p256-sha256" in key.stdout
        # and somebody starts a second one in the same folder
        second = start(folder)
        complaint, _ = second.communicate(timeout=DEADLINE_S)
        assert second.returncode == 1
        assert "stop it first" in " ".join(complaint.split())
    finally:
        # then an interrupt ends it well
        running.send_signal(signal.SIGINT)
        running.wait(timeout=DEADLINE_S)
    assert running.returncode == 0, said.read_text()
    assert left_behind(folder) == []


def v2g(folder: Path, command: str) -> subprocess.CompletedProcess[str]:
    """A command with the settings of a kept demonstration, as its page says."""
    return subprocess.run(
        ("bash", "-c", f". .demo/env && {sys.executable} -m cli.main {command}"),
        cwd=folder, capture_output=True, text=True, timeout=DEADLINE_S, check=False,
    )  # fmt: skip


def send(folder: Path, name: str) -> int:
    """The status that the intake of a kept demonstration answers to one of its packets."""
    environment = (folder / ".demo" / "env").read_text()
    url = next(line.partition("=")[2] for line in environment.splitlines() if "INTAKE_URL" in line)
    header = (folder / ".demo" / "try" / "authorization").read_text().strip()
    answer = httpx.post(
        f"{url}/v1/packets",
        content=(folder / ".demo" / "try" / name).read_bytes(),
        headers={"Content-Type": "application/jose", "Authorization": header.partition(": ")[2]},
        timeout=30,
        trust_env=False,
    )
    return answer.status_code


def test_a_folder_that_is_no_demonstrations_is_left_alone(tmp_path: Path) -> None:
    # given a .demo folder of somebody else
    (tmp_path / ".demo").mkdir()
    (tmp_path / ".demo" / "thesis.txt").write_text("chapter 1")
    # when
    done = start(tmp_path)
    out, _ = done.communicate(timeout=DEADLINE_S)
    # then
    assert done.returncode == 1
    assert "move it away" in " ".join(out.split())
    assert (tmp_path / ".demo" / "thesis.txt").read_text() == "chapter 1"


def test_the_checks_at_the_end_can_fail(plain_database: str) -> None:
    # given an evening of which nothing has landed, and a clearinghouse that has paid twice
    day = evening_starts().date()
    evening = Evening(seed=1, day=day, received_by=now(), evses=10)
    paid = Paid(
        amounts={"a": 1, "b": 1}, settlements={"a": "s", "b": "s"}, adjusted=[], adjusted_minor=0, twice=["s"],
        effects={"a": 1, "b": 1}, totals={"USD": 2}, calls=2,
    )  # fmt: skip
    # when
    with connect(plain_database, Role.READ) as conn:
        checks = check(conn, evening, paid)
    # then only what is true of empty books holds
    assert [one.says for one in checks if one.holds] == ["every journal entry sums to zero"]


def test_the_ledgers_checks_can_fail(plain_database: str, tmp_path: Path) -> None:
    # given a booking that was sealed
    book(plain_database, 101, 102)
    seals = tmp_path / "seals.ndjson"
    assert all(one.holds for one in check_ledger(plain_database, seals))
    # when a superuser takes half of an entry away
    with administrator(plain_database) as conn:
        conn.execute("set session_replication_role = replica")
        conn.execute("delete from journal_line where account like 'payable%'")
    # then neither the seal nor the balance holds
    assert not any(one.holds for one in check_ledger(plain_database, seals))


COST = Cost(energy_milliwh=1_000, lost_micros=10_000)


def cost_of(kind: str, **changes: Cost) -> Trouble:
    """A trouble of that kind that cost what it must have, but for the changes."""
    costs = {"found": COST, "meant": COST} | changes
    return Trouble(kind, "GRID-1", found=costs["found"], meant=costs["meant"], why="because")


@pytest.mark.parametrize(
    ("rows", "holds"),
    [
        pytest.param([cost_of(kind) for kind in KINDS], True, id="as it must be"),
        pytest.param([cost_of(kind) for kind in sorted(KINDS)[1:]], False, id="a kind is missing"),
        pytest.param(
            [cost_of(kind, found=replace(COST, energy_milliwh=1_001)) for kind in KINDS],
            False, id="other energy",
        ),
        pytest.param(
            [cost_of(kind, found=replace(COST, lost_micros=10_001)) for kind in KINDS],
            False, id="other money",
        ),
        pytest.param(
            [cost_of(kind, found=Cost(0, 0), meant=Cost(0, 0)) for kind in KINDS],
            False, id="nothing happened",
        ),
    ],
)  # fmt: skip
def test_the_troubles_check_can_fail(rows: list[Trouble], holds: bool) -> None:
    assert check_troubles(rows).holds is holds


def told(opinion: Opinion | None) -> SettleSummary:
    """A run over three vehicles, with that second opinion."""
    return SettleSummary(
        run_id="", period="", state="", reason="", currency="USD", minor_units=2, vehicles=3,
        discharged_milliwh=0, paid_milliwh=0, amount_minor=0, booked_minor=0, revisions=0, held=0,
        unpaid=[], quarantined=[], second_opinion=opinion,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("opinion", "holds"),
    [
        pytest.param(Opinion(vehicles=3, lines=7), True, id="agrees on all"),
        pytest.param(Opinion(vehicles=2, lines=7), False, id="has looked at fewer"),
        pytest.param(Opinion(vehicles=3, lines=7, differences=1), False, id="differs"),
        pytest.param(None, False, id="was not asked"),
    ],
)
def test_the_second_opinion_counts_where_it_covers_every_vehicle_and_agrees(
    opinion: Opinion | None, holds: bool
) -> None:
    assert check_opinion(told(opinion)).holds is holds
