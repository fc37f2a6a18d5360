"""The proposer of a round (Besu's `ProposerSelector`, always round-robin)."""

from bisect import bisect_right


def proposer_for(validators: tuple[bytes, ...], parent_coinbase: bytes, round_: int) -> bytes:
    """The proposer's address for `round_` of the height after the block that `parent_coinbase` created.

    The rotation goes on from the creator of the parent block. A later round may have finalised that block. If the creator
    is a validator no longer, the rotation goes on from the position of its address. `validators` is ascending and not
    empty.
    """
    # The next address above the creator's, in ascending order. This holds for a removed creator, too.
    place = bisect_right(validators, parent_coinbase)
    return validators[(place + round_) % len(validators)]
