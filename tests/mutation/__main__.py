"""`make mutate`: change the rules one place at a time, and see whether a test notices.

    python -m tests.mutation [MODULE…] [--sample N] [--seed S] [--survivors]

mutmut makes the changes ("mutants"), in a copy of the tree in a temporary folder: the working tree is
never touched. Each group of modules below is judged by the test files beside it, properties with few
examples (``quick_properties``). Prints one table; a mutant that no test notices has survived, and
``docs/mutation.md`` says of each known one why it may.
"""

import argparse
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[2]

GOLDEN: Final = "tests/golden/test_golden.py"
JUDGES: Final[Mapping[str, Sequence[str]]] = {
    "bounds": ["bounds"],
    "rounding": ["rounding"],
    "decimals": ["decimals"],
    "merkle": ["merkle"],
    "seals": ["seals"],
    "seasons": ["seasons", "timeline", "quantities"],
    "windows": ["windows", "timeline"],
    "timeline": ["timeline", "matching", "quantities"],
    "thermal": ["thermal"],
    "booking": ["booking"],
    "pricing": ["pricing", "quantities"],
    "matching": ["matching", "quantities", "pricing"],
    "metering": ["metering/"],
    "baselines": ["baseline"],
    "engine": ["matching", "quantities"],
    "claims": ["claims"],
    "verdicts": ["verdicts"],
    "posting": ["posting"],
    "packets": ["packets", "verdicts"],
    "programs": ["programs"],
    "signatures": ["verdicts"],
    "periods": ["periods", "matching"],
    "hosts": ["hosts"],
    "schemas": ["schemas", "metering/", "matching"],
}
"""Modules and packages of ``settlement/``: whose tests judge them. A word stands for every file of
``tests/settlement`` whose name goes on from ``test_`` with it, a word with a slash for a folder."""

JUDGED_END_TO_END: Final = ("timeline", "seasons", "matching", "pricing", "metering", "engine")
"""Those whose mutants the golden cases judge too, settled by the command from folder to folder."""

PRELOADED: Final = "preloaded.txt"

KILLED: Final = frozenset({1, 3, 37})
SURVIVED: Final = 0
UNTESTED: Final = frozenset({5, 33})
"""mutmut's code of a verdict is the exit code of the tests, or one of its own."""


@dataclass
class Verdicts:
    """What became of one module's mutants."""

    made: int = 0
    killed: int = 0
    timeout: int = 0
    untested: int = 0
    survivors: list[str] = field(default_factory=list)

    @property
    def judged(self) -> int:
        return self.killed + self.timeout + self.untested + len(self.survivors)

    def __str__(self) -> str:
        noticed = self.killed + self.timeout
        share = f"{100 * noticed / self.judged:.1f} %" if self.judged else "-"
        return (
            f"| {self.made} | {self.judged} | {self.killed} | {self.timeout} | "
            f"{len(self.survivors)} | {self.untested} | {share} |"
        )


def main(arguments: Sequence[str]) -> int:
    """Judge, print, and exit 0 whatever survived; 2 where a name is unknown or the tests do not pass."""
    options = _options(arguments)
    groups: dict[str, list[Path]] = {}
    for path in _modules(options.modules):
        groups.setdefault(path.parts[1].removesuffix(".py"), []).append(path)
    if not groups or (strange := groups.keys() - JUDGES.keys()):
        names = ", ".join(sorted(strange)) if groups else " ".join(options.modules)
        sys.stderr.write(f"mutate: nobody judges {names}; expected some of {', '.join(JUDGES)}\n")
        return 2
    with tempfile.TemporaryDirectory(prefix="v2g-mutate-") as name:
        copy = Path(name)
        _copy_tree(copy)
        print("| module | mutants | judged | killed | timeout | survived | no test | noticed |")
        print("| --- | --: | --: | --: | --: | --: | --: | --: |", flush=True)
        for group, paths in groups.items():
            for module, verdicts in _judge(copy, group, paths, options).items():
                print(f"| `{module}` {verdicts}", flush=True)
                if options.survivors:
                    for survivor in verdicts.survivors:
                        print(_difference(copy, survivor), file=sys.stderr, flush=True)
    return 0


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make mutate")
    parser.add_argument(
        "modules", nargs="*", help="as in `pricing` or `pricing/tiers`; all if none"
    )
    parser.add_argument(
        "--sample", type=int, help="judge so many of each module, drawn by the seed"
    )
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--survivors", action="store_true", help="print each one's difference too")
    return parser.parse_args(arguments)


def _modules(names: Sequence[str]) -> Iterator[Path]:
    for path in sorted((ROOT / "settlement").rglob("*.py")):
        relative = path.relative_to(ROOT)
        plain = relative.relative_to("settlement").with_suffix("").as_posix()
        if not names or any(plain == one or plain.startswith(f"{one}/") for one in names):
            yield relative


def _copy_tree(copy: Path) -> None:
    """Every file that is, or is about to be, part of the repository."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, check=True, capture_output=True, text=True,
    ).stdout  # fmt: skip
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).is_file():
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, copy / name)


def _judge(
    copy: Path, group: str, paths: Sequence[Path], options: argparse.Namespace
) -> Mapping[str, Verdicts]:
    """Run mutmut over some modules of a group.

    Raises:
        SystemExit: the tests do not pass on the unchanged copy, or mutmut failed otherwise.
    """
    shutil.rmtree(copy / "mutants", ignore_errors=True)
    _write_settings(copy, paths, _tests(group))
    chosen = [] if options.sample is None else _drawn(copy, paths, options.sample, options.seed)
    ran = subprocess.run(
        [sys.executable, "-m", "mutmut", "run", "--max-children", "1", *chosen],
        cwd=copy, env=_environment(), capture_output=True, text=True, check=False,
    )  # fmt: skip
    if ran.returncode:
        sys.exit(f"mutate: mutmut ended with {ran.returncode} on {group}\n{ran.stdout[-4000:]}")
    return {path.with_suffix("").as_posix(): _read(copy, path) for path in paths}


def _tests(group: str) -> list[str]:
    folder = ROOT / "tests" / "settlement"
    found: list[Path] = []
    for word in JUDGES[group]:
        pattern = f"{word}test_*.py" if word.endswith("/") else f"test_{word}*.py"
        found.extend(sorted(folder.glob(pattern)))
    names = [path.relative_to(ROOT).as_posix() for path in dict.fromkeys(found)]
    return names + ([GOLDEN] if group in JUDGED_END_TO_END else [])


def _write_settings(copy: Path, paths: Iterable[Path], tests: Sequence[str]) -> None:
    beside = sorted(
        path.name for path in copy.iterdir() if path.is_dir() and path.name != "settlement"
    )
    settings = {
        "source_paths": ["settlement"],
        "only_mutate": [path.as_posix() for path in paths],
        "also_copy": beside,
        "pytest_add_cli_args_test_selection": tests,
        "pytest_add_cli_args": ["-p", "tests.mutation.quick_properties", "-p", "no:cacheprovider"],
        # Polars' threads do not survive a fork, and collecting tests starts them where a value table
        # is made with frames: a mutant's process must come from one that has only imported.
        "process_isolation": "forkserver",
        "forkserver_warmup": "import",
        "preload_modules_file": PRELOADED,
    }
    modules = [".".join(path.with_suffix("").parts) for path in _modules([])]
    (copy / PRELOADED).write_text("\n".join(["pytest", "hypothesis", "yaml", *modules]), "utf-8")
    # JSON's strings and lists are TOML's too.
    lines = [f"{name} = {json.dumps(value)}" for name, value in settings.items()]
    original = (ROOT / "pyproject.toml").read_text("utf-8")
    table = "\n".join(["", "[tool.mutmut]", "use_git_change_detection = false", *lines, ""])
    (copy / "pyproject.toml").write_text(original + table, "utf-8")


def _drawn(copy: Path, paths: Iterable[Path], count: int, seed: int) -> list[str]:
    """Names of mutants, so many of each module."""
    program = (
        "import sys\n"
        "from pathlib import Path\n"
        "from mutmut.mutation.file_mutation import mutate_file_contents\n"
        "from mutmut.utils.format_utils import get_mutant_name\n"
        "for name in sys.argv[1:]:\n"
        "    for one in mutate_file_contents(name, Path(name).read_text('utf-8')).mutant_names:\n"
        "        print(get_mutant_name(Path(name), one))\n"
    )
    drawn: list[str] = []
    for path in paths:
        names = subprocess.run(
            [sys.executable, "-c", program, path.as_posix()],
            cwd=copy, check=True, capture_output=True, text=True,
        ).stdout.split()  # fmt: skip
        drawn += random.Random(seed).sample(names, min(count, len(names)))
    return drawn


def _read(copy: Path, path: Path) -> Verdicts:
    verdicts = Verdicts()
    record = copy / "mutants" / f"{path}.meta"
    if not record.exists():
        return verdicts
    codes: Mapping[str, int | None] = json.loads(record.read_text("utf-8"))["exit_code_by_key"]
    verdicts.made = len(codes)
    counted = Counter(code for code in codes.values() if code is not None)
    verdicts.killed = sum(counted[code] for code in KILLED)
    verdicts.untested = sum(counted[code] for code in UNTESTED)
    verdicts.survivors = [name for name, code in codes.items() if code == SURVIVED]
    # Whatever else ended the tests, a limit of time or a signal, was not a passed test.
    verdicts.timeout = (
        counted.total() - verdicts.killed - verdicts.untested - len(verdicts.survivors)
    )
    return verdicts


def _difference(copy: Path, mutant: str) -> str:
    shown = subprocess.run(
        [sys.executable, "-m", "mutmut", "show", mutant],
        cwd=copy, env=_environment(), capture_output=True, text=True, check=False,
    ).stdout  # fmt: skip
    changed = [
        line
        for line in shown.splitlines()
        if line.startswith(("-", "+")) and not line.startswith(("---", "+++"))
    ]
    return "\n".join([mutant, *changed])


def _environment() -> Mapping[str, str]:
    return os.environ | {"POLARS_MAX_THREADS": "1"}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
