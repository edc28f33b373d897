"""A fuzzed process whose decoder breaks: shows that a run would notice one that does."""

import sys

import atheris  # type: ignore[import-untyped]


def break_on_purpose(data: bytes) -> None:
    """Raise what no decoder may raise."""
    if len(data) > 1:
        raise IndexError("broke on purpose")


def main() -> None:
    """Fuzz until it breaks."""
    atheris.Setup([sys.argv[0], *sys.argv[2:]], break_on_purpose)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
