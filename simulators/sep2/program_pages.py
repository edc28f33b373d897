"""Documents of the DER function set: programs by primacy, controls by start, the default control."""

from simulators.sep2.clock import epoch
from simulators.sep2.desk import Desk, Entry, link
from simulators.sep2.events import event, head
from simulators.sep2.markup import Markup, node, optional
from simulators.sep2.modes import base
from simulators.sep2.records import Content, Control, Device, Program
from simulators.sep2.status import ACTIVE, Status, status
from simulators.sep2.world import mrid_of

REPLY_TO = "/rsps/1/rsp"


def program_page(desk: Desk, parts: list[str]) -> Markup | None:
    """The document at ``/derp/…``; None: there is none that this client may see."""
    match parts:
        case ["derp", number, *rest]:
            program = next((one for one in desk.world.programs if str(one.number) == number), None)
        case _:
            return None
    if program is None or not desk.may_see(program.devices):
        return None
    href = f"/derp/{program.number}"
    match rest:
        case []:
            return _program(desk, program)
        case ["derc"]:
            entries = [_entry(desk, program, *row) for row in _served(desk, program)]
            return desk.listed("DERControlList", f"{href}/derc", entries)
        case ["actderc"]:
            entries = [_entry(desk, program, *row) for row in _active(desk, program)]
            return desk.listed("DERControlList", f"{href}/actderc", entries)
        case ["dderc"]:
            return node(
                "DefaultDERControl",
                head(mrid_of(f"default {program.mrid}"), None, 0),
                base(program.default_modes),
                href=f"{href}/dderc",
            )
        case ["derc", number]:
            rows = [row for row in _served(desk, program) if str(row[0].number) == number]
            return _entry(desk, program, *rows[0]).content if rows else None
    return None


def program_list(desk: Desk, device: Device) -> Markup:
    """The programs that a device is assigned to, the most important first."""
    rows = sorted(programs_of(desk, device), key=lambda one: (one.primacy, _reversed(one.mrid)))
    return desk.listed(
        "DERProgramList",
        f"/edev/{device.number}/fsa/1/derp",
        [Entry(_program(desk, program)) for program in rows],
        pollRate=desk.world.poll_rates_s["derp"],
    )


def programs_of(desk: Desk, device: Device) -> list[Program]:
    """The programs that a device is assigned to."""
    return [one for one in desk.world.programs if one.devices is None or device.lfdi in one.devices]


def _program(desk: Desk, program: Program) -> Markup:
    href = f"/derp/{program.number}"
    return node(
        "DERProgram",
        head(program.mrid, program.description, 0),
        link("ActiveDERControlListLink", f"{href}/actderc", len(_active(desk, program))),
        link("DefaultDERControlLink", f"{href}/dderc"),
        link("DERControlListLink", f"{href}/derc", len(_served(desk, program))),
        node("primacy", program.primacy),
        href=href,
    )


def _served(desk: Desk, program: Program) -> list[tuple[Control, Content]]:
    """By start, of one start the newest first, of one creation the highest mRID first."""
    rows = [
        (control, content)
        for control in program.controls
        if (content := control.at(desk.moment)) is not None
    ]
    return sorted(
        rows,
        key=lambda row: (row[1].start, -epoch(row[1].created_at), _reversed(row[0].mrid)),
    )


def _active(desk: Desk, program: Program) -> list[tuple[Control, Content]]:
    return [
        row
        for row in _served(desk, program)
        if _status(desk, program, row[0]).number == ACTIVE and desk.moment < row[1].latest_end
    ]


def _status(desk: Desk, program: Program, control: Control) -> Status:
    return status(
        control,
        program.controls,
        desk.moment,
        edition=desk.world.edition,
        manner=desk.world.manner,
    )


def _entry(desk: Desk, program: Program, control: Control, content: Content) -> Entry:
    said = _status(desk, program, control)
    return Entry(
        node(
            "DERControl",
            event(control.mrid, content, content.description, said),
            optional("randomizeDuration", content.randomize_duration_s),
            optional("randomizeStart", content.randomize_start_s),
            base(content.modes, content.extensions),
            href=f"/derp/{program.number}/derc/{control.number}",
            replyTo=REPLY_TO,
            responseRequired=f"{content.response_required:02X}",
        ),
        content.start,
    )


def _reversed(mrid: str) -> int:
    return -int(mrid, 16)
