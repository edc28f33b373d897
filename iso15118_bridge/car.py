"""The package's own car, to test the charger against: it asks to give energy back.

    python -m iso15118_bridge.car --interface eth1 --certificates FOLDER --service DC_BPT

What the simulated car lacks is added: it asks for the meter in each loop, chooses to discharge, its
state of charge falls, and it waits up to ten times as long as the standard has it, for busy machines. It
ends with the session: exit 0 when that was complete, 1 when not, 2 when it cannot start.
"""

import argparse
import asyncio
import json
import logging
import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any, Final

PATIENCE: Final = 10
PATIENT_TO_S: Final = 30.0
SETTING_UP_S: Final = 150.0
LONGEST_LOOP_S: Final = 10.0


def arguments() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m iso15118_bridge.car",
        description="The simulated car (EVCC) of the iso15118 package, willing to give energy back.",
        epilog="Exit 0 when the session was complete, 1 when not, 2 when it cannot start.",
    )
    parser.add_argument("--interface", required=True, help="with an IPv6 link-local address")
    parser.add_argument("--certificates", type=Path, required=True, help="folder of iso15118_2/")
    parser.add_argument("--service", default="DC_BPT", choices=("DC_BPT", "AC_BPT", "DC", "AC"))
    parser.add_argument("--loops", type=int, default=20, help="charge loops")
    parser.add_argument("--pause", type=int, default=1, help="seconds between loops")
    parser.add_argument(
        "--discharge-w", type=int, default=10_000, help="what the car is willing to give"
    )
    parser.add_argument("--soc", type=int, default=80, help="state of charge at the start, percent")
    parser.add_argument("--no-tls", action="store_true", help="ask for a plain connection")
    parser.add_argument("--never-asks-meter", action="store_true", help="as the simulator does it")
    return parser


def settings(chosen: argparse.Namespace) -> dict[str, Any]:
    """The car's file, as the package reads it."""
    protocol = "ISO_15118_20_DC" if chosen.service.startswith("DC") else "ISO_15118_20_AC"
    return {
        "supportedProtocols": [protocol],
        "supportedEnergyServices": [chosen.service],
        "isCertInstallNeeded": False,
        "useTls": not chosen.no_tls,
        "enforceTls": not chosen.no_tls,
        "chargeLoopCycle": chosen.loops,
        "chargeLoopDelay": chosen.pause,
    }


def patient() -> None:
    """Make waits up to ten times as long: a busy machine is no fault of the charger."""
    wait_for = asyncio.wait_for

    async def longer(awaited: Any, timeout: float | None = None) -> Any:  # noqa: ASYNC109 - its own signature
        if timeout is not None and timeout < PATIENT_TO_S:
            timeout = min(PATIENCE * timeout, PATIENT_TO_S)
        return await wait_for(awaited, timeout)

    asyncio.wait_for = longer  # type: ignore[assignment]


async def drive(chosen: argparse.Namespace) -> int:
    """Plug in, discharge, unplug."""
    os.environ |= {
        "NETWORK_INTERFACE": chosen.interface,
        "PKI_PATH": str(chosen.certificates.resolve()),
        "ENABLE_TLS_1_3": "True",
        "MESSAGE_LOG_JSON": "False",
    }
    from iso15118.evcc import Config, EVCCHandler
    from iso15118.evcc.evcc_config import load_from_file
    from iso15118.shared.exificient_exi_codec import ExificientEXICodec

    from iso15118_bridge.codec import SENT, WatchedCodec
    from iso15118_bridge.giver import Giver

    logging.basicConfig(stream=sys.stderr, level=logging.INFO, force=True)
    stopped = asyncio.Event()

    def seen(direction: str, message: dict[str, Any], _at: Any, _namespace: str) -> None:
        if direction == SENT and "SessionStopReq" in message:
            stopped.set()

    config = Config()
    config.load_envs(os.devnull)
    codec = WatchedCodec(ExificientEXICodec(), seen=seen, wants_meter=not chosen.never_asks_meter)
    codec.warm_up()
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        json.dump(settings(chosen), file)
        file.flush()
        car = await load_from_file(file.name)
    print(json.dumps({"event": "plugged in", "service": chosen.service}), flush=True)
    handler = EVCCHandler(
        evcc_config=car,
        iface=config.iface,
        exi_codec=codec,
        ev_controller=Giver(car, willing_w=chosen.discharge_w, soc=chosen.soc),
    )
    async with asyncio.timeout(SETTING_UP_S + chosen.loops * (chosen.pause + LONGEST_LOOP_S)):
        await handler.start()
    return 0 if stopped.is_set() else 1


def main() -> int:
    """See above."""
    chosen = arguments().parse_args()
    if shutil.which("java") is None:
        print("no Java runtime, which the EXI codec needs; install one (headless)", file=sys.stderr)
        return 2
    patient()
    try:
        return asyncio.run(drive(chosen))
    except ImportError as error:
        print(f"{error}; run iso15118_bridge/install.sh", file=sys.stderr)
        return 2
    except Exception as error:  # noqa: BLE001 - the library ends with whatever it meets
        print(f"the session broke off: {type(error).__name__}: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
