"""Other terms for a past period: programs from other files, keys with other values."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import polars as pl

from cases.programs import read_body
from cases.terms import read_baselines
from settlement import programs
from settlement.periods import Period
from settlement.programs import BaselineMethod, Program
from settlement.programs.key import is_off
from settlement.seasons import governing
from settlement.timeline import Window, settles
from tasks.key_values import LEFT_OUT, UnusableChangeError, read_setting

Programs = Mapping[str, Sequence[Program]]


@dataclass(frozen=True)
class Change:
    """What is to be different.

    Attributes:
        programs: files; each takes the place of all versions of the program of its name. Several of
            one name are its versions.
        instead: names, each with the file that takes that program's place, whatever its own name.
        settings: ``KEY=VALUE``, a key of ``docs/programs.md`` and its value in YAML, decimals also
            without quotation marks; without a value the key is left out. They hold for the programs
            that settle something in the period, after files have been put in place.
        only: programs that ``settings`` hold for; empty: all.
        baselines: a file as ``baselines.csv`` of a case, in place of the provided baselines.
    """

    programs: Sequence[Path] = ()
    instead: Sequence[tuple[str, Path]] = ()
    settings: Sequence[str] = ()
    only: frozenset[str] = frozenset()
    baselines: Path | None = None

    def require_any(self) -> None:
        """Raises UnusableChangeError where nothing is to be different, or a setting cannot be read."""
        if not (self.programs or self.instead or self.settings or self.baselines):
            raise UnusableChangeError(
                "what-if", "nothing is different", "--program, --instead, --set or --baselines"
            )
        if self.only and not self.settings:
            raise UnusableChangeError(
                f"--for {min(self.only)}", "no --set that it restricts", "--set KEY=VALUE"
            )
        for setting in self.settings:
            read_setting(setting)


@dataclass(frozen=True, slots=True)
class Written:
    """A version of a program with the data that it was read from."""

    source: str
    body: Mapping[str, object]
    program: Program


def written(source: str, body: Mapping[str, object], valid_from: datetime | None = None) -> Written:
    """A program read from its data.

    Args:
        source: for messages.
        body: the data.
        valid_from: from when it counts, where the data does not say it.

    Raises:
        ProgramError: the program cannot be used.
    """
    program = programs.parse(body, source)
    return Written(
        source, body, program if valid_from is None else replace(program, valid_from=valid_from)
    )


def by_name(versions: Sequence[Written]) -> dict[str, list[Program]]:
    """All versions of each program, ascending. Raises UnusableChangeError where one stands twice."""
    found: dict[str, list[Program]] = {}
    for one in sorted(versions, key=lambda w: (w.program.program, w.program.version)):
        others = found.setdefault(one.program.program, [])
        if others and others[-1].version == one.program.version:
            raise UnusableChangeError(
                one.source,
                f"version {one.program.version} of {one.program.program} again",
                "each version once",
            )
        others.append(one.program)
    return found


def replaced(known: Sequence[Written], change: Change) -> list[Written]:
    """The programs, those that a change names in files put in place of theirs.

    Raises:
        CaseError: a file is no YAML.
        ProgramError: a file is no program.
        UnusableChangeError: a file is in the place of no program, or of one that another file is in.
    """
    names = sorted({one.program.program for one in known})
    found: list[Written] = []
    places: dict[str, str] = {}
    for path in change.programs:
        new = written(str(path), read_body(path, str(path)))
        name = new.program.program
        if name not in names:
            raise UnusableChangeError(
                f"--program {path}",
                f"no program {name} is there",
                f"one of {', '.join(names) or 'none'}, or --instead NAME={path}",
            )
        places[name] = f"--program {path}"
        found.append(new)
    for name, path in change.instead:
        asked = f"--instead {name}={path}"
        if name not in names:
            raise UnusableChangeError(
                asked, f"no program {name} is there", f"one of {', '.join(names) or 'none'}"
            )
        if name in places:
            raise UnusableChangeError(
                asked, f"{places[name]} takes its place already", "one program in each place"
            )
        places[name] = asked
        body = read_body(path, str(path))
        written(str(path), body)
        found.append(written(str(path), {**body, "program": name}))
    kept = [one for one in known if one.program.program not in places]
    return sorted([*kept, *found], key=lambda w: (w.program.program, w.program.version))


def at_work(
    known: Programs, windows: Sequence[Window], period: Period
) -> frozenset[tuple[str, int]]:
    """Name and version of the programs that settle something in a period."""
    found = set()
    for window in windows:
        if versions := known.get(window.program):
            version = governing(versions, window.started_at)
            if settles(version, window, period):
                found.add((version.program, version.version))
    return frozenset(found)


def with_settings(
    known: Sequence[Written], change: Change, working: Collection[tuple[str, int]]
) -> list[Written]:
    """The programs, with the values that a change sets in those that settle something.

    Raises:
        ProgramError: a key is unknown, or a program with that value cannot be used.
        UnusableChangeError: there is no program to set it in.
    """
    if not change.settings:
        return list(known)
    names = {one.program.program for one in known}
    for name in sorted(change.only - names):
        raise UnusableChangeError(
            f"--for {name}", "no such program", f"one of {', '.join(sorted(names)) or 'none'}"
        )
    wanted = {one for one in working if not change.only or one[0] in change.only}
    if not wanted:
        raise UnusableChangeError(
            f"--set {change.settings[0]}",
            "no such program settles any event here",
            "events, or another --for",
        )
    return [
        _set(one, change.settings) if (one.program.program, one.program.version) in wanted else one
        for one in known
    ]


def other_baselines(change: Change, after: Programs) -> pl.DataFrame | None:
    """``schemas.BASELINE`` as the change's file provides it; None where it names none.

    Raises:
        CaseError: the file cannot be used.
        UnusableChangeError: no program takes a provided baseline.
    """
    if change.baselines is None:
        return None
    if not any(
        one.needs_baseline and one.baseline.method is BaselineMethod.PROVIDED
        for versions in after.values()
        for one in versions
    ):
        raise UnusableChangeError(
            f"--baselines {change.baselines}",
            "no program takes a provided baseline",
            "one with quantity against_baseline, or product order, and baseline.method provided",
        )
    return read_baselines(change.baselines, str(change.baselines))


def _set(one: Written, settings: Sequence[str]) -> Written:
    body: dict[str, Any] = _copied(one.body)
    for setting in settings:
        path, value = read_setting(setting)
        *above, name = path
        section = body
        for part in above:
            if is_off(section.get(part)):
                section[part] = {}
            section = section[part]
            if not isinstance(section, dict):
                raise UnusableChangeError(f"--set {setting}", f"{part} is no section", "a section")
        if value is LEFT_OUT:
            section.pop(name, None)
        else:
            section[name] = value
    changed = programs.parse(body, f"{one.program.program} {one.program.version} with --set")
    return Written(one.source, body, replace(changed, valid_from=one.program.valid_from))


def _copied(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _copied(inner) for name, inner in value.items()}
    return [_copied(inner) for inner in value] if isinstance(value, list) else value
