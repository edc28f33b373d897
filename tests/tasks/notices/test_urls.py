"""S17: only one spelling of an allowed host is a destination; every way around that is refused."""

import pytest

from tasks.notices.allowed import read_allowed
from tasks.notices.errors import AllowFileError, DestinationRefusedError
from tasks.notices.urls import parse

BYPASSES = [
    "http://hooks.example.com/v2g",  # in the clear
    "HTTPS://hooks.example.com/v2g",
    "https://evil.example/v2g",
    "https://hooks.example.com.evil.example/v2g",
    "https://evilhooks.example.com/v2g",
    "https://sub.hooks.example.com/v2g",
    "https://Hooks.Example.COM/v2g",  # mixed case
    "https://hooks.example.com./v2g",  # a dot at the end
    "https://hooks.example.com@evil.example/v2g",  # a user
    "https://evil.example@hooks.example.com/v2g",
    "https://user:password@hooks.example.com/v2g",
    "https://hooks.example.com\\@evil.example/v2g",  # backslashes
    "https:\\\\hooks.example.com/v2g",
    "https://hooks.example.com/v2g#@evil.example",  # a fragment
    "https://hooks.example.com/v2g?token=secret",  # a query
    "https://hooks.example.com:8443/v2g",  # a port that nobody listed
    "https://hooks.example.com:443/v2g",  # a second spelling
    "https://hooks.example.com:0443/v2g",
    "https://hooks.example.com:99999/v2g",
    "https://hooks.example.com:/v2g",
    "https://hooks.example.com:80:443/v2g",
    "https://127.0.0.1/v2g",  # addresses in all their spellings
    "https://[::1]/v2g",
    "https://[::ffff:127.0.0.1]/v2g",
    "https://[64:ff9b::7f00:1]/v2g",
    "https://[fe80::1%25eth0]/v2g",
    "https://2130706433/v2g",
    "https://0x7f000001/v2g",
    "https://0x7f.1/v2g",
    "https://017700000001/v2g",
    "https://127.1/v2g",
    "https://127.0.0.1.nip.io/v2g",
    "https://hoo%6bs.example.com/v2g",  # escapes
    "https://hooks.example.com%00.evil.example/v2g",
    "https://hooks.example.com%2f@evil.example/v2g",
    "https://hooks.example.com/v2g/../../admin",
    "https://hooks.example.com/%2e%2e/admin",
    "https://hooks.example.com//evil.example",
    "https://hooks.example.com/v2g%0d%0aHost:%20evil",
    "https://hooks.example.com/v2g\r\nHost: evil.example",  # control characters
    "https://hooks.example.com\t/v2g",
    " https://hooks.example.com/v2g",
    "https://hooks.example.com/v2g ",
    "https://hooks.example.com/v2g\x00",
    "https://hooks.example.com\n",
    "https://hooks。example。com/v2g",  # full stops and letters of other scripts
    "https://hооks.example.com/v2g",
    "https://hooks.example.com℀.evil.example/v2g",
    "https://xn--hks-hna8u.example.com/v2g",  # punycode that nobody listed
    "https:hooks.example.com/v2g",
    "https:///hooks.example.com/v2g",
    "//hooks.example.com/v2g",
    "file:///etc/passwd",
    "https://",
    "",
    "https://" + "a" * 2000,
]


@pytest.fixture
def allowed(tmp_path):
    file = tmp_path / "hosts"
    file.write_text(
        "# receivers\n\nhooks.example.com\nother.example:8443 internal # a laboratory\n"
    )
    file.chmod(0o644)
    return read_allowed(file)


@pytest.mark.parametrize("url", BYPASSES)
def test_s17_a_way_around_the_list_of_hosts_is_refused_and_not_quoted(allowed, url):
    with pytest.raises(DestinationRefusedError) as caught:
        allowed.require(parse(url))

    assert "password" not in str(caught.value)
    assert "secret" not in str(caught.value)
    assert caught.value.expected


@pytest.mark.parametrize(
    ("url", "host", "port", "internal"),
    [
        ("https://hooks.example.com", "hooks.example.com", 443, False),
        ("https://hooks.example.com/", "hooks.example.com", 443, False),
        ("https://hooks.example.com/a/b-c_d~e;v=1,2:3@4%20", "hooks.example.com", 443, False),
        ("https://other.example:8443/v2g", "other.example", 8443, True),
    ],
)
def test_what_is_listed_and_written_the_one_way_is_a_destination(
    allowed, url, host, port, internal
):
    parsed = parse(url)

    assert (parsed.host, parsed.port, parsed.text) == (host, port, url)
    assert allowed.require(parsed) is internal


def test_an_address_is_a_destination_only_where_it_is_listed_itself(tmp_path):
    file = tmp_path / "hosts"
    file.write_text("127.0.0.1:8443 internal\n[2001:4860::1]\nhooks.example.com:443\n")
    file.chmod(0o600)
    listed = read_allowed(file)

    assert listed.require(parse("https://127.0.0.1:8443/x")) is True
    assert listed.require(parse("https://[2001:4860::1]/x")) is False
    assert listed.require(parse("https://hooks.example.com/x")) is False
    for other in ("https://127.0.0.2:8443/", "https://127.0.0.1/", "https://[2001:4860:0::1]/"):
        with pytest.raises(DestinationRefusedError):
            listed.require(parse(other))


@pytest.mark.parametrize(
    "line",
    ["https://hooks.example.com", "*.example.com", "hooks.example.com/path", "hooks.example.com interna",
     "a b c", "hooks.example.com:0", "user@hooks.example.com", "Hooks.example.com", "ünsafe.example"],
)  # fmt: skip
def test_a_line_that_is_no_host_spoils_the_file(tmp_path, line):
    file = tmp_path / "hosts"
    file.write_text(f"good.example.com\n{line}\n")
    file.chmod(0o644)

    with pytest.raises(AllowFileError):
        read_allowed(file)


@pytest.mark.parametrize("mode", [0o664, 0o646, 0o666, 0o622])
def test_s17_a_list_that_others_may_write_is_not_used(tmp_path, mode):
    file = tmp_path / "hosts"
    file.write_text("hooks.example.com\n")
    file.chmod(mode)

    with pytest.raises(AllowFileError, match="chmod go-w"):
        read_allowed(file)


def test_s17_a_link_a_folder_a_missing_file_and_one_in_an_open_folder_are_not_used(tmp_path):
    file = tmp_path / "hosts"
    file.write_text("hooks.example.com\n")
    file.chmod(0o644)
    link = tmp_path / "link"
    link.symlink_to(file)
    for path in (link, tmp_path, tmp_path / "none"):
        with pytest.raises(AllowFileError):
            read_allowed(path)
    tmp_path.chmod(0o777)
    with pytest.raises(AllowFileError, match="folder"):
        read_allowed(file)


def test_without_a_file_no_host_is_allowed():
    with pytest.raises(DestinationRefusedError, match="V2G_WEBHOOK_ALLOW_FILE"):
        read_allowed(None).require(parse("https://hooks.example.com/"))
