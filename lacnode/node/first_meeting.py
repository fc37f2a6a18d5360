"""When a validator that has nothing but the genesis may take part.

Validators that lost their data are a quorum without memory: together they could agree on another block 1 before they
have the chain that there is. So they first wait until the others have been met and none of them has a chain, or until a
little while has passed.
"""

from collections.abc import Callable, Sequence

import trio

from lacnode.chain.blockchain import Blockchain
from lacnode.p2p.peer import Peer

MEETING_SECONDS = 10.0
"""How long a validator with nothing but the genesis waits for the others to be met."""


async def wait_for_first_meeting(
    chain: Blockchain, peers: Callable[[], Sequence[Peer]], own_address: bytes, moved: Callable[[], trio.Event]
) -> None:
    """Return when the validator at `own_address` may take part. `moved()` is set when a peer joins or leaves and when
    the head changes."""
    with trio.move_on_after(MEETING_SECONDS):
        while chain.head.header.number == 0 and not _is_new_network(chain, peers(), own_address):
            await moved().wait()


def _is_new_network(chain: Blockchain, peers: Sequence[Peer], own_address: bytes) -> bool:
    """Whether every validator has been met, and none is ahead. False where this node is no validator."""
    validators = chain.validators_after(chain.head.header)
    met = {peer.address for peer in peers} | {own_address}
    is_ahead = any(peer.head_number > 0 for peer in peers)
    return own_address not in validators or (met.issuperset(validators) and not is_ahead)
