"""What clients send: registration, responses, settings. All over mutual TLS, on one server."""

import threading

import httpx
import pytest

from simulators.sep2 import Settings
from simulators.sep2.certificates import sfdi_of
from tests.simulators.sep2.site import NOON, Clock, texts, world

SEP = "urn:ieee:std:2030.5:ns"
NOON_S = int(NOON.timestamp())


def response(lfdi: str, subject: str, status: int = 1, *, kind: str = "DERControlResponse") -> str:
    return (
        f'<{kind} xmlns="{SEP}"><createdDateTime>{NOON_S}</createdDateTime>'
        f"<endDeviceLFDI>{lfdi}</endDeviceLFDI><status>{status}</status>"
        f"<subject>{subject}</subject></{kind}>"
    )


def device(lfdi: str, sfdi: int | None = None) -> str:
    return (
        f'<EndDevice xmlns="{SEP}"><lFDI>{lfdi}</lFDI><sFDI>{sfdi or sfdi_of(lfdi)}</sFDI>'
        f"<changedTime>{NOON_S}</changedTime></EndDevice>"
    )


class Scene:
    client: httpx.Client
    other: httpx.Client

    def __init__(self, site) -> None:
        self.site = site
        self.world = world(Clock())
        self.world.add_device(site.client.lfdi, settings=Settings())
        self.world.add_aggregator(site.client.lfdi)
        self.control = self.world.add_control(
            self.world.add_program("stress"),
            start=NOON,
            duration_s=600,
            modes={"opModTargetW": 7_000},
        )


@pytest.fixture(scope="module")
def scene(site):
    scene = Scene(site)
    with (
        site.serve(scene.world) as server,
        site.talk(server) as client,
        site.talk(server, site.other) as other,
    ):
        scene.client, scene.other = client, other
        yield scene


def test_a_response_is_kept_and_can_be_read_again(scene) -> None:
    lfdi, mrid = scene.site.client.lfdi, scene.control.mrid
    answer = scene.client.post("/rsps/1/rsp", content=response(lfdi, mrid, 2))
    assert answer.status_code == 201
    kept = scene.world.answers[-1]
    assert kept.href == answer.headers["location"]
    assert (kept.kind, kept.subject, kept.status, kept.lfdi, kept.client, kept.created_at) == (
        "DERControlResponse", mrid, 2, lfdi, lfdi, NOON_S,
    )  # fmt: skip
    assert scene.world.statuses(scene.control)[-1] == 2
    assert texts(scene.client.get(kept.href).content, "s:subject") == [mrid]
    # it is nobody else's business
    assert scene.other.get(kept.href).status_code == 404


def test_waiting_ends_when_the_response_comes(scene) -> None:
    lfdi, mrid = scene.site.client.lfdi, scene.control.mrid
    later = threading.Thread(
        target=lambda: scene.client.post("/rsps/1/rsp", content=response(lfdi, mrid, 3))
    )
    later.start()
    assert scene.world.wait(lambda: 3 in scene.world.statuses(scene.control), within_s=20)
    later.join()
    assert not scene.world.wait(lambda: 9 in scene.world.statuses(scene.control), within_s=0.01)


@pytest.mark.parametrize(
    ("change", "status", "said"),
    [
        pytest.param(("<status>1<", "<status>one<"), 400, "schema", id="no number"),
        pytest.param(("<subject>", "<subject>FF"), 400, "mRID", id="an unknown event"),
        pytest.param(("<endDeviceLFDI>", "<endDeviceLFDI>00"), 400, "schema", id="no LFDI"),
        pytest.param(("<DERC", "<!DOCTYPE x><DERC"), 400, "DTD", id="with a DTD"),
        pytest.param(
            ("DERControlResponse", "Registration"), 400, "expected", id="another document"
        ),
        pytest.param((">", "", 1), 400, "", id="no XML"),
    ],
)
def test_a_response_that_is_wrong_is_refused_with_what_is_wrong(
    scene, change, status, said
) -> None:
    before = len(scene.world.answers)
    mrid = scene.control.mrid if "FF" not in change[1] else scene.control.mrid[2:]
    body = response(scene.site.client.lfdi, mrid).replace(*change)
    answer = scene.client.post("/rsps/1/rsp", content=body)
    assert (answer.status_code, said in answer.text) == (status, True), answer.text
    assert len(scene.world.answers) == before


def test_nobody_answers_for_a_device_that_is_not_theirs(scene) -> None:
    answer = scene.other.post(
        "/rsps/1/rsp", content=response(scene.site.client.lfdi, scene.control.mrid)
    )
    assert answer.status_code == 403


def test_a_device_registers_itself_and_is_assigned_to_what_is_for_all(scene) -> None:
    answer = scene.other.post("/edev", content=device(scene.site.other.lfdi))
    assert answer.status_code == 201
    href = answer.headers["location"]
    assert texts(scene.other.get(href).content, "s:lFDI") == [scene.site.other.lfdi]
    assert texts(scene.other.get(f"{href}/fsa/1/derp").content, "s:DERProgram/s:description")
    # once more is the same device
    again = scene.other.post("/edev", content=device(scene.site.other.lfdi))
    assert (again.status_code, again.headers["location"]) == (201, href)


def test_only_an_aggregator_registers_others(scene) -> None:
    lfdi = "CD" * 20
    assert scene.other.post("/edev", content=device(lfdi)).status_code == 403
    answer = scene.client.post("/edev", content=device(lfdi))
    assert answer.status_code == 201
    assert scene.client.get(answer.headers["location"]).status_code == 200
    assert scene.other.get(answer.headers["location"]).status_code == 404


def test_a_short_identifier_that_does_not_fit_the_long_one_is_refused(scene) -> None:
    answer = scene.client.post("/edev", content=device(scene.site.client.lfdi, 111111111111))
    assert answer.status_code == 400
    assert str(sfdi_of(scene.site.client.lfdi)) in answer.text


def test_registration_can_be_closed(scene) -> None:
    scene.world.registers_itself = False
    try:
        assert scene.client.post("/edev", content=device("EF" * 20)).status_code == 403
    finally:
        scene.world.registers_itself = True


def test_settings_that_a_client_puts_are_served_as_they_came(scene) -> None:
    href = f"/edev/{scene.world.device_of(scene.site.client.lfdi).number}/der/1/derg"
    body = (
        f'<DERSettings xmlns="{SEP}"><setGradW>5</setGradW><setMaxW><multiplier>1</multiplier>'
        f"<value>2200</value></setMaxW><updatedTime>{NOON_S}</updatedTime></DERSettings>"
    ).encode()
    assert scene.client.put(href, content=body).status_code == 204
    assert scene.client.get(href).content == body
    assert scene.client.put(href, content=body.replace(b"5", b"x", 1)).status_code == 400
    assert scene.client.put(href[:-1] + "x", content=body).status_code == 405
    assert scene.other.put(href, content=body).status_code == 404


def test_a_body_without_end_is_refused(scene) -> None:
    assert scene.client.post("/edev", content=b" " * 1_100_000).status_code == 413
