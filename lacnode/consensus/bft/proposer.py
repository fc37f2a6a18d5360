"""The proposer of a round, always round-robin (Besu's `ProposerSelector`, and GoQuorum's `roundRobinProposer`)."""

from bisect import bisect_right

_NO_CREATOR = bytes(20)


def proposer_for(
    validators: tuple[bytes, ...], parent_coinbase: bytes, round_: int, *, follows_goquorum: bool = False
) -> bytes:
    """The address (20 bytes) of the proposer for `round_` of the height after the block that `parent_coinbase` created.

    The rotation goes on from the creator of the parent block. A later round may have finalised that block. If the
    creator is a validator no longer, the rotation goes on from the position of its address. With `follows_goquorum` it
    goes on from the first validator then, and `validators` may have another order. Otherwise `validators` is ascending.
    It is not empty.
    """
    if follows_goquorum:
        # With Besu's rule the two kinds of nodes would have different proposers in every round, and the chain would stop.
        place = int(parent_coinbase != _NO_CREATOR)
        if parent_coinbase in validators:
            place = validators.index(parent_coinbase) + 1
        return validators[(place + round_) % len(validators)]
    # The next address above the creator's, in ascending order. This holds for a removed creator, too.
    place = bisect_right(validators, parent_coinbase)
    return validators[(place + round_) % len(validators)]
