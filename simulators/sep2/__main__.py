"""`python -m simulators.sep2`: a utility's server by hand."""

import argparse
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from textwrap import dedent
from typing import Final

from simulators.sep2.certificates import Authority, Pair
from simulators.sep2.evening import lively
from simulators.sep2.faults import MEANINGS, Fault
from simulators.sep2.records import Edition, Settings
from simulators.sep2.script import read_script
from simulators.sep2.server import Sep2Server, Suites
from simulators.sep2.world import World

PROG: Final = "python -m simulators.sep2"
SEED: Final = 7


def main(arguments: Sequence[str] | None = None) -> None:
    """Serve a utility's world over mutual TLS until Ctrl-C."""
    parser = argparse.ArgumentParser(
        prog=PROG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description=dedent(
            """\
            A utility's IEEE 2030.5 server on loopback: HTTPS with mutual TLS, until Ctrl-C.

            Makes its own throwaway authority, a server's and a client's certificate, and says
            what to put into the client's configuration. Without --script it serves a lively
            evening: an event under way, one that will be cancelled, one that will be superseded,
            and prices for two hours."""
        ),
        epilog=dedent(
            f"""\
            faults, for --fault NAME[:PATH[:OPTION=VALUE]], options times, spare, seconds, number, method:
            {{faults}}

            examples:
              {PROG} --certs certs
              {PROG} --certs certs --fault stall:/derp/1/derc:times=2 --fault error:/tm:times=1:number=500
              {PROG} --certs certs --script world.yaml --port 8443
            """
        ).format(faults="\n".join(f"  {kind:<14} {text}" for kind, text in MEANINGS.items())),
    )
    parser.add_argument(
        "--certs",
        type=Path,
        help="folder of the certificates, kept if they are there already; by default a new one, "
        "removed at the end",
    )
    parser.add_argument("--script", type=Path, help="YAML: the world; see docs/simulators.md")
    parser.add_argument("--port", type=int, default=0, help="0, the default, takes a free one")
    parser.add_argument("--seed", type=int, default=SEED, help="of the lively evening")
    parser.add_argument(
        "--edition",
        type=int,
        choices=list(Edition),
        default=int(Edition.E2018),
        help="of the lively evening; a script says its own",
    )
    parser.add_argument(
        "--fault",
        action="append",
        default=[],
        metavar="FAULT",
        help="see below; may be given several times",
    )
    parser.add_argument(
        "--suites",
        choices=[one.name.lower() for one in Suites],
        default="both",
        help="of TLS 1.2: GCM, the standard's CCM-8, or both",
    )
    parser.add_argument("--tls13-only", action="store_true", help="refuse TLS 1.2")
    parser.add_argument("--expired", action="store_true", help="show an expired certificate")
    parsed = parser.parse_args(arguments)
    with ExitStack() as stack:
        folder = parsed.certs or Path(
            stack.enter_context(TemporaryDirectory(prefix="simulated-utility-"))
        )
        _serve(parser, parsed, folder)


def _serve(parser: argparse.ArgumentParser, parsed: argparse.Namespace, folder: Path) -> None:
    try:
        faults = [Fault.parse(text) for text in parsed.fault]
        if parsed.script is None:
            world = lively(parsed.seed, edition=Edition(parsed.edition))
        else:
            world, scripted = read_script(parsed.script)
            faults = scripted + faults
        ca, server, client = _certificates(folder, expired=parsed.expired)
        _admit(world, client)
        utility = Sep2Server(
            world,
            certificate=server.certificate,
            key=server.key,
            ca=ca,
            port=parsed.port,
            faults=faults,
            suites=Suites[parsed.suites.upper()],
            tls13_only=parsed.tls13_only,
        )
    except (ValueError, OSError) as error:
        parser.error(str(error))
    sys.stdout.write(f"{utility.url}/dcap\n\n{_configuration(utility.url, ca, client, world)}\n")
    sys.stdout.flush()
    utility.run_here()
    sys.stdout.write(_told(utility))


def _certificates(folder: Path, *, expired: bool) -> tuple[Path, Pair, Pair]:
    ca = folder / "ca.pem"
    pairs = [Pair(folder / f"{name}.pem", folder / f"{name}.key") for name in ("server", "client")]
    files = [ca, *(path for pair in pairs for path in (pair.certificate, pair.key))]
    missing = [path.name for path in files if not path.exists()]
    if missing and len(missing) < len(files):
        raise ValueError(
            f"{folder}: has {'no ' + ', '.join(missing)} beside the rest; remove it, or name another"
        )
    if missing or expired:
        authority = Authority(folder)
        return authority.certificate, authority.server(expired=expired), authority.client()
    return ca, pairs[0], pairs[1]


def _admit(world: World, client: Pair) -> None:
    """The client is known, and may bring devices of its own."""
    world.add_aggregator(client.lfdi)
    if world.device_of(client.lfdi) is None:
        world.add_device(client.lfdi, settings=Settings())


def _configuration(url: str, ca: Path, client: Pair, world: World) -> str:
    programs = ", ".join(
        f'{{match: {{description: "{one.description}"}}, program: example-energy}}'
        for one in world.programs[:1]
    )
    tariffs = ", ".join(
        f'{{match: {{description: "{one.description}"}}, program: example-energy}}'
        for one in world.tariffs[:1]
    )
    return dedent(
        f"""\
        # into the file that V2G_GRID_FILE names; the client's LFDI is {client.lfdi}
        feeds:
          - name: simulated-utility
            kind: ieee2030.5
            url: {url}/dcap
            certificate: {client.certificate.resolve()}
            key: {client.key.resolve()}
            ca: {ca.resolve()}
            edition: {int(world.edition)}
            programs: [{programs}]
            tariffs: [{tariffs}]

        # Ctrl-C stops; what was asked and answered is shown then."""
    )


def _told(utility: Sep2Server) -> str:
    lines = [f"{len(utility.trail)} requests"]
    lines += [f"fault {kind}: {count} times" for kind, count in utility.faults.counts.items()]
    lines += [
        f"response {one.status} to {one.subject} from {one.lfdi}" for one in utility.world.answers
    ]
    return "\n" + "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
