"""A pytest plugin for mutation runs: properties with few examples, the same ones every time.

A mutant is judged by hundreds of runs of the suite, so each must be short and give the same verdict
again; a counterexample need not be made small, one is enough.
"""

from collections.abc import Sequence
from typing import Final

import pytest
from hypothesis import Phase, settings

EXAMPLES: Final = 15

KEPT: Final = "_hypothesis_internal_use_settings"
"""Where Hypothesis keeps what ``@settings`` said of a test; it has no other door."""


def pytest_collection_modifyitems(items: Sequence[pytest.Item]) -> None:
    """Give every property the short settings, whatever its own say."""
    for item in items:
        test = getattr(item, "obj", None)
        own = getattr(test, KEPT, None)
        if own is not None:
            short = settings(
                own,
                max_examples=min(own.max_examples, EXAMPLES),
                derandomize=True,
                database=None,
                deadline=None,
                phases=(Phase.explicit, Phase.generate),
            )
            setattr(test, KEPT, short)
