"""How many validators must agree (IBFT 2.0 paper, section 4, and Besu's `BftHelpers`)."""


def quorum(validators: int) -> int:
    """ceil(2n/3) of n `validators`: the commits that finalise a block, and the round changes that justify a new round."""
    # Any two quorums share more than f validators, so at least one correct one. That is why two blocks cannot be final.
    return (2 * validators + 2) // 3


def prepares_needed_beside_proposal(validators: int) -> int:
    """The prepares that make a proposal prepared if the proposer sends none, as in IBFT 2.0: `quorum(validators) - 1`.
    The proposal is not in this number. It counts as the missing one. If the proposer prepares too, as in QBFT, a whole
    quorum of prepares is needed: `Committee.prepares_needed` knows which of the two.
    """
    return quorum(validators) - 1


def max_faulty(validators: int) -> int:
    """f = floor((n-1)/3) of n `validators`: the number of validators that may be faulty or absent."""
    return (validators - 1) // 3
