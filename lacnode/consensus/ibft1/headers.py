"""Who created an IBFT 1 block, and what it votes: both stand in other places than with IBFT 2.0 and QBFT.

The creator is the signer of the proposer seal. The coinbase is the address that the block votes about, and the nonce says
whether to add or to drop it.
"""

from functools import lru_cache

from lacnode.consensus.bft.extra_data import ExtraData, Vote, VoteType
from lacnode.consensus.bft.header_form import HeaderForm
from lacnode.consensus.bft.quorum import max_faulty, quorum
from lacnode.consensus.ibft1.block_hash import proposer_seal_digest
from lacnode.consensus.ibft1.extra_data import decode_extra_data
from lacnode.crypto.secp256k1 import SignatureError, recover_address
from lacnode.primitives.header import BlockHeader
from lacnode.primitives.rlp import RlpError

ADD_NONCE, DROP_NONCE = b"\xff" * 8, bytes(8)
_NO_ADDRESS = bytes(20)


class Ibft1HeaderForm(HeaderForm):
    """The form of IBFT 1. Blocks below height `two_thirds_begins` need 2f+1 seals, later ones ceil(2n/3). With None all
    blocks need 2f+1."""

    nonces = frozenset([ADD_NONCE, DROP_NONCE])
    seals_hint = " (by ceil2Nby3Block of the genesis file: blocks before it need 2f+1, later ones ceil(2n/3))"

    def __init__(self, two_thirds_begins: int | None) -> None:
        self._two_thirds_begins = two_thirds_begins

    def creator(self, header: BlockHeader) -> bytes:
        """The address (20 bytes) that signed the proposer seal. For the genesis block, which has none, the coinbase.
        Raises RlpError if the seal is missing or bad, or if the extra data is malformed.
        """
        if header.number == 0:
            return header.coinbase
        seal = decode_extra_data(header.extra_data).proposer_seal
        if not seal:
            raise RlpError("proposerSeal: it is missing")
        return _signer(proposer_seal_digest(header), seal)

    def vote(self, header: BlockHeader, extra: ExtraData) -> Vote | None:
        """The vote in coinbase and nonce. None for the genesis block and for a block without a vote."""
        # A block without a vote has the form of a vote to drop the address of zeros.
        if header.number == 0 or (header.coinbase == _NO_ADDRESS and header.nonce == DROP_NONCE):
            return None
        return Vote(header.coinbase, VoteType.ADD if header.nonce == ADD_NONCE else VoteType.DROP)

    def seals_needed(self, validators: int, height: int) -> int:
        """The least number of commit seals of block `height` with n `validators`, as many as GoQuorum's validators
        agree by: ceil(2n/3) from height `two_thirds_begins` on, and 2f+1 before it."""
        # Its header check asks for f+1 only. Any f faulty validators and one other could then make a second final block.
        if self._two_thirds_begins is not None and height >= self._two_thirds_begins:
            return quorum(validators)
        # With three validators this is one seal.
        return 2 * max_faulty(validators) + 1


@lru_cache(maxsize=1024)
def _signer(digest: bytes, seal: bytes) -> bytes:
    # Cached: the header rules, the votes and the execution of a block ask for its creator.
    try:
        return recover_address(digest, seal)
    except SignatureError as error:
        raise RlpError(f"proposerSeal: it recovers to no address: {error}") from None
