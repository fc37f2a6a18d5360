"""Where the headers of a protocol say who created a block, what it votes, and how many seals it needs.

Besu's protocols, IBFT 2.0 and QBFT, share one form. A protocol with another form has a subclass in its own package.
"""

from lacnode.consensus.bft.extra_data import ExtraData, Vote
from lacnode.consensus.bft.quorum import quorum
from lacnode.primitives.header import BlockHeader


class HeaderForm:
    """The form of IBFT 2.0 and QBFT: the coinbase created the block, and the extra data has the vote."""

    nonces = frozenset([bytes(8)])
    """The nonces that a header may have, where the protocol checks them."""

    def creator(self, header: BlockHeader) -> bytes:
        """The address (20 bytes) of the validator that created the block. Raises RlpError if the header does not say it."""
        return header.coinbase

    def vote(self, header: BlockHeader, extra: ExtraData) -> Vote | None:
        """The vote of the header, None if it has none. `extra` is its decoded extra data."""
        return extra.vote

    seals_hint = ""
    """What an error about missing seals says at its end."""

    def seals_needed(self, validators: int, height: int) -> int:
        """The least number of commit seals of block `height` with this number of `validators`."""
        return quorum(validators)


BESU_HEADERS = HeaderForm()
