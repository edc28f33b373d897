"""The process that is fuzzed: `python -m tests.fuzz.target DECODER FOLDER... -option=value...`.

The options are libFuzzer's. Memory is limited and watched here: libFuzzer's limit would notice a slow leak
late, and counts the peak of the process that started this one (getrusage(2), ru_maxrss survives execve).
"""

import resource
import sys
from pathlib import Path
from typing import Final

import atheris  # type: ignore[import-untyped]

with atheris.instrument_imports(include=["settlement.packets", "settlement.decimals", "grid.sep2"]):
    from tests.fuzz.decoders import decode

WARM_RUNS: Final = 2_000
"""Until then caches fill and modules are imported."""

MEMORY_MAX_BYTES: Final = 1024 * 1024 * 1024
GROWTH_MAX_BYTES: Final = 64 * 1024 * 1024
_PAGE: Final = resource.getpagesize()


def resident_bytes() -> int:
    """Memory that this process holds now (proc(5), statm)."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * _PAGE


class Watched:
    """A decoder, and the memory that it holds."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.runs = 0
        self.warm_bytes = 0

    def __call__(self, data: bytes) -> None:
        decode(self.name, data)
        self.runs += 1
        if self.runs % WARM_RUNS:
            return
        held = resident_bytes()
        self.warm_bytes = self.warm_bytes or held
        if held - self.warm_bytes > GROWTH_MAX_BYTES:
            grown = held - self.warm_bytes
            raise MemoryError(f"{self.name}: {grown} bytes more after {self.runs} runs")


def main() -> None:
    """Fuzz until libFuzzer's options end it."""
    resource.setrlimit(resource.RLIMIT_DATA, (MEMORY_MAX_BYTES, MEMORY_MAX_BYTES))
    atheris.Setup([sys.argv[0], *sys.argv[2:]], Watched(sys.argv[1]))
    atheris.Fuzz()


if __name__ == "__main__":
    main()
