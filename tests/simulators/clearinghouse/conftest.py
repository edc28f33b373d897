from contextlib import ExitStack

import pytest

from simulators.clearinghouse import WELL_BEHAVED, Authority, ClearingHouse
from tests.simulators.clearinghouse.caller import TOKEN, Caller


@pytest.fixture
def calling():
    """Gives a caller of a clearinghouse that misbehaves as said."""
    with ExitStack() as stack:

        def start(misbehaviour=WELL_BEHAVED, client=None, **options):
            house = stack.enter_context(
                ClearingHouse(token=TOKEN, misbehaviour=misbehaviour, **options)
            )
            caller = Caller(house, **(client or {}))
            stack.callback(caller.client.close)
            return caller

        yield start


@pytest.fixture(scope="module")
def caller():
    """A caller of a clearinghouse that a module's tests share, each with its own posting."""
    with ClearingHouse(token=TOKEN, misbehaviour=WELL_BEHAVED) as house:
        caller = Caller(house)
        yield caller
        caller.client.close()


@pytest.fixture(scope="session")
def authority(tmp_path_factory) -> Authority:
    return Authority(tmp_path_factory.mktemp("clearinghouse-tls"))
