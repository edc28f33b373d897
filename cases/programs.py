"""The programs of a case: YAML, read so that nothing in it is silently something else.

A key given twice, an alias, and a document that is no mapping are refused; times stay text.
"""

from pathlib import Path
from typing import Any, Final

import yaml

from cases.errors import CaseError, quoted, shown
from cases.tables import decoded, read_bytes
from settlement import programs
from settlement.programs import Program, ProgramError
from settlement.programs.errors import Found

FILE_MAX_BYTES: Final = 2**20

_TIMESTAMP: Final = "tag:yaml.org,2002:timestamp"


def read_programs(folder: Path) -> dict[str, list[Program]]:
    """All versions of each program, ascending by version, by name.

    ``program.yaml``, or every ``programs/*.yaml``; several files may hold versions of one program.

    Raises:
        CaseError: there is none, or both; a file is no program; a version is there twice; or two
            versions of one program have different currencies.
    """
    versions: dict[str, list[Program]] = {}
    for path in program_files(folder):
        file = path.relative_to(folder).as_posix()
        program = _read(path, file)
        others = versions.setdefault(program.program, [])
        for other in others:
            if other.version == program.version:
                raise CaseError(
                    file,
                    f"version {program.version} of {program.program} again",
                    "each version once",
                    column="version",
                )
            if other.currency != program.currency:
                raise CaseError(
                    file,
                    quoted(program.currency),
                    f"{other.currency}, as in its version {other.version}",
                    column="currency",
                )
        others.append(program)
        others.sort(key=lambda one: one.version)
    return versions


def program_files(folder: Path) -> list[Path]:
    """The files that hold the programs of a case. Raises CaseError: there is none, or both kinds."""
    single, several = folder / "program.yaml", folder / "programs"
    if single.exists() and several.exists():
        raise CaseError("programs", "stands beside program.yaml", "one of the two")
    files = sorted(several.glob("*.yaml")) if several.is_dir() else [single]
    if not files:
        raise CaseError("programs", "no *.yaml", "at least one program")
    return files


def _read(path: Path, file: str) -> Program:
    try:
        return programs.parse(read_body(path, file), file)
    except ProgramError as error:
        raise CaseError(
            file, _found(error.found), error.expected, column=shown(error.key)
        ) from error


def read_body(path: Path, file: str) -> dict[str, object]:
    """A program as YAML says it, before anybody has looked at its keys.

    Args:
        path: the file.
        file: its name for messages.

    Raises:
        CaseError: it cannot be read, or is no YAML, or no mapping.
    """
    data = decoded(read_bytes(path, file, FILE_MAX_BYTES), file)
    try:
        # A subclass of the safe loader: it makes plain values only.
        body = yaml.load(data, _Loader)  # noqa: S506
    except yaml.MarkedYAMLError as error:
        row = error.problem_mark.line + 1 if error.problem_mark else None
        raise CaseError(
            file, quoted(error.problem or "no YAML"), "YAML, as in programs/*.yaml", row=row
        ) from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise CaseError(
            file, "what no YAML reader understands", "YAML, as in programs/*.yaml"
        ) from error
    if not isinstance(body, dict):
        raise CaseError(file, "no mapping", "the keys program, version, currency, product …")
    return body


def _found(found: object) -> str:
    return f"{found.value}" if isinstance(found, Found) else quoted(str(found))


class _Loader(yaml.SafeLoader):
    """PyYAML's safe loader without aliases, names given twice, and times."""

    # Every other plain value is what YAML says it is; a time is text, as in every other file.
    yaml_implicit_resolvers = {  # noqa: RUF012 - PyYAML's own way of saying it
        first: [(tag, form) for tag, form in resolvers if tag != _TIMESTAMP]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            mark = self.peek_event().start_mark  # type: ignore[no-untyped-call]
            raise yaml.MarkedYAMLError(problem="an alias (*name)", problem_mark=mark)
        return super().compose_node(parent, index)

    def compose_mapping_node(self, anchor: dict[Any, yaml.Node]) -> yaml.MappingNode:
        node = super().compose_mapping_node(anchor)
        names = set[str]()
        for key in (key for key, _ in node.value if isinstance(key, yaml.ScalarNode)):
            if key.value in names:
                raise yaml.MarkedYAMLError(
                    problem=f"the key {key.value} twice", problem_mark=key.start_mark
                )
            names.add(key.value)
        return node
