"""The file of the feeds: what it may say, and how it is told what is wrong with it."""

from pathlib import Path

import pytest
import yaml

from grid.config import FeedConfig, JsonConfig, Sep2Config, prices_of
from grid.config_file import FILE_MAX_BYTES, read_config
from grid.errors import GridConfigError
from grid.feeds import OPENERS, open_feed
from storage import secrets

UTILITY = {
    "name": "utility",
    "kind": "ieee2030.5",
    "url": "https://utility.example/dcap",
    "certificate": "client.pem",
    "key": "/etc/v2g/grid/client.key",
    "ca": "ca.pem",
    "programs": [{"match": {"mrid": "00AB"}, "program": "p1"}],
    "tariffs": [{"match": {"description": "RTP export"}, "program": "p1"}],
}
OPENADR = {
    "name": "rtp",
    "kind": "openadr3",
    "url": "https://vtn.example/openadr3",
    "token_url": "https://vtn.example/token",
    "client_id": "us",
    "client_secret_file": "secret",
    "programs": [{"match": {"name": "RTP"}, "program": "p2"}],
}
FILE = {"name": "day-file", "kind": "file", "path": "prices.csv", "program": "p3"}
LAB = {"name": "lab", "kind": "json", "url": "http://127.0.0.1:8081"}
COMED = {"name": "comed", "kind": "comed", "program": "p4"}
ROOT = Path(__file__).parents[2]


def written(folder: Path, *feeds: object) -> Path:
    path = folder / "grid.yaml"
    path.write_text(yaml.safe_dump({"feeds": list(feeds)}))
    return path


def problems(path: Path) -> list[str]:
    with pytest.raises(GridConfigError) as caught:
        read_config(path)
    return [problem.removeprefix(f"{path}: ") for problem in str(caught.value).splitlines()]


def test_every_kind_of_feed_stands_in_one_file(tmp_path):
    config = read_config(written(tmp_path, UTILITY, OPENADR, FILE, LAB, COMED))

    assert [feed.kind for feed in config.feeds] == [
        "ieee2030.5",
        "openadr3",
        "file",
        "json",
        "comed",
    ]
    assert {feed.kind for feed in config.feeds} == set(OPENERS)
    utility = config.feeds[0]
    assert isinstance(utility, Sep2Config)
    assert (utility.edition, utility.clock_tolerance_ms, utility.respond) == (2018, 50, True)
    # an mRID of digits keeps its zeros, in one way of writing it
    assert utility.programs[0].match.mrid == "00ab"
    # a file is meant beside the file that names it
    assert utility.certificate == tmp_path / "client.pem"
    assert utility.key == Path("/etc/v2g/grid/client.key")


def test_the_example_in_infra_can_be_used_as_it_is():
    config = read_config(ROOT / "infra" / "grid.example.yaml")

    assert {feed.kind for feed in config.feeds} == set(OPENERS)


def test_no_feed_is_a_file_of_feeds_too(tmp_path):
    assert read_config(written(tmp_path)).feeds == ()


@pytest.mark.parametrize(
    ("feed", "complaint"),
    [
        (UTILITY | {"certifcate": "x"}, "feeds[0] (utility).certifcate: no such key;"),
        (
            UTILITY | {"programs": [{"match": {"mrid": "00"}, "program": "p", "gruop": "n"}]},
            "feeds[0] (utility).programs[0].gruop: no such key;",
        ),
        (
            {key: value for key, value in UTILITY.items() if key != "ca"},
            "feeds[0] (utility).ca: missing",
        ),
        (UTILITY | {"edition": 2019}, "feeds[0] (utility).edition: '2019'; expected 2018 or 2023"),
        (
            UTILITY | {"url": "http://127.0.0.1/dcap"},
            "feeds[0] (utility).url: 'http://127.0.0.1/dcap'; expected https://",
        ),
        (
            UTILITY | {"programs": [{"match": {}, "program": "p"}]},
            "feeds[0] (utility).programs[0].match: expected one of description, href, mrid",
        ),
        (UTILITY | {"devices": ["0F5F"]}, "feeds[0] (utility).devices[0]: '0F5F'; "),
        (LAB | {"kind": "jsn"}, "feeds[0] (lab): kind 'jsn'; expected one of comed, file,"),
        ({"name": "lab"}, "feeds[0] (lab): kind missing; expected one of comed"),
        (LAB | {"url": "http://utility.example"}, "feeds[0] (lab).url: 'http://utility.example'; "),
        (LAB | {"url": "https://me:pass@utility.example"}, "feeds[0] (lab).url: "),
        (LAB | {"token_file": ""}, "feeds[0] (lab).token_file: expected the name of a file"),
        (LAB | {"name": "The Lab"}, "feeds[0] (The Lab).name: 'The Lab'; "),
        (LAB | {"deadline_s": 0}, "feeds[0] (lab).deadline_s: '0'; expected greater than"),
        (FILE | {"path": "prices.xls"}, "feeds[0] (day-file): path: 'prices.xls'; expected a name"),
        (FILE | {"timezone": "America/New_Yrk"}, "feeds[0] (day-file).timezone: "),
        ("lab", "feeds[0]: 'lab'; expected a valid dictionary"),
    ],
)
def test_what_is_wrong_is_named_with_its_place(tmp_path, feed, complaint):
    (problem,) = problems(written(tmp_path, feed))

    assert problem.startswith(complaint)


def test_everything_wrong_is_told_at_once(tmp_path):
    bad = [LAB | {"kind": "jsn"}, FILE | {"path": ""}, UTILITY | {"extra": 1, "edition": 1}]

    assert len(problems(written(tmp_path, *bad))) == 4


def test_a_secret_written_where_it_does_not_belong_is_not_repeated(tmp_path):
    secret = "hunter2-hunter2"
    found = problems(
        written(
            tmp_path,
            OPENADR | {"client_secret": secret},
            LAB | {"token": secret, "token_file": {"is": secret}},
            UTILITY | {"url": f"https://me:{secret}@utility.example"},
        )
    )

    assert len(found) == 4
    assert not any(secret in problem for problem in found)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("feeds: [", "no YAML: while parsing"),
        ("feeds: []\nfeeds: []\n", "no YAML: line 2: the key 'feeds' stands there twice"),
        ("", "the file: "),
        ("- feeds", "the file: "),
        ("feed: []\n", "feeds: missing"),
        ("feeds: &a [*a]\n", "no YAML: "),
    ],
)
def test_a_file_that_is_no_such_file_is_refused(tmp_path, text, complaint):
    path = tmp_path / "grid.yaml"
    path.write_text(text)

    assert problems(path)[0].startswith(complaint)


def test_a_file_that_is_not_there_or_too_long_is_refused(tmp_path):
    assert problems(tmp_path / "none.yaml")[0].startswith("cannot be read (No such file")
    path = tmp_path / "grid.yaml"
    path.write_bytes(b"#" * (FILE_MAX_BYTES + 1))
    assert problems(path)[0].startswith("longer than expected")


def test_two_feeds_of_one_name_are_refused(tmp_path):
    assert problems(written(tmp_path, LAB, FILE | {"name": "lab"})) == [
        "feeds: 'lab' is the name of 2 feeds; expected each name once"
    ]


def test_two_feeds_for_the_prices_of_one_program_are_refused(tmp_path):
    assert problems(written(tmp_path, UTILITY, FILE | {"program": "p1"})) == [
        "feeds: utility, day-file all state prices of program 'p1'; expected one of them"
    ]


def test_one_feed_at_most_speaks_for_whatever_nobody_claims(tmp_path):
    second = LAB | {"name": "second"}

    assert problems(written(tmp_path, LAB, second))[0].startswith(
        "feeds: lab, second may all state prices of any program; expected programs: […]"
    )
    config = read_config(written(tmp_path, LAB, second | {"programs": ["p9"]}))
    rest, named = config.feeds
    assert (set(prices_of(rest)), set(config.spoken_for(rest))) == (set(), {"p9"})
    assert (set(prices_of(named)), set(config.spoken_for(named))) == ({"p9"}, set())


def test_a_feed_is_opened_by_its_kind(tmp_path):
    feed: FeedConfig = JsonConfig(name="lab", kind="json", url="http://127.0.0.1:1")

    opened = open_feed(feed, secrets)

    assert (opened.name, opened.kind) == ("lab", "json")
