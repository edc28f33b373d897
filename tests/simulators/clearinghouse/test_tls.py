"""Over TLS: a client with the authority's certificate comes in, and every bad certificate shows."""

import re
import ssl
import stat
import warnings

import httpx
import pytest

from simulators.clearinghouse import Authority, Showing
from tests.simulators.clearinghouse.caller import posting


def trusting(authority):
    return ssl.create_default_context(cafile=authority.certificate)


def test_a_client_that_trusts_the_authority_is_served(calling, authority):
    caller = calling(tls=authority.server(), client={"verify": trusting(authority)})
    assert caller.house.url.startswith("https://127.0.0.1:")
    assert caller.post(posting()).status_code == 201


@pytest.mark.parametrize("fault", ["reset_after", "lost_ack", "short", "chunks"])
def test_lines_break_under_tls_too(calling, authority, fault):
    caller = calling(tls=authority.server(), client={"verify": trusting(authority)})
    caller.house.script.calls(fault)
    with pytest.raises((httpx.ReadError, httpx.RemoteProtocolError)):
        caller.post(posting())
    assert caller.post(posting()).status_code == 208


@pytest.mark.parametrize(
    ("showing", "says"),
    [
        (Showing.EXPIRED, "certificate has expired"),
        (Showing.NOT_YET_VALID, "not yet valid"),
        (Showing.WRONG_HOST, "IP address mismatch"),
        (Showing.SELF_SIGNED, "self-signed certificate"),
    ],
)
def test_a_bad_certificate_is_refused_by_a_careful_client_and_nothing_arrives(
    calling, authority, showing, says
):
    caller = calling(tls=authority.server(showing), client={"verify": trusting(authority)})
    with pytest.raises(httpx.ConnectError, match=says):
        caller.post(posting())
    assert caller.house.calls() == 0


def test_an_authority_that_nobody_told_the_client_of_is_refused(calling, authority):
    caller = calling(tls=authority.server())
    with pytest.raises(httpx.ConnectError, match=re.escape("CERTIFICATE_VERIFY_FAILED")):
        caller.post(posting())


def test_tls_11_alone_is_refused_by_default_and_really_spoken(calling, authority):
    # given a server that speaks TLS 1.1 and nothing newer
    careful = calling(
        tls=authority.server(), tls11_only=True, client={"verify": trusting(authority)}
    )
    with pytest.raises(httpx.ConnectError):
        careful.post(posting())

    # when a client allows what it should not
    careless = trusting(authority)
    careless.set_ciphers("ALL:@SECLEVEL=0")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        careless.minimum_version = ssl.TLSVersion.TLSv1_1
    with httpx.Client(verify=careless) as client:
        answer = client.get(f"{careful.house.url}/healthz")

    # then it is served: the refusal was the client's
    assert answer.status_code == 200


def test_a_folder_keeps_its_authority_and_its_secrets(tmp_path):
    # given an authority in a folder
    folder = tmp_path / "certs"
    first = Authority(folder)
    before = first.certificate.read_bytes()

    # when another comes to the same folder
    again = Authority(folder)
    pair = again.server()

    # then clients need not be told anew, and no secret can be read by others
    assert again.certificate.read_bytes() == before
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in (pair.key, folder / "ca.key")} == {0o600}


def test_half_an_authority_is_refused(tmp_path):
    (tmp_path / "ca.pem").write_text("")
    with pytest.raises(ValueError, match="only one of"):
        Authority(tmp_path)


@pytest.mark.parametrize("text", ["", "-----BEGIN PRIVATE KEY-----\n-----END PRIVATE KEY-----\n"])
def test_a_key_that_cannot_be_read_is_refused(tmp_path, text):
    (tmp_path / "ca.pem").write_text("")
    (tmp_path / "ca.key").write_text(text)
    with pytest.raises(ValueError, match=r"ca\.key"):
        Authority(tmp_path)
