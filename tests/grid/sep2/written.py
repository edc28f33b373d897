"""Documents of IEEE 2030.5 written by hand, as text: nothing of the code that reads them."""

from collections.abc import Mapping
from xml.sax.saxutils import escape, quoteattr

NAMESPACE = "urn:ieee:std:2030.5:ns"
CSIPAUS = "https://csipaus.org/ns"
CREATED = 1_795_400_597
START = 1_795_401_796


def element(name: str, *inside: object, **attributes: object) -> str:
    """``<name a="b">…</name>``; text has to be escaped by whoever gives it."""
    said = "".join(f" {key}={quoteattr(str(value))}" for key, value in attributes.items())
    return f"<{name}{said}>{''.join(map(str, inside))}</{name}>"


def document(root: str, **namespaces: str) -> bytes:
    """A root element with the standard's namespace."""
    more = "".join(f' xmlns:{prefix}="{uri}"' for prefix, uri in namespaces.items())
    name, rest = root[1:].split(">", 1)
    return (
        f'<?xml version="1.0" encoding="UTF-8"?>\n<{name} xmlns="{NAMESPACE}"{more}>{rest}'.encode()
    )


def power(watts: int, multiplier: int = 0) -> str:
    return element("multiplier", multiplier) + element("value", watts)


def control(changes: Mapping[str, object] | None = None, **attributes: object) -> str:
    """A ``DERControl``; ``changes`` by element, a value of None leaves it out."""
    said: dict[str, object | None] = {
        "mRID": "30000000000000000000000100009F1C",
        "description": None,
        "version": 1,
        "creationTime": CREATED,
        "currentStatus": 0,
        "dateTime": CREATED,
        "duration": 1800,
        "start": START,
        "randomizeDuration": None,
        "randomizeStart": None,
        "DERControlBase": element("opModFixedW", 10_000),
        "more": "",
        "status": "",
    }
    said |= changes or {}

    def one(name: str) -> str:
        return "" if said[name] is None else element(name, said[name])

    parts = [
        *map(one, ["mRID", "description", "version", "creationTime"]),
        element(
            "EventStatus",
            *map(one, ["currentStatus", "dateTime"]),
            element("potentiallySuperseded", "false"),
            said["status"],
        ),
        element("interval", *map(one, ["duration", "start"])),
        *map(one, ["randomizeDuration", "randomizeStart", "DERControlBase"]),
        said["more"],
    ]
    return element("DERControl", *parts, **attributes)


def control_list(*controls: str, all: int | None = None, href: str = "/derp/1/derc") -> str:  # noqa: A002
    count = len(controls)
    return element(
        "DERControlList",
        *controls,
        href=href,
        all=count if all is None else all,
        results=count,
    )


def controls(*each: str, **namespaces: str) -> bytes:
    """A document that is a list of controls."""
    return document(control_list(*each), **{"csipaus": CSIPAUS, **namespaces})


def text(said: str) -> str:
    return escape(said)
