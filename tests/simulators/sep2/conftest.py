import pytest

from tests.simulators.sep2.site import Site


@pytest.fixture(scope="session")
def site(tmp_path_factory) -> Site:
    return Site(tmp_path_factory.mktemp("sep2"))
