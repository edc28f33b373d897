"""The bridge against the package itself: sessions over TLS, and the package's faults, found and refused.

Needs Java, the package (fetched once into an environment of its own), and network namespaces; where
one is missing these tests are skipped and say which.
"""

import json
import shutil
import subprocess
import textwrap
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from evse_agent.intake import Intake
from evse_agent.samples import parse
from iso15118_bridge.replay import replay
from iso15118_bridge.samples import Sample

ROOT = Path(__file__).parents[2]
PYTHON = ROOT / ".cache" / "iso15118-venv" / "bin" / "python"
SESSION_S = 170
PROBE_S = 60

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def package():
    """The Python of the bridge's own environment."""
    if shutil.which("java") is None:
        pytest.skip("no Java runtime here, which the EXI codec of the package needs")
    made = subprocess.run(
        [ROOT / "iso15118_bridge" / "install.sh"],
        capture_output=True, text=True, timeout=280, check=False,
    )  # fmt: skip
    if made.returncode:
        pytest.skip(f"the package cannot be had here: {made.stderr.strip()[-300:]}")
    return PYTHON


LOOPS = 6
EXPORT_WH = 3400


@pytest.fixture(scope="module")
def certificates(package, tmp_path_factory):
    """Certificates of a charger and a car."""
    folder = tmp_path_factory.mktemp("pki") / "certificates"
    subprocess.run(
        [package, "-m", "iso15118_bridge.certificates", folder],
        cwd=ROOT, check=True, capture_output=True, timeout=PROBE_S,
    )  # fmt: skip
    return folder


@dataclass
class Held:
    """A session that was held."""

    status: int
    events: list[dict[str, Any]]
    lines: list[dict[str, Any]]
    messages: list[dict[str, Any]]
    recording: Path
    errors: str

    def told(self, what):
        return [event for event in self.events if event["event"] == what]


def hold(python, certificates, folder, service, *, loops, limit=False):
    """Hold a session; where asked, the agent says 0 W as soon as something has been discharged."""
    lines = []

    def handle(line):
        lines.append(json.loads(line))
        nonlocal limit
        if limit and float(lines[-1].get("export_wh", 0)) > EXPORT_WH:
            limit = False
            intake.tell({"limit_w": 0, "command_id": "c-1"})
        return {"accepted": True}

    intake = Intake(folder / "agent.socket", handle, greeting=lambda: None)
    intake.start()
    recording = folder / "messages.jsonl"
    ran = subprocess.run(
        [
            python, "-m", "iso15118_bridge.session", "--agent", folder / "agent.socket",
            "--service", service, "--loops", str(loops), "--certificates", certificates,
            "--record", recording, "--logs", folder, "--export-wh", str(EXPORT_WH),
        ],
        cwd=ROOT, capture_output=True, text=True, timeout=SESSION_S, check=False,
    )  # fmt: skip
    intake.stop(timeout_s=5)
    if ran.returncode == 2:
        pytest.skip(f"no session can be held here: {ran.stderr.strip()[-300:]}")
    events = [json.loads(line) for line in ran.stdout.splitlines()]
    messages = [json.loads(line)["msg"] for line in recording.read_text().splitlines()]
    return Held(ran.returncode, events, lines, messages, recording, ran.stderr)


@pytest.fixture(scope="module")
def dc(package, certificates, tmp_path_factory):
    """DC_BPT, throttled to nothing while it discharges."""
    folder = tmp_path_factory.mktemp("dc")
    return hold(package, certificates, folder, "DC_BPT", loops=LOOPS, limit=True)


def test_a_dc_session_over_tls_gives_lines_that_the_agent_takes(dc):
    assert dc.status == 0, dc.errors
    assert dc.told("connected")[0]["secured"].startswith("TLSv1.3 ")
    assert [event["service"] for event in dc.told("agreed")] == ["DC_BPT"]
    parsed = [parse(json.dumps(line).encode()) for line in dc.lines]
    assert {one.vehicle_id for one in parsed if hasattr(one, "vehicle_id")} == {
        "WMIV1234567890ABCDEX"
    }
    assert dc.lines[-1] == {"end": True, "session_id": dc.told("agreed")[0]["session_id"]}
    assert dc.told("refused") == []


def test_the_discharged_register_travels_in_every_charge_loop(dc):
    # given the answers of the charge loop, as they were decoded from the bytes that travelled
    infos = [
        one["DC_ChargeLoopRes"]["MeterInfo"] for one in dc.messages if "DC_ChargeLoopRes" in one
    ]

    # then each has the register, and it is the one that the agent was told
    told = {int(float(line["export_wh"])) for line in dc.lines if "at" in line}
    assert len(infos) == LOOPS + 1
    assert {info["BPT_DischargedEnergyReadingWh"] for info in infos} <= told


def test_a_limit_of_the_agent_is_the_charger_s_limit_in_the_next_message(dc):
    # given what the charger offered and what flowed, loop by loop
    answers = [one["DC_ChargeLoopRes"] for one in dc.messages if "DC_ChargeLoopRes" in one]
    mode = "BPT_Scheduled_DC_CLResControlMode"
    offered = [one[mode]["EVSEMaximumDischargePower"]["Value"] for one in answers]

    # then the discharge began, and after the limit nothing is offered and nothing flows
    assert dc.told("limit") == [{"event": "limit", "limit_w": 0, "power_w": 0, "command_id": "c-1"}]
    assert offered[0] > 0
    assert offered[-1] == 0
    assert answers[0]["EVSEPresentCurrent"]["Value"] < 0
    assert answers[-1]["EVSEPresentCurrent"]["Value"] == 0


def test_the_recording_of_a_session_replays_to_the_same_watt_hours(dc):
    with dc.recording.open() as lines:
        replayed = [one for one in replay(lines) if isinstance(one, Sample)]
    wire = [one.registers.export_milliwh // 1000 for one in replayed]
    live = [int(float(line["export_wh"])) for line in dc.lines if "at" in line]
    assert len(replayed) == LOOPS + 1
    assert set(wire) <= set(live)


def test_an_ac_session_gives_lines_too(package, certificates, tmp_path):
    held = hold(package, certificates, tmp_path, "AC_BPT", loops=1)
    assert held.status == 0, held.errors
    exports = [float(line["export_wh"]) for line in held.lines if "at" in line]
    assert [event["service"] for event in held.told("agreed")] == ["AC_BPT"]
    assert exports == sorted(exports)
    assert exports[-1] > exports[0] >= EXPORT_WH
    infos = [one["AC_ChargeLoopRes"]["MeterInfo"] for one in held.messages
             if "AC_ChargeLoopRes" in one]  # fmt: skip
    assert all("BPT_DischargedEnergyReadingWh" in info for info in infos)


def charger_without(package, folder):
    """A charger that is to start with a folder of certificates."""
    return subprocess.run(
        [
            package, "-m", "iso15118_bridge.secc", "--interface", "lo", "--evse-id", "E",
            "--agent", folder / "agent.socket", "--certificates", folder,
        ],
        cwd=ROOT, capture_output=True, text=True, timeout=PROBE_S, check=False,
    )  # fmt: skip


def test_without_certificates_the_charger_does_not_start_and_says_what_to_do(package, tmp_path):
    refused = charger_without(package, tmp_path)
    assert (refused.returncode, refused.stdout) == (2, "")
    assert "TLS is required" in refused.stderr
    assert "python -m iso15118_bridge.certificates" in refused.stderr


def test_a_key_that_others_can_read_keeps_the_charger_from_starting(
    package, certificates, tmp_path
):
    folder = tmp_path / "open"
    shutil.copytree(certificates, folder)
    (folder / "iso15118_2" / "private_keys" / "seccLeaf.key").chmod(0o644)
    refused = charger_without(package, folder)
    assert refused.returncode == 2
    assert "ERR_AUTH_EXPIRED" in refused.stderr
    assert "0600" in refused.stderr


def probe(package, program, **environment):
    """Run a program in the bridge's environment; what it prints, as JSON."""
    ran = subprocess.run(
        [package, "-c", textwrap.dedent(program)],
        cwd=ROOT, capture_output=True, text=True, timeout=PROBE_S, check=False,
        env={"PATH": "/usr/bin:/bin:/usr/sbin:/sbin", "LOG_LEVEL": "CRITICAL", **environment},
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    return json.loads(ran.stdout.splitlines()[-1])


def test_the_package_still_loses_the_register_and_the_bridge_still_repairs_it(package):
    # given an answer with the package's name for the register, and the package's own codec
    found = probe(
        package,
        """
        import json
        from iso15118.shared.exificient_exi_codec import ExificientEXICodec
        from iso15118_bridge.codec import DC, WatchedCodec
        rational = {"Exponent": 0, "Value": 0}
        said = json.dumps({"DC_ChargeLoopRes": {
            "Header": {"SessionID": "00000000000000A1", "TimeStamp": 1}, "ResponseCode": "OK",
            "MeterInfo": {"MeterID": "M", "ChargedEnergyReadingWh": 1,
                          "BPTDischargedEnergyReadingWh": 3468},
            "EVSEPresentCurrent": rational, "EVSEPresentVoltage": rational,
            "EVSEPowerLimitAchieved": False, "EVSECurrentLimitAchieved": False,
            "EVSEVoltageLimitAchieved": False,
            "BPT_Scheduled_DC_CLResControlMode": {}}})
        bare = ExificientEXICodec()
        ours = WatchedCodec(bare)
        print(json.dumps({
            "bare": bare.decode(bytes(bare.encode(said, DC)), DC),
            "wire": bare.decode(ours.encode(said, DC), DC),
            "library": ours.decode(ours.encode(said, DC), DC),
        }))
        """,
    )

    # then alone it is gone, wrapped it travels, and the library reads it back by its own name
    info = {name: json.loads(text)["DC_ChargeLoopRes"]["MeterInfo"] for name, text in found.items()}
    assert "3468" not in json.dumps(info["bare"])
    assert info["wire"]["BPT_DischargedEnergyReadingWh"] == 3468
    assert info["library"]["BPTDischargedEnergyReadingWh"] == 3468


def test_the_package_still_falls_back_to_plain_tcp_and_the_bridge_still_refuses(package, tmp_path):
    # given no certificates, and the order to use TLS
    found = probe(
        package,
        """
        import asyncio, json
        from iso15118.secc.transport import tcp_server
        from iso15118.shared.settings import load_shared_settings

        async def local(port, _nic):
            return "::1", port, 0, 0

        async def main():
            load_shared_settings()
            tcp_server.get_link_local_full_addr = local
            from iso15118_bridge.secure import GuardedServer, proof
            refused, admitted = [], []
            GuardedServer.refuse = staticmethod(lambda reason, detail: refused.append(reason.name))
            GuardedServer.admit = staticmethod(admitted.append)
            outcome = {}
            for name, kind in (("package", tcp_server.TCPServer), ("bridge", GuardedServer)):
                queue, ready = asyncio.Queue(), asyncio.Event()
                server = kind(queue, "lo")
                task = asyncio.create_task(server.start_tls(ready))
                await ready.wait()
                outcome[name] = server.server is not None and not server.is_tls_enabled
                task.cancel()
            # And should a plain connection get as far as the door all the same:
            door, queue = None, asyncio.Queue()
            door = GuardedServer(queue, "lo")
            plain = await asyncio.start_server(door, "127.0.0.1", 0)
            reader, writer = await asyncio.open_connection(*plain.sockets[0].getsockname())
            closed = await reader.read() == b""
            outcome |= {"refused": refused, "admitted": admitted, "closed": closed,
                        "reached": queue.qsize()}
            print(json.dumps(outcome))

        asyncio.run(main())
        """,
        PKI_PATH=str(tmp_path),
        ENABLE_TLS_1_3="True",
    )

    # then the package listens in plain, and the bridge neither listens nor lets a connection in
    assert found == {
        "package": True,
        "bridge": False,
        "refused": ["NOT_TLS", "NOT_TLS"],
        "admitted": [],
        "closed": True,
        "reached": 0,
    }


def test_a_car_that_asks_twice_is_told_the_same_port_and_without_tls_none(
    package, certificates, tmp_path
):
    # given a charger that a car asks twice, and one whose certificates have gone
    program = """
        import asyncio, json
        from iso15118.secc.secc_settings import Config
        from iso15118.secc.transport import tcp_server
        from iso15118.shared.exceptions import InvalidSDPRequestError
        from iso15118.shared.messages.sdp import SDPRequest, Security, Transport
        from iso15118.shared.settings import load_shared_settings
        from iso15118_bridge.secure import GuardedSECC, GuardedServer

        class Version:
            def get_version(self):
                return "1"

        async def local(port, _nic):
            return "::1", port, 0, 0

        async def main():
            load_shared_settings()
            tcp_server.get_link_local_full_addr = local
            refused = []
            secc = GuardedSECC(Version(), None, Config(), admit=lambda _: None,
                               refuse=lambda reason, detail: refused.append(reason.name))
            secc.tcp_server = GuardedServer(secc._rcv_queue, "lo")
            ports = []
            for security in (Security.TLS, Security.NO_TLS):
                asked = SDPRequest(security=security, transport_protocol=Transport.TCP)
                try:
                    answer = await secc.process_sdp_request(asked)
                except InvalidSDPRequestError:
                    continue
                assert answer.security == Security.TLS
                ports.append(answer.port)
            print(json.dumps({"ports": len(ports), "different": len(set(ports)),
                              "refused": refused}))
            if secc.tcp_server_handler:
                secc.tcp_server_handler.cancel()

        asyncio.run(main())
    """
    good = probe(package, program, PKI_PATH=str(certificates), ENABLE_TLS_1_3="True")
    bare = probe(package, program, PKI_PATH=str(tmp_path), ENABLE_TLS_1_3="True")

    # then the one answers both times with one port that is TLS, the other stays silent
    assert good == {"ports": 2, "different": 1, "refused": []}
    assert bare == {"ports": 0, "different": 0, "refused": ["NOT_TLS"] * 2}
