"""`python -m tests.fuzz [DECODER] [--seconds N]`: the long run; see the package."""

import argparse
import sys

from tests.fuzz.decoders import DECODERS
from tests.fuzz.running import FOUND, fuzz

DEFAULT_SECONDS = 60


def main() -> int:
    """Fuzz one decoder or all; the exit status is the number of those that broke."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.fuzz", description="Fuzz the decoders of foreign bytes."
    )
    parser.add_argument("decoder", nargs="?", choices=list(DECODERS), help="one; else all in turn")
    parser.add_argument(
        "--seconds", type=int, default=DEFAULT_SECONDS, help="time per decoder (%(default)s)"
    )
    words = parser.parse_args()
    broken = [
        name
        for name in ([words.decoder] if words.decoder else DECODERS)
        if fuzz(name, words.seconds, quiet=False).failed
    ]
    if broken:
        print(f"broken: {', '.join(broken)}; the inputs lie in {FOUND}", file=sys.stderr)
    return len(broken)


if __name__ == "__main__":
    sys.exit(main())
