"""`python -m simulators.clearinghouse`: a clearinghouse by hand."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from textwrap import dedent
from typing import Final

from cryptography.hazmat.primitives.asymmetric import ec

from simulators.clearinghouse.certificates import (
    Authority,
    Pair,
    Showing,
    public_pem,
    read_signing_key,
    write_signing_key,
)
from simulators.clearinghouse.faults import MEANINGS, UnusableFaultError
from simulators.clearinghouse.misbehaviour import USUAL, Misbehaviour
from simulators.clearinghouse.server import ClearingHouse
from simulators.clearinghouse.statement import LIES
from simulators.serving import read_token

PROG: Final = "python -m simulators.clearinghouse"
NAMED: Final = (
    "slow", "error", "lost_ack", "too_many", "wrong_echo", "html", "truncated", "drip", "huge",
)  # fmt: skip
"""Faults with an option of their own; every fault goes by --fault too."""
LATENCY_MAX_MS: Final = 60_000.0

_ABOUT: Final = """\
A clearinghouse on loopback: takes postings, pays each id once, and answers badly, until Ctrl-C.
The address is the first line of standard output; what to put into our settings follows.

How it misbehaves is drawn from --seed, by posting and attempt, or stands in --script exactly.
Without either it is slow, fails, loses acknowledgements and says 429 now and then. A posting that
comes for the ninth time is answered well by what is drawn, so that every run ends."""

_MORE: Final = """\
faults, for --fault NAME=SHARE, and with options for --script, as in error:number=503:times=3
(number, seconds, retry_after, paid=yes|no, times=N|forever; ok is a good answer):
{faults}

lies of the statement, for --script, as in other_amount:line=2:by=100 (line, posting, by):
{lies}

a script, YAML or JSON, all of it optional; the same by PUT /v1/script while it runs:
  calls: [ok, "error:number=503:times=3", reset]   # the postings to come, in their order
  postings: {{"0198*": [ok, lost_ack]}}              # of each such posting the first call, the second
  status: {{"*": ["forgets:times=2"]}}               # of its status queries, likewise
  statement: ["missing:line=2", "fee:by=-50"]      # what the statement says wrongly
  shares: {{slow: 0.05}}                             # of the calls that no list speaks of
  status_shares: {{forgets: 0.2}}

examples:
  {prog} --token-file token --no-faults --latency-ms 50
  {prog} --token-file token --fault reset_after=0.2 --fault wrong_digest=0.1
  {prog} --token-file token --tls certs --certificate expired
  {prog} --token-file token --script script.yaml --tls certs --require-key our.pem --sign-with its.key
"""


def main(arguments: Sequence[str] | None = None) -> None:
    """Take postings until stopped."""
    parser = _parser()
    parsed = parser.parse_args(arguments)
    try:
        house, told = _house(parsed)
    except (ValueError, OSError) as error:
        parser.error(str(error))
    sys.stdout.write(f"{house.url}\n\n{told}")
    sys.stdout.flush()
    house.run_here()
    sys.stdout.write(_summary(house))


def _parser() -> argparse.ArgumentParser:
    width = max(map(len, MEANINGS)) + 2
    parser = argparse.ArgumentParser(
        prog=PROG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description=_ABOUT,
        epilog=_MORE.format(
            faults="\n".join(f"  {kind:<{width}}{text}" for kind, text in MEANINGS.items()),
            lies="\n".join(f"  {kind:<{width}}{text}" for kind, text in LIES.items()),
            prog=PROG,
        ),
    )
    parser.add_argument("--token-file", type=Path, required=True, help="one line: who may call")
    parser.add_argument("--port", type=int, default=0, help="0, the default, takes a free one")
    parser.add_argument("--seed", type=int, default=0, help="decides which call gets which fault")
    parser.add_argument("--latency-ms", type=float, default=0.0, help="before each answer [0]")
    how = parser.add_argument_group("how it misbehaves")
    how.add_argument("--no-faults", action="store_true", help="answer well what is not named")
    how.add_argument(
        "--script", type=Path, metavar="FILE", help="exactly which call meets what; see below"
    )
    how.add_argument(
        "--fault", action="append", default=[], type=_share, metavar="NAME=SHARE",
        help="so many of all postings, 0 to 1; several if wanted",
    )  # fmt: skip
    how.add_argument(
        "--status-fault", action="append", default=[], type=_share, metavar="NAME=SHARE",
        help="so many of all status queries",
    )  # fmt: skip
    usual = {str(kind): share for kind, share in USUAL.items()}
    for name in NAMED:
        how.add_argument(
            f"--{name.replace('_', '-')}", type=float, metavar="P",
            help=f"the same as --fault {name}=P, default {usual.get(name, 0.0)}",
        )  # fmt: skip
    tls = parser.add_argument_group("TLS and signatures")
    tls.add_argument(
        "--tls", type=Path, metavar="FOLDER",
        help="speak TLS by a throwaway authority, FOLDER/ca.pem, kept if it is there already",
    )  # fmt: skip
    tls.add_argument(
        "--certificate", type=Showing, choices=list(Showing), default=Showing.GOOD,
        help="which certificate to show [good]",
    )  # fmt: skip
    tls.add_argument("--tls11-only", action="store_true", help="speak TLS 1.1 and nothing newer")
    tls.add_argument(
        "--require-key", type=Path, metavar="FILE",
        help="PEM, our settlement's public key or certificate: refuse what it has not signed",
    )  # fmt: skip
    tls.add_argument(
        "--sign-with", type=Path, metavar="FILE",
        help="PEM, a P-256 key to sign the answers with; made if missing, its public half in FILE.pub",
    )  # fmt: skip
    return parser


def _share(text: str) -> tuple[str, float]:
    name, _, share = text.partition("=")
    try:
        if name not in set(MEANINGS):
            raise UnusableFaultError(f"fault {name!r}; expected one of {', '.join(MEANINGS)}")
        return name, float(share)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{error}; expected NAME=SHARE") from error


def _house(parsed: argparse.Namespace) -> tuple[ClearingHouse, str]:
    """The clearinghouse as the options want it, and what to tell of it."""
    if parsed.tls is None and (parsed.tls11_only or parsed.certificate is not Showing.GOOD):
        raise ValueError("--certificate and --tls11-only: expected --tls FOLDER with them")
    if not 0 <= parsed.latency_ms <= LATENCY_MAX_MS:
        raise ValueError(f"--latency-ms {parsed.latency_ms}; expected 0 to {LATENCY_MAX_MS:.0f}")
    token = read_token(parsed.token_file)
    shares = {name: share for name in NAMED if (share := getattr(parsed, name)) is not None}
    shares |= dict(parsed.fault)
    if parsed.script is not None and (shares or parsed.status_fault):
        raise ValueError("--script: say the shares in it, expected no other faults beside it")
    pair = ca = None
    if parsed.tls is not None:
        authority = Authority(parsed.tls)
        pair, ca = authority.server(parsed.certificate), authority.certificate
    signing = None if parsed.sign_with is None else _signing_key(parsed.sign_with)
    house = _built(parsed, token, shares, pair, signing)
    if parsed.script is not None:
        try:
            house.follow(parsed.script.read_bytes())
        except ValueError as error:
            raise ValueError(f"{parsed.script}: {error}") from error
    return house, _settings(house, parsed, ca)


def _built(
    parsed: argparse.Namespace,
    token: str,
    shares: dict[str, float],
    pair: Pair | None,
    signing: ec.EllipticCurvePrivateKey | None,
) -> ClearingHouse:
    return ClearingHouse(
        token=token,
        seed=parsed.seed,
        misbehaviour=Misbehaviour.only(shares) if parsed.no_faults else Misbehaviour(**shares),
        status_misbehaviour=Misbehaviour.only(dict(parsed.status_fault)),
        port=parsed.port,
        latency_s=parsed.latency_ms / 1000,
        tls=pair,
        tls11_only=parsed.tls11_only,
        require_key=parsed.require_key,
        sign_with=signing,
    )


def _signing_key(path: Path) -> ec.EllipticCurvePrivateKey:
    if path.exists():
        key = read_signing_key(path)
    else:
        key = ec.generate_private_key(ec.SECP256R1())
        write_signing_key(path, key)
    _public_half(path).write_bytes(public_pem(key))
    return key


def _public_half(path: Path) -> Path:
    return path.with_name(f"{path.name}.pub")


def _settings(house: ClearingHouse, parsed: argparse.Namespace, ca: Path | None) -> str:
    lines = [
        f"V2G_CLEARINGHOUSE_URL={house.url}",
        f"V2G_CLEARINGHOUSE_TOKEN_FILE={parsed.token_file.resolve()}",
    ]
    if ca is not None:
        lines.append(f"V2G_CLEARINGHOUSE_CA_FILE={ca.resolve()}")
    if parsed.sign_with is not None:
        lines.append(f"V2G_CLEARINGHOUSE_KEY_FILE={_public_half(parsed.sign_with).resolve()}")
    return "\n".join(lines) + dedent(
        """

        # GET /v1/ledger says what really took effect, GET /v1/statement what it says it paid.
        # Ctrl-C stops; what was answered is shown then.
        """
    )


def _summary(house: ClearingHouse) -> str:
    truth = house.truth()
    lines = [f"{house.calls()} calls, {len(truth.postings)} postings paid"]
    lines += [f"paid {total} minor units {code}" for code, total in truth.totals_minor.items()]
    lines += [f"answer {kind}: {count} times" for kind, count in truth.answers.items()]
    if truth.queries:
        lines.append(f"{sum(truth.queries.values())} status queries")
    lines += [f"redirected here: {one.method} {one.path}" for one in house.elsewhere.arrived]
    lines += [f"PAID TWICE: settlement {one}" for one in truth.settlements_paid_twice]
    return "\n" + "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
