"""The Responses that were posted, as the client that posted them may read them."""

from simulators.sep2.desk import Desk, Entry, link
from simulators.sep2.events import head
from simulators.sep2.markup import Markup, node, optional
from simulators.sep2.program_pages import REPLY_TO
from simulators.sep2.records import Answer
from simulators.sep2.world import mrid_of


def response_page(desk: Desk, parts: list[str]) -> Markup | None:
    """The document at ``/rsps…``; None: there is none that this client may see."""
    own = [one for one in desk.world.answers if one.client == desk.client]
    match parts:
        case ["rsps"]:
            return desk.listed("ResponseSetList", "/rsps", [Entry(_set(own))])
        case ["rsps", "1"]:
            return _set(own)
        case ["rsps", "1", "rsp"]:
            rows = sorted(own, key=lambda one: (-(one.created_at or 0), one.lfdi))
            return desk.listed("ResponseList", REPLY_TO, [Entry(_response(one)) for one in rows])
        case ["rsps", "1", "rsp", number]:
            href = f"{REPLY_TO}/{number}"
            return next((_response(one, one.kind) for one in own if one.href == href), None)
    return None


def _set(own: list[Answer]) -> Markup:
    return node(
        "ResponseSet",
        head(mrid_of("responses"), None, None),
        link("ResponseListLink", REPLY_TO, len(own)),
        href="/rsps/1",
    )


def _response(answer: Answer, name: str = "Response") -> Markup:
    return node(
        name,
        optional("createdDateTime", answer.created_at),
        node("endDeviceLFDI", answer.lfdi),
        optional("status", answer.status),
        node("subject", answer.subject),
        href=answer.href,
    )
