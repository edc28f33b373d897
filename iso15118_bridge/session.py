"""The package's charger and car against each other, over a link of their own.

    python -m iso15118_bridge.session --agent SOCKET --service DC_BPT

Charger and car find each other by multicast on a link, as over a charging cable: each gets a network
namespace, joined by a veth pair, with IPv6 link-local addresses only. That takes root, or a kernel
that lets users make namespaces. Both sides' logs go to --logs; what the charger tells comes out on
standard output, one JSON object per line. Exit 0 when the session was complete and nothing was
refused, 1 when not, 2 when it cannot be run here, saying what is missing.
"""

import argparse
import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

CHARGER: Final = "charger"
CAR: Final = "car"
PREFIX: Final = "iso15118"
INSIDE: Final = "ISO15118_BRIDGE_INSIDE"
"""Set in the environment of what runs in a user namespace already."""
DEADLINE_S: Final = 600.0
STOP_DEADLINE_S: Final = 10.0
_COMMAND_DEADLINE_S: Final = 20.0


class NotHereError(RuntimeError):
    """What this machine lacks, and what to do about it."""


class Link:
    """Two network namespaces joined by a veth pair.

    Args:
        name: tells them apart from those of others; at most eight characters.
    """

    def __init__(self, name: str) -> None:
        self._names = {CHARGER: f"{PREFIX}-{name}-s", CAR: f"{PREFIX}-{name}-c"}

    @staticmethod
    def interface(side: str) -> str:
        """The side's end of the link."""
        return f"plug-{side}"

    def command(self, side: str, arguments: Sequence[str]) -> list[str]:
        """A command that runs on a side."""
        return ["ip", "netns", "exec", self._names[side], *arguments]

    def make(self) -> None:
        """Make the link.

        Raises:
            NotHereError: not permitted, or the tools are missing.
        """
        self.remove_stale()
        charger, car = self._names[CHARGER], self._names[CAR]
        for name in (charger, car):
            _ip("netns", "add", name)
        ends = (self.interface(CHARGER), self.interface(CAR))
        _ip("-n", charger, "link", "add", ends[0], "type", "veth", "peer", "name", ends[1],
            "netns", car)  # fmt: skip
        for name, end in ((charger, ends[0]), (car, ends[1])):
            # Two addresses on a link of two collide with nobody: no second of waiting for that.
            _ip("netns", "exec", name, "sh", "-c",
                f"echo 0 > /proc/sys/net/ipv6/conf/{end}/disable_ipv6;"
                f" echo 0 > /proc/sys/net/ipv6/conf/{end}/accept_dad")  # fmt: skip
            _ip("-n", name, "link", "set", "lo", "up")
            _ip("-n", name, "link", "set", end, "up")

    def remove(self) -> None:
        """Remove it; nothing happens when it is gone."""
        for name in self._names.values():
            _remove(name)

    @staticmethod
    def remove_stale() -> None:
        """Remove what processes that were killed have left behind."""
        for line in _ip("netns", "list").splitlines():
            name = line.split()[0] if line.split() else ""
            prefix, _, rest = name.partition("-")
            number = rest.partition("-")[0]
            if prefix == PREFIX and number.isdigit() and not Path(f"/proc/{number}").exists():
                _remove(name)


@contextmanager
def plugged() -> Iterator[Link]:
    """A link for as long as the block runs. Raises NotHereError."""
    if shutil.which("ip") is None:
        raise NotHereError("the command ip is missing (Debian, Ubuntu: apt install iproute2)")
    link = Link(str(os.getpid()))
    try:
        link.make()
        yield link
    finally:
        link.remove()


def enter_user_namespace(arguments: Sequence[str]) -> None:
    """Become root of a namespace of one's own, where one is not root; then run this again.

    Raises:
        NotHereError: the kernel does not let this user.
    """
    if os.geteuid() == 0 or os.environ.get(INSIDE):
        return
    unshare = ["unshare", "--user", "--map-root-user", "--net", "--mount"]
    tried = _run([*unshare, "mount", "-t", "tmpfs", "tmpfs", "/run"])
    if tried.returncode:
        raise NotHereError(
            "neither root nor allowed to make network namespaces"
            f" ({tried.stderr.strip() or 'unshare failed'}); run as root, or allow user namespaces"
        )
    script = 'mount -t tmpfs tmpfs /run && exec "$@"'
    os.execvpe(
        unshare[0],
        [*unshare, "sh", "-c", script, "sh", *arguments],
        os.environ | {INSIDE: "1"},
    )


def run(chosen: argparse.Namespace) -> int:
    """Run one session.

    Raises:
        NotHereError: see there.
    """
    with ExitStack() as stack:
        certificates = chosen.certificates
        if certificates is None:
            certificates = Path(stack.enter_context(tempfile.TemporaryDirectory())) / "certificates"
            _make_certificates(certificates)
        if chosen.logs is None:
            # Under a name that nobody could foresee, and so put a link in its place.
            chosen.logs = Path(tempfile.mkdtemp(prefix="iso15118-"))
            print(f"logs: {chosen.logs}", file=sys.stderr)
        chosen.logs.mkdir(parents=True, exist_ok=True)
        link = stack.enter_context(plugged())
        module = [sys.executable, "-m"]
        charger = [
            *module, "iso15118_bridge.secc", "--interface", link.interface(CHARGER),
            "--evse-id", chosen.evse_id, "--agent", str(chosen.agent), "--sessions", "1",
            "--certificates", str(certificates), "--export-wh", str(chosen.export_wh),
            *(["--dynamic"] if chosen.dynamic else []),
            *(["--record", str(chosen.record)] if chosen.record else []),
        ]  # fmt: skip
        car = [
            *module, "iso15118_bridge.car", "--interface", link.interface(CAR),
            "--certificates", str(certificates), "--service", chosen.service,
            "--loops", str(chosen.loops), "--pause", str(chosen.pause),
            "--discharge-w", str(chosen.discharge_w),
        ]  # fmt: skip
        return _both(link.command(CHARGER, charger), link.command(CAR, car), chosen, stack)


def _both(charger: list[str], car: list[str], chosen: argparse.Namespace, stack: ExitStack) -> int:
    charging = stack.enter_context(_child(charger, chosen.logs / "charger.log", subprocess.PIPE))
    assert charging.stdout is not None
    deadline = threading.Timer(DEADLINE_S, charging.kill)
    deadline.start()
    stack.callback(deadline.cancel)
    driving: subprocess.Popen[str] | None = None
    for line in charging.stdout:
        print(line, end="", flush=True)
        with contextlib.suppress(ValueError):
            if json.loads(line).get("event") == "ready":
                driving = stack.enter_context(
                    _child(car, chosen.logs / "car.log", subprocess.DEVNULL, stop=charging)
                )
    served = charging.wait()
    if driving is None:
        _tell_end(chosen.logs / "charger.log")
        return served or 1
    drove = driving.wait(timeout=DEADLINE_S)
    if drove:
        _tell_end(chosen.logs / "car.log")
    return served or drove


@contextmanager
def _child(
    command: list[str], log: Path, out: int, *, stop: subprocess.Popen[str] | None = None
) -> Iterator[subprocess.Popen[str]]:
    """A process that ends with this one; when it fails, ``stop`` has nobody left to serve."""
    tied = ["setpriv", "--pdeathsig", "KILL", *command]
    with log.open("ab") as file:
        process = subprocess.Popen(
            tied if shutil.which(tied[0]) else command,
            stdin=subprocess.DEVNULL, stdout=out, stderr=file, text=True,
        )  # fmt: skip

    def watch() -> None:
        if process.wait() and stop is not None:
            stop.terminate()

    if stop is not None:
        threading.Thread(target=watch, daemon=True).start()
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(timeout=STOP_DEADLINE_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _make_certificates(folder: Path) -> None:
    from iso15118_bridge.certificates import CertificatesNotMadeError, make

    try:
        make(folder)
    except CertificatesNotMadeError as error:
        raise NotHereError(str(error)) from error


def _tell_end(log: Path) -> None:
    lines = log.read_text(errors="replace").splitlines()[-3:]
    print(f"{log}:", *lines, sep="\n  ", file=sys.stderr)


def _ip(*arguments: str) -> str:
    ran = _run(["ip", *arguments])
    if ran.returncode:
        raise NotHereError(
            f"ip {' '.join(arguments)}: {ran.stderr.strip()}; network namespaces are needed: run as"
            " root, or allow user namespaces"
        )
    return ran.stdout


def _remove(name: str) -> None:
    _run(["ip", "netns", "del", name])


def _run(command: Sequence[str]) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(
            command, capture_output=True, text=True, timeout=_COMMAND_DEADLINE_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise NotHereError(f"{command[0]}: {error}") from error


def arguments() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m iso15118_bridge.session",
        description="Run the package's charger and car against each other; samples go to the agent.",
        epilog="Exit 0 complete; 1 broken off, or something was refused; 2 it cannot be run here.",
    )
    parser.add_argument("--agent", type=Path, required=True, help="the agent's Unix socket")
    parser.add_argument("--service", default="DC_BPT", choices=("DC_BPT", "AC_BPT", "DC", "AC"))
    parser.add_argument("--evse-id", default="DE*FRM*E00001*1", help="of the charger")
    parser.add_argument("--loops", type=int, default=20, help="charge loops")
    parser.add_argument("--pause", type=int, default=1, help="seconds between loops")
    parser.add_argument("--discharge-w", type=int, default=10_000, help="what the car gives")
    parser.add_argument("--export-wh", type=int, default=0, help="where the meter stands")
    parser.add_argument("--dynamic", action="store_true", help="the charger controls the power")
    parser.add_argument("--certificates", type=Path, help="made for the occasion if not given")
    parser.add_argument("--record", type=Path, help="write every message here")
    parser.add_argument(
        "--logs", type=Path, help="folder; a new one below the temporary if not given"
    )
    return parser


def main() -> int:
    """See above."""
    chosen = arguments().parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    try:
        if shutil.which("java") is None:
            raise NotHereError(
                "a Java runtime is missing, which the EXI codec needs"
                " (Debian, Ubuntu: apt install default-jre-headless)"
            )
        enter_user_namespace([sys.executable, "-m", "iso15118_bridge.session", *sys.argv[1:]])
        return run(chosen)
    except NotHereError as error:
        print(f"ISO 15118: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
