"""Whose turn it is to propose (Besu's `ProposerSelector`, always round-robin)."""

from bisect import bisect_right


def proposer_for(validators: tuple[bytes, ...], parent_coinbase: bytes, round_: int) -> bytes:
    """The proposer's address for `round_` of the height after the block that `parent_coinbase` created.

    Rotation goes on from the creator of the parent block, which a later round may have finalised. If that creator is no
    validator any more, it goes on from the place where it would stand. `validators` is ascending and not empty.
    """
    place = bisect_right(validators, parent_coinbase)
    return validators[(place + round_) % len(validators)]
