"""Whether proposals of later rounds must have round 0 in their extra data, for validators that accept nothing else (QBFT).

GoQuorum and Besu before 24.12 accept only blocks with round 0 in the extra data. Besu since 24.12 accepts that form too, but
not for a block that was prepared in it in a later round. So the old form is the better one where a node needs it: without it
such a node never prepares a later round. This file must not decide about the validity of a proposal.
"""

import re
from collections.abc import Callable, Collection, Sequence

from lacnode.chainspec.spec import ChainSpec
from lacnode.p2p.peer import Peer

FIRST_BESU_WITH_ROUNDS = (24, 12)
_BESU = re.compile(r"besu/(?:[^/]*/)?v?([0-9]{2})\.([0-9]{1,2})\b", re.ASCII | re.IGNORECASE)
_GOQUORUM = re.compile(r"^(geth|goquorum|quorum)/.*quorum", re.ASCII | re.IGNORECASE)
READ_CHARACTERS = 200
"""Characters of a client's name that are read. A peer may send a longer one."""


def accepts_only_round_zero(client_id: str) -> bool:
    """Return whether the client with the name `client_id` (of its Hello) accepts only proposals with round 0 in the
    extra data. These are GoQuorum and Besu before 24.12. False for an unknown name."""
    name = client_id[:READ_CHARACTERS]
    if _GOQUORUM.search(name):
        return True
    besu = _BESU.match(name)
    return besu is not None and (int(besu[1]), int(besu[2])) < FIRST_BESU_WITH_ROUNDS


class RoundZeroProposals:
    """Decides whether the extra data of this node's proposals has round 0 in every round, or the real round. `peers`
    gives the connected peers. Their client names decide it."""

    def __init__(self, spec: ChainSpec, peers: Callable[[], Sequence[Peer]]) -> None:
        self._is_goquorum = spec.goquorum is not None
        self._peers = peers

    def are_needed_for(self, validators: Collection[bytes]) -> bool:
        """Return whether proposals to `validators` (20-byte addresses) must have round 0 in their extra data. True if a
        connected one of them accepts only that, or if the genesis is GoQuorum's."""
        # A genesis of GoQuorum is enough: its validators may be down now and come back in the middle of the height.
        return self._is_goquorum or any(
            peer.address in validators and accepts_only_round_zero(peer.description.client_id) for peer in self._peers()
        )
