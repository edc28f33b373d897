"""JSON Schema of answers, from the records that are shown."""

from collections.abc import Mapping
from dataclasses import fields
from datetime import datetime
from types import NoneType, UnionType
from typing import Any, Final, get_args, get_origin, get_type_hints

TIME: Final[Mapping[str, Any]] = {"type": "string", "format": "date-time"}
TEXT: Final[Mapping[str, Any]] = {"type": "string"}
NUMBER: Final[Mapping[str, Any]] = {"type": "integer"}
YES_NO: Final[Mapping[str, Any]] = {"type": "boolean"}
_HEX: Final[Mapping[str, Any]] = {"type": "string", "pattern": "^([0-9a-f]{2})*$"}


def object_of(
    properties: Mapping[str, Mapping[str, Any]],
    *,
    optional: Mapping[str, Mapping[str, Any]] | None = None,
) -> dict[str, Any]:
    """An object with exactly these properties, and perhaps the optional ones."""
    return {
        "type": "object",
        "properties": {**properties, **(optional or {})},
        "required": list(properties),
        "additionalProperties": False,
    }


def list_of(item: Mapping[str, Any]) -> dict[str, Any]:
    """A list of such items."""
    return {"type": "array", "items": dict(item)}


def properties_of(record: type, *, only: tuple[str, ...] = ()) -> dict[str, Mapping[str, Any]]:
    """The properties of a record as ``storage.key_changes.plain`` shows it."""
    hints = get_type_hints(record)
    names = only or tuple(one.name for one in fields(record))
    return {name: _shape(hints[name]) for name in names}


def _shape(hint: Any) -> Mapping[str, Any]:
    if isinstance(hint, UnionType):
        [inner] = [one for one in get_args(hint) if one is not NoneType]
        shape = dict(_shape(inner))
        return shape | {"type": [shape["type"], "null"]}
    if get_origin(hint) is not None and issubclass(get_origin(hint), Mapping):
        return {"type": "object"}
    if hint is datetime:
        return TIME
    if hint is bytes:
        return _HEX
    return {str: TEXT, int: NUMBER, bool: YES_NO}[hint]
