"""docs/settings.md: every environment variable, from the classes of settings in the code."""

import ast
import inspect
from collections.abc import Iterator, Mapping
from importlib import import_module
from pathlib import Path
from typing import Final, Literal, get_args, get_origin

from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined
from pydantic_settings import BaseSettings

from cli.map import NOT_ROOMS, ROOT
from cli.markdown import GENERATED, heading, row

SETTINGS_INTRO: Final = """\
Set as environment variables; a service reads them from its `EnvironmentFile` (see `infra/`). A
value out of its bounds stops the program at once, with the variable's name. Secrets are never
variables: a variable names a file that only its owner may read."""

BOUND_SIGNS: Final[Mapping[str, str]] = {
    "ge": "≥",
    "gt": ">",
    "le": "≤",
    "lt": "<",
    "multiple_of": "a multiple of",
    "min_length": "length ≥",
    "max_length": "length ≤",
    "pattern": "matches",
}
"""Names that pydantic gives to bounds."""


def settings_modules(root: Path = ROOT) -> list[str]:
    """Every module of ours that defines a class of settings, found without importing any."""
    found = []
    for path in sorted(root.glob("*/**/*.py")):
        parts = path.relative_to(root).with_suffix("").parts
        if parts[0] in NOT_ROOMS or not (root / parts[0] / "__init__.py").exists():
            continue
        source = path.read_text("utf-8")
        if "BaseSettings" not in source:
            continue
        tree = ast.parse(source)
        bases = (
            base for one in ast.walk(tree) if isinstance(one, ast.ClassDef) for base in one.bases
        )
        if any(ast.unparse(base).endswith("BaseSettings") for base in bases):
            found.append(".".join(parts))
    return found


def settings_classes(root: Path = ROOT) -> list[type[BaseSettings]]:
    """Every class of settings, in the order of its module's name."""
    return [
        one
        for name in settings_modules(root)
        for one in vars(import_module(name)).values()
        if isinstance(one, type) and issubclass(one, BaseSettings) and one.__module__ == name
    ]


def variables(settings: type[BaseSettings]) -> Iterator[tuple[str, str, FieldInfo]]:
    """Each setting's name, its environment variable, and what pydantic knows of it."""
    prefix = settings.model_config.get("env_prefix", "")
    for name, field in settings.model_fields.items():
        alias = field.validation_alias
        yield name, (alias if isinstance(alias, str) else f"{prefix}{name}").upper(), field


def attributes(docstring: str) -> dict[str, str]:
    r"""What a class's docstring says of each attribute, in Google's form.

    >>> attributes("S.\n\nAttributes:\n    grace: how long\n        it waits.\n    limit: rows.")
    {'grace': 'how long it waits.', 'limit': 'rows.'}
    """
    section = docstring.partition("Attributes:\n")[2].partition("\n\n")[0]
    found: dict[str, str] = {}
    name = ""
    for line in inspect.cleandoc(section).splitlines():
        if not line.startswith(" "):
            name, _, text = line.partition(": ")
            found[name] = text.strip()
        elif name:
            found[name] += f" {line.strip()}"
    return found


def bounds_of(field: FieldInfo) -> Iterator[str]:
    """What a setting's value must satisfy, in signs.

    >>> from typing import Annotated
    >>> from pydantic import Field
    >>> list(bounds_of(FieldInfo.from_annotation(Annotated[int, Field(ge=1, le=60)])))
    ['≥ 1', '≤ 60']
    >>> list(bounds_of(FieldInfo.from_annotation(Literal["5", "311"])))
    ['`5` or `311`']
    """
    if get_origin(field.annotation) is Literal:
        yield " or ".join(f"`{choice}`" for choice in get_args(field.annotation))
    for bound in field.metadata:
        for name, sign in BOUND_SIGNS.items():
            value = getattr(bound, name, None)
            if value is not None:
                yield f"{sign} `{value}`" if name == "pattern" else f"{sign} {value}"


def default_of(field: FieldInfo) -> str:
    """A setting's default as an operator would write it.

    >>> default_of(FieldInfo(default=15)), default_of(FieldInfo(annotation=str))
    ('`15`', 'must be set')
    """
    if field.is_required():
        return "must be set"
    value = field.get_default(call_default_factory=True, validated_data={})
    if value in (None, "", PydanticUndefined):
        return "empty"
    return f"`{value}`"


def settings_page() -> str:
    """docs/settings.md: every environment variable, by the class that reads it."""
    lines = [
        "# Settings",
        "",
        GENERATED,
        SETTINGS_INTRO,
    ]
    for settings in settings_classes():
        docstring = inspect.getdoc(settings) or ""
        first = docstring.partition("\n\n")[0].replace("\n", " ")
        described = attributes(docstring)
        lines += ["", f"## {settings.__module__}.{settings.__qualname__}", "", first, ""]
        lines += heading("variable", "default", "bounds", "meaning")
        for name, variable, field in variables(settings):
            bounds = ", ".join(bounds_of(field))
            meaning = field.description or described.get(name, "")
            lines.append(row(f"`{variable}`", default_of(field), bounds, meaning))
    return "\n".join(lines) + "\n"
