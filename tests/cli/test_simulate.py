"""`v2g simulate …`: what is listed exists and teaches; the grid runs by hand, and ends by Ctrl-C."""

import re
import signal
import ssl
import subprocess
import sys
from importlib import import_module

import httpx
import pytest
import yaml
from typer.testing import CliRunner

from cli.simulate import SIMULATORS, app
from simulators.sep2.__main__ import _certificates

DEADLINE_S = 60


def v2g(*arguments: str):
    return CliRunner().invoke(app, list(arguments))


def test_every_simulator_is_listed_and_has_a_main() -> None:
    listed = v2g("--help").output
    for simulator in SIMULATORS:
        assert re.search(rf"\b{simulator.name} ", listed, re.MULTILINE)
        assert callable(import_module(simulator.module).main)
        assert simulator.example.startswith(f"{simulator.name} ")


def test_help_teaches_with_an_example_and_the_simulators_own_options() -> None:
    said = v2g("grid", "--help").output
    assert "v2g simulate grid --certs certs" in said
    for word in ("--script", "--fault", "pages-endless", "--tls13-only"):
        assert word in said


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--fault", "melt"), "fault 'melt'"),
        (("--script", "nowhere.yaml"), "nowhere.yaml"),
        (("--edition", "2019"), "2019"),
        (("--certs", "half"), "server.pem"),
    ],
)
def test_misuse_is_told_and_ends_with_2(tmp_path, monkeypatch, arguments, said) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "half").mkdir()
    (tmp_path / "half" / "ca.pem").write_text("")
    done = v2g("grid", *arguments)
    assert (done.exit_code, said in done.output) == (2, True), done.output


def test_the_grid_runs_by_hand_with_certificates_that_stay(tmp_path) -> None:
    certificates = tmp_path / "certs"
    with subprocess.Popen(
        (sys.executable, "-m", "cli.main", "simulate", "grid", "--certs", certificates,
         "--fault", "error:/tm:times=1"),
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        try:
            assert process.stdout
            assert process.stderr
            url = process.stdout.readline().strip()
            shown = ""
            while "Ctrl-C" not in shown:
                line = process.stdout.readline()
                assert line, process.stderr.read()
                shown += line
            [feed] = yaml.safe_load(shown)["feeds"]
            assert feed["url"] == url
            context = ssl.create_default_context(cafile=feed["ca"])
            context.load_cert_chain(feed["certificate"], feed["key"])
            context.maximum_version = ssl.TLSVersion.TLSv1_2
            with httpx.Client(verify=context, timeout=DEADLINE_S) as client:
                base = url.removesuffix("/dcap")
                statuses = [
                    client.get(base + path).status_code
                    for path in ("/tm", "/tm", "/dcap", "/derp/1/derc?l=9")
                ]
            assert statuses == [503, 200, 200, 200]
            process.send_signal(signal.SIGINT)
            told, complaints = process.communicate(timeout=DEADLINE_S)
        finally:
            process.kill()
    assert process.returncode == 0, complaints
    assert "4 requests" in told
    assert "fault error: 1 times" in told
    # the next run takes the same certificates, so that nobody has to write the configuration anew
    _, _, kept = _certificates(certificates, expired=False)
    assert kept.lfdi in shown
