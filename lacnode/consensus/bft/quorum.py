"""How many validators must agree (IBFT 2.0 paper, section 4, and Besu's `BftHelpers`)."""


def quorum(validators: int) -> int:
    """ceil(2n/3) of n `validators`: the commits that finalise a block, and the round changes that justify a new round."""
    # Any two quorums share more than f validators, so at least one correct one. That is why two blocks cannot be final.
    return (2 * validators + 2) // 3


def prepares_needed(validators: int) -> int:
    """The number of prepares that make a proposal prepared. The proposer sends none: its proposal counts as one."""
    return quorum(validators) - 1


def max_faulty(validators: int) -> int:
    """f = floor((n-1)/3) of n `validators`: the number of validators that may be faulty or absent."""
    return (validators - 1) // 3
