"""How long a proposer counts whose proposal was refused for its size. That the bounds end is tested on a chain."""

import pytest

from lacnode.chain.block_errors import BlockRefusedError
from lacnode.chain.proposal_sizes import PROPOSER_SECONDS, ProposalSizeBounds
from lacnode.evm.budget import ExecutionBudget, SizeExceededError

VALIDATORS = tuple(bytes([number]) * 20 for number in range(4))


class Chain:
    """A chain's bounds, with a clock that the test sets."""

    def __init__(self) -> None:
        self.now = 0.0
        self.sizes = ProposalSizeBounds(lambda: self.now)

    def bounds_proposal(self, proposer: bytes, validators: tuple[bytes, ...] = VALIDATORS) -> bool:
        """Whether a proposal that is far too large is refused."""
        try:
            with self.sizes.bounded_budget(ExecutionBudget(), proposer, validators, is_prepared=False) as budget:
                if budget.sizes is None:
                    return False
                raise SizeExceededError("it is large")
        except BlockRefusedError:
            return True


def test_a_refused_proposer_counts_for_a_day() -> None:
    chain = Chain()
    assert [chain.bounds_proposal(each) for each in VALIDATORS[:3]] == [True, True, False]
    chain.now = PROPOSER_SECONDS - 1
    assert not chain.bounds_proposal(VALIDATORS[0])
    chain.now = PROPOSER_SECONDS
    assert [chain.bounds_proposal(each) for each in VALIDATORS[:3]] == [True, True, False]


def test_a_former_validator_does_not_count() -> None:
    chain = Chain()
    assert chain.bounds_proposal(VALIDATORS[0])
    others = (*VALIDATORS[1:], b"\x09" * 20)
    assert [chain.bounds_proposal(each, others) for each in others[:3]] == [True, True, False]


@pytest.mark.parametrize(("count", "refused"), [(1, 1), (3, 1), (4, 2), (7, 3)])
def test_one_more_than_may_be_faulty_ends_the_bounds(count: int, refused: int) -> None:
    chain, validators = Chain(), tuple(bytes([number]) * 20 for number in range(count))
    found = [chain.bounds_proposal(validators[index % count], validators) for index in range(count + 1)]
    assert found == [True] * refused + [False] * (count + 1 - refused)
