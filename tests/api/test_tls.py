"""Beyond this machine the service speaks TLS only, and may want a client's certificate, too."""

import os
import ssl
import subprocess
import sys

import httpx
import pytest

from tests.api.served import ROOT, Served
from tests.storage.authority import authority


@pytest.fixture
def site(tmp_path):
    """Files of a server for localhost, and of a client, each under an authority of its own."""
    files = {}
    for name in ("server", "client"):
        folder = tmp_path / name
        folder.mkdir()
        made = authority(folder, "localhost")
        (folder / "cert.pem").write_bytes(made.certificate)
        (folder / "key.pem").write_bytes(made.key)
        (folder / "key.pem").chmod(0o600)
        files[name] = folder
    return files


def settings(site, **more):
    return {
        "tls_cert_file": site["server"] / "cert.pem",
        "tls_key_file": site["server"] / "key.pem",
        **more,
    }


class OnLocalhost(Served):
    @property
    def url(self) -> str:
        return super().url.replace("127.0.0.1", "localhost")


def trusting(site, *, client: bool) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=site["server"] / "ca.pem")
    if client:
        context.load_cert_chain(site["client"] / "cert.pem", site["client"] / "key.pem")
    return context


def test_s18_with_mutual_tls_a_token_alone_opens_nothing(plain_database, tmp_path, site):
    ours = settings(site, tls_client_ca_file=site["client"] / "ca.pem")
    folder = tmp_path / "api"
    folder.mkdir()
    with OnLocalhost(folder, plain_database, trusting=trusting(site, client=True), **ours) as api:
        # who has both gets in; the token is wanted all the same
        assert api.url.startswith("https://localhost:")
        assert api.send("GET", "/v1/keys").status_code == 200
        assert api.send("GET", "/v1/keys", by=None).status_code == 401

        # who has only the token gets no answer, and neither does plain HTTP
        headers = {"Authorization": f"Bearer {api.tokens['anna']}"}
        for url, verify in (
            (f"{api.url}/v1/keys", trusting(site, client=False)),
            (f"{api.url}/v1/keys".replace("https", "http"), True),
        ):
            with pytest.raises(httpx.TransportError):
                httpx.get(url, headers=headers, verify=verify, trust_env=False, timeout=10)
        assert "mutual_tls=True" in api.log


def test_what_cannot_be_used_is_said_before_anything_listens(tmp_path, site):
    tokens = tmp_path / "tokens.json"
    tokens.write_text('{"version": 1, "tokens": []}')
    tokens.chmod(0o600)
    server = site["server"]
    variables = {
        "V2G_DATABASE_URL": "host=/run/pg dbname=v2g",
        "V2G_API_TOKEN_FILE": str(tokens),
        "V2G_API_HTTP_HOST": "0.0.0.0",  # noqa: S104 - what TLS is for
        "V2G_API_TLS_CERT_FILE": str(server / "cert.pem"),
        "V2G_API_TLS_KEY_FILE": str(server / "key.pem"),
    }

    def check(**changes):
        kept = {name: value for name, value in os.environ.items() if not name.startswith("V2G_")}
        return subprocess.run(
            [sys.executable, "-m", "api", "--check"],
            env=kept | variables | changes, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip

    accepted = check()
    other = check(V2G_API_TLS_KEY_FILE=str(site["client"] / "key.pem"))
    (server / "key.pem").chmod(0o640)
    readable = check()

    assert (accepted.returncode, other.returncode, readable.returncode) == (0, 2, 2)
    assert "chmod 600" in readable.stderr
    assert "V2G_API_TLS_CERT_FILE" in other.stderr
    assert "Traceback" not in readable.stderr + other.stderr
