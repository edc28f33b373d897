"""As a process of its own: its options, its help, and what it says at the end."""

import json
import re
import signal
import ssl
import subprocess
import sys
from contextlib import contextmanager

import httpx
import pytest

from simulators.clearinghouse import FaultKind, LieKind
from simulators.clearinghouse.__main__ import main
from tests.engineering.house import ROOT, read
from tests.simulators.clearinghouse.caller import TOKEN, posting


@pytest.fixture
def token(tmp_path):
    (tmp_path / "token").write_text(TOKEN)
    return tmp_path / "token"


@contextmanager
def running(*options):
    """The process; its address; and what it has said so far."""
    with subprocess.Popen(
        [sys.executable, "-m", "simulators.clearinghouse", *map(str, options)],
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert process.stdout is not None
            url = process.stdout.readline().strip()
            yield process, url
        finally:
            process.terminate()
            process.wait(timeout=10)


def client_of(url, **options):
    headers = {"Authorization": f"Bearer {TOKEN}", "Idempotency-Key": '"posting-1"'}
    return httpx.Client(base_url=url, headers=headers, trust_env=False, **options)


def test_it_runs_as_a_process_of_its_own_with_its_ledger_and_its_switch(token):
    # given a process that always fails
    options = ["--slow", "0", "--error", "1", "--lost-ack", "0", "--too-many", "0"]
    with running("--token-file", token, *options) as (_, url), client_of(url) as client:
        # when it is switched to behave
        failed = client.post("/v1/postings", json=posting())
        unknown = client.put("/v1/misbehaviour", json={"rude": 1})
        switched = client.put("/v1/misbehaviour", json={})
        taken = client.post("/v1/postings", json=posting())
        ledger = client.get("/v1/ledger").json()

    # then it takes the posting, and its ledger shows it
    assert [a.status_code for a in (failed, unknown, switched, taken)] == [500, 400, 200, 201]
    assert ledger["totals_minor"] == {"USD": "377"}
    assert ledger["postings"]["posting-1"] == posting() | {"effects": 1, "attempts": 2}
    assert ledger["answers"] == {"201": 1, "error": 1}
    assert ledger["settlements_paid_twice"] == []


def test_it_follows_a_script_over_tls_and_tells_at_the_end_what_it_did(token, tmp_path):
    # given a script, TLS, and a key to sign with that is made now
    (tmp_path / "script.yaml").write_text(
        json.dumps({"calls": ["error", "unsigned", "ok"], "statement": ["fee:by=-50"]})
    )
    folder, key = tmp_path / "certs", tmp_path / "house.key"
    options = ["--script", tmp_path / "script.yaml", "--tls", folder, "--sign-with", key]
    with running("--token-file", token, "--no-faults", *options) as (process, url):
        # when a posting comes three times
        with client_of(url, verify=ssl.create_default_context(cafile=folder / "ca.pem")) as client:
            answers = [client.post("/v1/postings", json=posting()) for _ in range(3)]
            statement = client.get("/v1/statement").text
        process.send_signal(signal.SIGINT)
        said = process.stdout.read()
        process.wait(timeout=10)

    # then the script was followed, and what to configure and what happened is said
    assert process.returncode == 0
    assert [answer.status_code for answer in answers] == [500, 201, 208]
    assert [("signature" in answer.headers) for answer in answers] == [False, False, True]
    assert statement.splitlines()[-1].endswith("fee")
    assert f"V2G_CLEARINGHOUSE_URL={url}" in said
    assert f"V2G_CLEARINGHOUSE_CA_FILE={folder / 'ca.pem'}" in said
    assert f"V2G_CLEARINGHOUSE_KEY_FILE={key}.pub" in said
    assert "3 calls, 1 postings paid" in said
    assert "paid 377 minor units USD" in said
    assert "answer error: 1 times" in said


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--fault", "rude=0.5"], "fault 'rude'"),
        (["--fault", "error=often"], "expected NAME=SHARE"),
        (["--fault", "error=2"], "at most 1"),
        (["--fault", "unsigned=0.5"], "signs nothing"),
        (["--fault", "forgets=0.5"], "status queries only"),
        (["--tls11-only"], "expected --tls"),
        (["--certificate", "expired"], "expected --tls"),
        (["--latency-ms", "-1"], "--latency-ms -1.0"),
        (["--script", "{folder}/script", "--error", "1"], "say the shares in it"),
        (["--script", "{folder}/script"], "rude"),
        (["--script", "{folder}/none"], "No such file"),
        (["--require-key", "{folder}/script"], "expected a PEM public key"),
        (["--sign-with", "{folder}/script"], "expected an unencrypted PEM"),
    ],
)
def test_misuse_ends_with_2_and_says_what_was_expected(token, tmp_path, capsys, options, says):
    (tmp_path / "script").write_text("calls: [rude]")
    given = [option.format(folder=tmp_path) for option in options]
    with pytest.raises(SystemExit) as ended:
        main(["--token-file", str(token), *given])
    assert ended.value.code == 2
    assert says in capsys.readouterr().err


def test_the_help_and_the_page_name_every_fault_and_every_lie(capsys):
    # given the help, and the page's section
    with pytest.raises(SystemExit):
        main(["--help"])
    shown = capsys.readouterr().out
    section = read(ROOT / "docs" / "simulators.md").partition("\n## The clearinghouse\n")[2]
    tables = section.partition("\n## ")[0]

    # then each has its line in both
    for kind in (*FaultKind, *LieKind):
        assert re.search(rf"^  {kind} +\w", shown, re.MULTILINE), kind
        assert f"| `{kind}`" in tables, kind
