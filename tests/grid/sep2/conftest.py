"""The utility of ``tests.grid.sep2.site``; its certificates are made once per module."""

from pathlib import Path

import pytest

from tests.grid.sep2.site import Utility, utility


@pytest.fixture(scope="module")
def certificates(tmp_path_factory) -> Path:
    return Path(tmp_path_factory.mktemp("sep2"))


@pytest.fixture
def site(certificates) -> Utility:
    return utility(certificates)
