"""Read the file of the feeds (``V2G_GRID_FILE``), and complain of everything wrong in it at once.

Every value is read as text, so that an mRID of digits keeps its zeros and no country is a boolean;
``grid.config`` says what it is. Nothing that could be a secret is repeated in a complaint.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final, NoReturn

import yaml
from pydantic import TypeAdapter, ValidationError
from pydantic_core import ErrorDetails

from grid.config import FeedConfig, GridConfig, prices_of, speaks_for_the_rest
from grid.errors import GridConfigError

FILE_MAX_BYTES: Final = 1024 * 1024


def read_config(path: Path) -> GridConfig:
    """The feeds of a file, checked as a whole.

    Raises:
        GridConfigError: it cannot be read, or something in it is not as it must be: everything that is
            wrong with it, each with its place.
    """
    try:
        with path.open("rb") as stream:
            text = stream.read(FILE_MAX_BYTES + 1)
    except OSError as error:
        repair = "write it (infra/grid.example.yaml shows how), or unset V2G_GRID_FILE"
        raise GridConfigError(path, [f"cannot be read ({error.strerror}); {repair}"]) from error
    if len(text) > FILE_MAX_BYTES:
        raise GridConfigError(path, [f"longer than expected, {FILE_MAX_BYTES} bytes"])
    try:
        said = yaml.load(text, _Texts)  # noqa: S506 - of BaseLoader: it makes text, lists, mappings
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise GridConfigError(path, [f"no YAML: {error}"]) from error
    try:
        config = _GRID.validate_python(said, context={"folder": path.absolute().parent})
    except ValidationError as error:
        problems = [_problem(one, said) for one in error.errors(include_url=False)]
        raise GridConfigError(path, problems) from error
    if problems := [*_twice(config.feeds), *_two_price_feeds(config.feeds)]:
        raise GridConfigError(path, problems)
    return config


class _Texts(yaml.BaseLoader):
    """Every scalar is text, so that an mRID of digits keeps its zeros; a key twice is refused."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[object, object]:  # noqa: FBT001, FBT002 - PyYAML's signature
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        for number, key in enumerate(keys):
            if key in keys[:number]:
                line = node.value[number][0].start_mark.line + 1
                _not_yaml(f"line {line}: the key {key!r} stands there twice")
        made: dict[object, object] = super().construct_mapping(node, deep=deep)
        return made


def _not_yaml(found: str) -> NoReturn:
    raise ValueError(found)


_GRID: Final = TypeAdapter(GridConfig)
_KINDS: Final = ("comed", "file", "ieee2030.5", "json", "openadr3")


def _problem(error: ErrorDetails, said: object) -> str:
    """One complaint in our words; never the value of anything that could be a secret."""
    place, at = "", said
    for step in error["loc"]:
        if isinstance(step, int):
            place += f"[{step}]"
            at = at[step] if isinstance(at, Sequence) and step < len(at) else None
            name = at.get("name") if isinstance(at, Mapping) else None
            place += f" ({name})" if isinstance(name, str) else ""
        elif step in _KINDS and isinstance(at, Mapping) and step not in at:
            continue  # pydantic's name of the member of the union, no key of the file
        else:
            place += f".{step}" if place else str(step)
            at = at.get(step) if isinstance(at, Mapping) else None
    place = place or "the file"
    match error["type"]:
        case "extra_forbidden":
            return f"{place}: no such key; look at docs/grid.md, or correct its name"
        case "missing":
            return f"{place}: missing"
        case "union_tag_not_found" | "union_tag_invalid":
            return f"{place}: kind {_kind(at)}; expected one of {', '.join(_KINDS)}"
        case _:
            shown = f"{at!r}"[:80] if isinstance(at, str) and not _secret(place, at) else ""
            told = error["msg"].removeprefix("Value error, ").replace("Input should be", "expected")
            return f"{place}: {shown + '; ' if shown else ''}{told}"


def _kind(feed: object) -> str:
    kind = feed.get("kind") if isinstance(feed, Mapping) else None
    return "missing" if kind is None else repr(kind)[:80]


def _secret(place: str, value: str) -> bool:
    """Whether it may be one; an address may hold a password."""
    return "@" in value or any(word in place for word in ("token", "secret", ".key"))


def _twice(feeds: Iterable[FeedConfig]) -> list[str]:
    names = [feed.name for feed in feeds]
    return [
        f"feeds: {name!r} is the name of {names.count(name)} feeds; expected each name once"
        for name in sorted(set(names))
        if names.count(name) > 1
    ]


def _two_price_feeds(feeds: Iterable[FeedConfig]) -> list[str]:
    named: dict[str, list[str]] = defaultdict(list)
    rest = []
    for feed in feeds:
        for program in prices_of(feed):
            named[program].append(feed.name)
        if speaks_for_the_rest(feed):
            rest.append(feed.name)
    problems = [
        f"feeds: {', '.join(names)} all state prices of program {program!r}; expected one of them"
        for program, names in sorted(named.items())
        if len(names) > 1
    ]
    if len(rest) > 1:
        problems.append(
            f"feeds: {', '.join(rest)} may all state prices of any program; expected programs: […]"
            " on all of them but one"
        )
    return problems
