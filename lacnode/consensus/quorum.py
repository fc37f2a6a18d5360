"""How many validators are enough (IBFT 2.0 paper, section 4; Besu's `BftHelpers`)."""


def quorum(validators: int) -> int:
    """ceil(2n/3): commits that finalise a block, round changes that justify a new round."""
    return (2 * validators + 2) // 3


def prepares_needed(validators: int) -> int:
    """Prepares beside the proposal that make a block prepared: the proposer sends none."""
    return quorum(validators) - 1


def max_faulty(validators: int) -> int:
    """f = floor((n-1)/3): how many validators may lie or be gone."""
    return (validators - 1) // 3
