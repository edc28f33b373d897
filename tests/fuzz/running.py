"""Starting the fuzzed process, with its corpus and its bounds."""

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from settlement import units

HERE: Final = Path(__file__).parent
CORPUS: Final = HERE / "corpus"
FOUND: Final = HERE.parents[1] / ".cache" / "fuzz"
START_SECONDS: Final = 60
"""On top of the time that is fuzzed: imports and reading the corpus."""

SLOW_INPUT_SECONDS: Final = 5


@dataclass(frozen=True, slots=True)
class Fuzzed:
    """How a run ended.

    Attributes:
        runs: inputs tried.
        failed: whether an input broke the decoder.
        output: all that libFuzzer and Python said.
    """

    decoder: str
    runs: int
    failed: bool
    output: str


def seeds(decoder: str) -> Iterator[Path]:
    """The kept inputs of a decoder."""
    return (file for file in sorted((CORPUS / decoder).iterdir()) if file.is_file())


def fuzz(
    decoder: str,
    seconds: int,
    *,
    quiet: bool = True,
    target: str = "tests.fuzz.target",
    keep_in: Path = FOUND,
) -> Fuzzed:
    """Fuzz one decoder in a process of its own.

    Args:
        decoder: one of ``DECODERS``.
        seconds: how long.
        quiet: whether what it says is kept rather than shown.
        target: what the process runs.
        keep_in: the folder for inputs that are new, and for one that breaks the decoder.
    """
    found = keep_in / decoder
    found.mkdir(parents=True, exist_ok=True)
    command = [
        sys.executable,
        "-m",
        target,
        decoder,
        str(found),
        str(CORPUS / decoder),
        f"-max_total_time={seconds}",
        f"-timeout={SLOW_INPUT_SECONDS}",
        "-rss_limit_mb=0",  # its figure starts at the peak of whoever starts it; the target has a limit
        f"-max_len={units.PACKET_MAX_BYTES + 64}",
        f"-dict={HERE / 'words.dict'}",
        f"-artifact_prefix={keep_in}/broken-{decoder}-",
        "-print_final_stats=1",
    ]
    done = subprocess.run(
        command,
        cwd=HERE.parents[1],
        stdout=subprocess.PIPE if quiet else None,
        stderr=subprocess.STDOUT if quiet else None,
        timeout=seconds + START_SECONDS,
        check=False,
    )
    output = (done.stdout or b"").decode("utf-8", "replace")
    counted = [line.split()[1] for line in output.splitlines() if "executed_units" in line]
    return Fuzzed(decoder, int(counted[-1]) if counted else 0, done.returncode != 0, output)
