"""The charger's side of the plug, with samples for the agent.

    python -m iso15118_bridge.secc --interface eth1 --evse-id 'DE*FRM*E00001*1' \
        --agent /run/evse-agent/socket --certificates /etc/iso15118

Waits for cars on the interface's IPv6 link-local address (SDP on UDP port 15118, TLS 1.3 on a dynamic
port), and tells what happens on standard output, one JSON object per line. Exit 0 when it was told to
stop or has served --sessions without a refusal; 1 when it refused something; 2 when it cannot start.
"""

import argparse
import asyncio
import contextlib
import json
import logging
import os
import shutil
import signal
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, TextIO

DRAIN_DEADLINE_S: Final = 15.0


class CannotStartError(RuntimeError):
    """Why the charger cannot start, and what to do about it."""


def arguments() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m iso15118_bridge.secc",
        description="An ISO 15118-20 charger (SECC) that hands meter samples to the EVSE agent.",
        epilog="Exit 0 when told to stop, or after --sessions; 1 when something was refused; 2 when it"
        " cannot start (Java, the package, certificates or the interface are missing).",
    )
    parser.add_argument("--interface", required=True, help="with an IPv6 link-local address")
    parser.add_argument("--evse-id", required=True, help="as the car is told it: DE*FRM*E00001*1")
    parser.add_argument("--agent", type=Path, required=True, help="the agent's Unix socket")
    parser.add_argument("--certificates", type=Path, required=True, help="folder of iso15118_2/")
    parser.add_argument(
        "--rated-w", type=int, default=11_000, help="of the power stage, to the grid"
    )
    parser.add_argument("--meter", default="SIM-METER-1", help="serial of the simulated meter")
    parser.add_argument("--export-wh", type=int, default=0, help="where its export register stands")
    parser.add_argument("--import-wh", type=int, default=0, help="where its import register stands")
    parser.add_argument("--dynamic", action="store_true", help="offer dynamic control first")
    parser.add_argument("--sessions", type=int, default=0, help="stop after so many; 0: never")
    parser.add_argument("--record", type=Path, help="write every message here, for replay")
    return parser


def tell(what: str, facts: Mapping[str, Any]) -> None:
    """Say on standard output what happened; whoever watches may have gone."""
    with contextlib.suppress(BrokenPipeError):
        print(json.dumps({"event": what, **facts}, default=str), flush=True)


async def serve(chosen: argparse.Namespace) -> int:
    """Serve cars until told to stop.

    Raises:
        CannotStartError: see there.
    """
    if shutil.which("java") is None:
        raise CannotStartError("no Java runtime, which the EXI codec needs; install one (headless)")
    # The library reads its settings from the environment, some of them at import.
    os.environ |= {
        "NETWORK_INTERFACE": chosen.interface,
        "PKI_PATH": str(chosen.certificates.resolve()),
        "PROTOCOLS": "ISO_15118_20_DC,ISO_15118_20_AC",
        "AUTH_MODES": "EIM",
        "SECC_ENFORCE_TLS": "True",
        "ENABLE_TLS_1_3": "True",
        "MESSAGE_LOG_JSON": "False",
    }
    try:
        from iso15118.secc.secc_settings import Config
        from iso15118.shared.exificient_exi_codec import ExificientEXICodec
        from iso15118.shared.network import validate_nic

        from iso15118_bridge.controller import BridgeController
        from iso15118_bridge.secure import CertificatesError, GuardedSECC, check_certificates
    except ImportError as error:
        raise CannotStartError(f"{error}; run iso15118_bridge/install.sh") from error
    from iso15118_bridge.agent_link import AgentLink
    from iso15118_bridge.bridge import Bridge
    from iso15118_bridge.codec import WatchedCodec
    from iso15118_bridge.meter import SimulatedMeter

    # The library logs to standard output, which is for our events.
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, force=True)
    config = Config()
    config.load_envs(os.devnull)
    try:
        until = check_certificates(chosen.certificates, now=datetime.now(UTC))
        validate_nic(chosen.interface)
    except CertificatesError as error:
        raise CannotStartError(str(error)) from error
    except Exception as error:
        raise CannotStartError(f"interface {chosen.interface}: {error}") from error

    # The two need each other; the agent speaks only after both are made.
    link = AgentLink(chosen.agent, limit=lambda line: bridge.limit(line), tell=tell)  # noqa: PLW0108
    meter = SimulatedMeter(chosen.meter, export_wh=chosen.export_wh, import_wh=chosen.import_wh)
    bridge = Bridge(meter, rated_w=chosen.rated_w, send=link.send, tell=tell)

    def admit(secured: str) -> None:
        bridge.secured(secured)
        tell("connected", {"secured": secured})

    with contextlib.ExitStack() as stack:
        record = stack.enter_context(chosen.record.open("a")) if chosen.record else None
        codec = WatchedCodec(ExificientEXICodec(), seen=_seen(bridge, record), lost=bridge.lost)
        tell("warm", {"seconds": round(codec.warm_up(), 1)})
        controller = BridgeController(bridge, evse_id=chosen.evse_id, dynamic=chosen.dynamic)
        secc = GuardedSECC(codec, controller, config, refuse=bridge.refuse, admit=admit)
        tell("ready", {"interface": chosen.interface, "certificate_until": until})
        await _until_done(secc, controller, link, chosen)
    return 1 if bridge.refusals else 0


def _seen(bridge: Any, record: TextIO | None) -> Any:
    def seen(direction: str, message: dict[str, Any], at: datetime, namespace: str) -> None:
        if record is not None:
            line = {"t": at.timestamp(), "role": "secc", "dir": direction, "ns": namespace}
            record.write(json.dumps({**line, "msg": message}) + "\n")
            record.flush()
        bridge.message(direction, message, at)

    return seen


async def _until_done(secc: Any, controller: Any, link: Any, chosen: argparse.Namespace) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    handing = asyncio.create_task(link.run())
    charging = asyncio.create_task(secc.start(chosen.interface))
    counting = asyncio.create_task(_count(controller, chosen.sessions, stop))
    stopping = asyncio.create_task(stop.wait())
    tasks = {handing, charging, counting, stopping}
    try:
        done, _ = await asyncio.wait(
            {handing, charging, stopping}, return_when=asyncio.FIRST_COMPLETED
        )
        if not await link.drained(deadline_s=DRAIN_DEADLINE_S):
            tell("agent_away", {"given_up": "what the agent has not answered"})
        for task in done - {stopping}:
            task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _count(controller: Any, sessions: int, stop: asyncio.Event) -> None:
    served = 0
    while True:
        await controller.ended.wait()
        controller.ended.clear()
        served += 1
        if served == sessions:
            stop.set()


def main() -> int:
    """See above."""
    chosen = arguments().parse_args()
    try:
        return asyncio.run(serve(chosen))
    except CannotStartError as error:
        print(f"the charger cannot start: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        print(
            f"the charger cannot serve {chosen.interface} (SDP on UDP port 15118): {error};"
            " another charger on it?",
            file=sys.stderr,
        )
        return 2


if __name__ == "__main__":
    sys.exit(main())
