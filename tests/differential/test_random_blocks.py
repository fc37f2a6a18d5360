"""A few random scenarios on both engines; `make fuzz` runs many."""

import pytest

from lacnode.chainspec.forks import Fork
from lacnode.evm.engine_kind import why_no_library
from tests.differential.scenarios import FORKS

if reason := why_no_library():
    pytest.skip(reason, allow_module_level=True)

from tests.differential.comparison import Count, differences

pytestmark = pytest.mark.filterwarnings("ignore:SELFDESTRUCT opcode:DeprecationWarning")

SEEDS_PER_FORK = 4
"""Other seeds are for `make fuzz`."""


@pytest.mark.parametrize("fork", FORKS, ids=lambda fork: fork.name)
def test_both_engines_say_the_same(fork: Fork) -> None:
    count = Count()
    found = [what for seed in range(SEEDS_PER_FORK) for what in differences(seed, fork, count)]
    assert found == []
    assert count.transactions, "the native engine left all blocks to py-evm"
