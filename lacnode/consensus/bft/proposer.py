"""The proposer of a round, always round-robin (Besu's `ProposerSelector`, and GoQuorum's `roundRobinProposer`)."""

from bisect import bisect_right

_NO_CREATOR = bytes(20)


def proposer_for(
    validators: tuple[bytes, ...], parent_creator: bytes, round_: int, *, follows_goquorum: bool = False
) -> bytes:
    """The address (20 bytes) of the proposer for `round_` of the height after the block that `parent_creator` created.
    `validators` is not empty. It is ascending, except with `follows_goquorum`.

    In round 0 the validator after the creator of the parent block proposes, and the rotation goes on from round to
    round. If the creator is a validator no longer, the next higher address proposes in round 0, and the first one if no
    address is higher. With `follows_goquorum` the second validator proposes then, and the first one after a genesis
    block, whose creator is the zero address.
    """
    if follows_goquorum:
        # With Besu's rule the two kinds of nodes would have different proposers in every round, and the chain would stop.
        place = int(parent_creator != _NO_CREATOR)
        if parent_creator in validators:
            place = validators.index(parent_creator) + 1
        return validators[(place + round_) % len(validators)]
    # The next address above the creator's, in ascending order. This holds for a removed creator, too.
    place = bisect_right(validators, parent_creator)
    return validators[(place + round_) % len(validators)]
