"""The agent as a process, with a real broker: what is accepted arrives, signed, and leaves on receipt."""

import json
import os
import signal
import subprocess
import sys

import pytest

from embedded.processes import wait_until
from tests.evse_agent.harness import (
    EVSE_ID,
    Charger,
    Receiver,
    assert_covers,
    deliver,
    fields_of,
    identities,
    sample,
)


def test_samples_become_signed_packets_that_leave_the_store_on_receipt(broker, tmp_path):
    with Receiver(broker) as receiver, Charger(tmp_path / "c", broker) as charger:
        deliver(charger, [sample(n) for n in range(6)])

        held = receiver.wait_packets(5)
        charger.wait_waiting(0)

        assert_covers(held, 0, 5)
        assert sorted(sequence for _, sequence in identities(held)) == [0, 1, 2, 3, 4]
        one = fields_of(held[0])
        assert (one["version"], one["evse_id"], one["clock_offset_ms"]) == (1, EVSE_ID, "0.500")
        assert charger.status()["last_receipt_at"] is not None
        assert charger.process.stop() == 0


def test_without_receipts_nothing_is_deleted_and_everything_is_sent_again_and_then_once_deleted(
    broker, tmp_path
):
    with (
        Receiver(broker, receipts=False) as receiver,
        Charger(tmp_path / "c", broker, ReceiptTimeout=0.5) as charger,
    ):
        deliver(charger, [sample(n) for n in range(4)])
        first = receiver.wait_packets(3)
        wait_until(
            lambda: len(receiver.packets) >= 6, deadline_s=20, what="all of them to come again"
        )
        assert set(receiver.packets) == set(first), "sent again byte for byte"
        assert charger.status()["waiting"] == 3

        receiver.receipts = True
        charger.wait_waiting(0)
        receiver.receipt(first[:1], state="landed")  # a receipt that comes twice

        deliver(charger, [sample(4)])
        receiver.wait_packets(4)
        charger.wait_waiting(0)


def test_a_packet_that_the_other_side_misses_comes_again_while_it_is_here(broker, tmp_path):
    with (
        Receiver(broker, receipts=False) as receiver,
        Charger(tmp_path / "c", broker, ReceiptTimeout=3600) as charger,
    ):
        deliver(charger, [sample(n) for n in range(5)])
        held = receiver.wait_packets(4)
        charger.process.stop()
        before = len(
            receiver.packets
        )  # one may have come twice already: at least once is the promise
        charger.start(up=True)  # it knows of no sending any more
        wait_until(
            lambda: set(identities(receiver.packets[before:])) == set(identities(held)),
            deadline_s=20,
            what="all of them again",
        )
        epoch = identities(held)[0][0]

        receiver.receipt(
            [],
            missing=[
                {"evse_id": EVSE_ID, "stream_epoch": epoch, "first": 2, "last": 3},
                {"evse_id": "ANOTHER", "stream_epoch": epoch, "first": 0, "last": 9},
                {"evse_id": EVSE_ID, "stream_epoch": epoch, "first": 70, "last": 71},
            ],
        )

        wait_until(
            lambda: "event=missing_not_here" in charger.log,
            deadline_s=20,
            what="word of what is not here",
        )
        assert "first=70" in charger.log


def test_a_conflict_is_final_loud_and_begins_a_new_stream(broker, tmp_path):
    with (
        Receiver(broker, receipts=False) as receiver,
        Charger(tmp_path / "c", broker) as charger,
    ):
        deliver(charger, [sample(0), sample(1)])
        [first] = receiver.wait_packets(1)

        receiver.receipt([first], state="conflict")
        charger.wait_waiting(0)
        wait_until(lambda: "event=new_stream" in charger.log, deadline_s=10, what="a new stream")
        deliver(charger, [sample(2)])

        [_, second] = receiver.wait_packets(2)
        (old, zero), (new, again) = identities([first, second])
        assert (zero, again) == (0, 0)
        assert new > old
        assert "event=packet_conflict" in charger.log


def test_a_limit_reaches_the_controller_is_acknowledged_and_survives_kill_9(broker, tmp_path):
    with Receiver(broker) as receiver, Charger(tmp_path / "c", broker) as charger:
        charger.wait_up()
        controller = charger.controller()
        assert controller.say(sample(0))["accepted"]  # so the agent has taken the connection
        receiver.command(command_id="c-1", kind="limit", limit_w=0, reason="THERMAL_LIMIT_REACHED")

        told = controller.heard()
        answer = receiver.wait_status(lambda one: one.get("command_id") == "c-1")

        assert told == {"limit_w": 0, "command_id": "c-1", "reason": "THERMAL_LIMIT_REACHED"}
        assert answer == {"version": 1, "command_id": "c-1", "state": "obeyed"}
        charger.process.kill()
        controller.close()
        charger.start(up=True)
        assert charger.status()["command"]["limit_w"] == 0
        controller = charger.controller()
        assert controller.heard()["limit_w"] == 0

        receiver.command(command_id="c-2", kind="limit", limit_w=None, reason="20 to 45 degrees")
        assert controller.heard()["limit_w"] is None
        receiver.command(command_id="c-3", kind="dance")
        refused = receiver.wait_status(lambda one: one.get("command_id") == "c-3")
        assert refused["state"] == "refused"


def test_a_command_that_comes_while_the_agent_is_away_is_obeyed_when_it_is_back(broker, tmp_path):
    with Receiver(broker) as receiver, Charger(tmp_path / "c", broker) as charger:
        charger.wait_up()
        charger.process.kill()
        receiver.wait_status(lambda one: one["state"] == "offline")  # the last will

        receiver.command(command_id="c-9", kind="limit", limit_w=1500)
        charger.start(up=True)

        receiver.wait_status(lambda one: one.get("command_id") == "c-9")
        assert charger.controller().heard()["limit_w"] == 1500


def test_presence_tells_of_the_link_the_clock_and_what_waits_and_ends_with_offline(
    broker, tmp_path
):
    with Receiver(broker) as receiver, Charger(tmp_path / "c", broker) as charger:
        charger.wait_up()
        first = receiver.wait_status(lambda one: one["state"] == "online")
        deliver(charger, [sample(0, snr_db="8.5")])

        low = receiver.wait_status(lambda one: one.get("plc") == "Communication Timeout")
        charger.process.stop()
        receiver.wait_status(lambda one: one["state"] == "offline")

    assert (first["evse_id"], first["clock_offset_ms"], first["limit_w"]) == (
        EVSE_ID,
        "0.500",
        None,
    )
    assert low["snr_db"] == "8.50"
    assert (
        'level=warning event=plc_low message="Communication Timeout" evse_id=DE*V2G*E00001 snr_db=8.50'
        in charger.log
    )


def test_a_full_store_refuses_samples_loudly_and_their_energy_goes_into_the_next_packet(
    broker, tmp_path
):
    with (
        Receiver(broker, receipts=False) as receiver,
        Charger(tmp_path / "c", broker, StoreMaxBytes=65536) as charger,
    ):
        controller, number = charger.controller(), 0
        while controller.say(sample(number)) == {"accepted": True}:
            number += 1
        refused = controller.say(sample(number))
        assert "expected room for" in refused["found"]
        assert charger.status()["waiting"] == number - 1
        assert charger.log.count("event=not_stored") == 1

        receiver.receipts = True
        wait_until(
            lambda: controller.say(sample(number + 5)) == {"accepted": True},
            deadline_s=30,
            what="room again",
        )
        held = receiver.wait_packets(number)
        charger.wait_waiting(0)

    # The gap is longer than two intervals, so it is split where the last sample was accepted.
    assert_covers(held, 0, number + 5)
    receiver.wait_status(lambda one: one.get("store") == "full")


def test_the_socket_is_private_takes_one_controller_and_bounded_lines(tmp_path):
    with Charger(tmp_path / "c", None) as charger:
        assert charger.socket_file.stat().st_mode & 0o777 == 0o600
        first = charger.controller()
        assert first.say(sample(0)) == {"accepted": True}

        second = charger.controller()
        assert second.line()["found"] == "a second controller"
        refused = first.say(b"nonsense")
        assert (refused["accepted"], refused["where"]) == (False, "line")
        assert first.say(sample(1, export_wh="5"))["where"] == "export_wh"
        first.send(b"x" * 20_000)
        assert "or more" in first.line()["found"]
        with pytest.raises(OSError, match="hung up"):
            first.line()

        wait_until(lambda: "event=controller_gone" in charger.log, deadline_s=10, what="its end")
        third = charger.controller()
        assert third.say(sample(1)) == {"accepted": True}
        assert charger.status()["waiting"] == 1


def test_a_charger_that_may_not_discharge_says_so_and_refuses_exported_energy(tmp_path):
    with Charger(tmp_path / "c", None, BidirectionalEnabled=False) as charger:
        controller = charger.controller()

        assert controller.heard() == {
            "limit_w": 0,
            "reason": "BidirectionalEnabled is false",
        }
        assert controller.say(sample(0))["accepted"]
        assert (
            controller.say(sample(1))["expected"] == "none, because BidirectionalEnabled is false"
        )
        assert controller.say(sample(1, export_wh="1000000", power_w="-7200"))["accepted"]


def test_a_second_agent_on_the_same_store_ends_at_once(tmp_path):
    with Charger(tmp_path / "c", None) as charger:
        done = subprocess.run(
            [sys.executable, "-m", "evse_agent", "run", "--config", str(charger.config_file)],
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )

        assert done.returncode == 4
        assert "another agent that has it" in done.stderr
        assert charger.process.running


def test_a_damaged_store_stops_the_start_with_what_to_do(tmp_path):
    with Charger(tmp_path / "c", None) as charger:
        deliver(charger, [sample(0), sample(1)])
        charger.process.stop()
        charger.store_file.write_bytes(b"\xff" * 8192)

        charger.process.start()

        assert charger.process.wait(deadline_s=20) == 4
        assert "It was not touched" in charger.log
        assert charger.store_file.read_bytes() == b"\xff" * 8192


def test_check_and_status_tell_what_they_found(tmp_path):
    def run(command: str, *more: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [
                sys.executable,
                "-m",
                "evse_agent",
                command,
                "--config",
                str(charger.config_file),
                *more,
            ],
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )

    with Charger(tmp_path / "c", None) as charger:
        deliver(charger, [sample(n) for n in range(3)])
        good = run("check")
        status = run("status", "--json")
        wait_until(
            lambda: json.loads(run("status", "--json").stdout)["broker"] is not None,
            deadline_s=10,
            what="the broker's state",
        )
        (tmp_path / "c" / "signing.pem").chmod(0o644)
        bad = run("check")

    assert (good.returncode, "the configuration can be used" in good.stdout) == (0, True)
    said = json.loads(status.stdout)
    assert (said["running"], said["waiting"], said["session_open"]) == (True, 2, True)
    assert bad.returncode == 3
    assert bad.stderr.splitlines()[1].startswith("ERR_AUTH_EXPIRED KeyFile")
    assert json.loads(run("status", "--json").stdout)["running"] is False


def test_help_teaches_and_names_every_key():
    from evse_agent.config_keys import KEYS

    done = subprocess.run(
        [sys.executable, "-m", "evse_agent", "run", "--help"],
        capture_output=True,
        text=True,
        check=True,
    )

    assert all(f"  {name}  [" in done.stdout for name in KEYS)


def test_sigterm_ends_it_within_seconds_whatever_the_broker_does(tmp_path):
    with Charger(tmp_path / "c", None) as charger:
        assert charger.process.pid is not None
        os.kill(charger.process.pid, signal.SIGTERM)

        assert charger.process.wait(deadline_s=10) == 0
        assert "event=stopped waiting=0" in charger.log
