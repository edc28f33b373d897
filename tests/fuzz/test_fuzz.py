"""Every decoder meets its corpus, and a short time of inputs made from it."""

import importlib.util
from pathlib import Path

import pytest

from tests.fuzz.decoders import DECODERS, decode
from tests.fuzz.running import CORPUS, fuzz, seeds

SHORT_SECONDS = 2
RUNS_MIN = 1_000

needs_atheris = pytest.mark.skipif(
    importlib.util.find_spec("atheris") is None, reason="atheris has no wheel for this Python"
)


@pytest.mark.parametrize("decoder", DECODERS)
def test_no_kept_input_does_more_than_be_refused(decoder: str) -> None:
    kept = list(seeds(decoder))
    assert kept
    for file in kept:
        decode(decoder, file.read_bytes())


def test_the_corpus_has_a_folder_for_every_decoder_and_no_other() -> None:
    assert {folder.name for folder in CORPUS.iterdir()} == set(DECODERS)


@needs_atheris
@pytest.mark.slow
@pytest.mark.parametrize("decoder", DECODERS)
def test_no_input_made_from_them_breaks_a_decoder(decoder: str) -> None:
    # given a short time
    run = fuzz(decoder, SHORT_SECONDS)
    # then nothing broke, and it was not for want of trying
    assert not run.failed, run.output[-4000:]
    assert run.runs > RUNS_MIN, run.output[-4000:]


@needs_atheris
def test_a_decoder_that_breaks_is_noticed(tmp_path: Path) -> None:
    # given a process that raises what no decoder may
    run = fuzz("packet", 1, target="tests.fuzz.broken_target", keep_in=tmp_path)
    # then the run says so
    assert run.failed
    assert "broke on purpose" in run.output
    # and keeps the input
    assert list(tmp_path.glob("broken-packet-*"))
