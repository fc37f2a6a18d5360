"""Headers above the head, verified one after the other before their bodies are here.

A header names its validators and has their seals, and votes are in headers. So the validators of the next block follow from
headers alone, without execution. Invented headers are refused before their peer is asked for anything else.

If a contract names the validators, only those of the block after the head are known. The seals of later headers are verified
when their block is imported. This file must not execute or store blocks, and must not know peers.
"""

from lacnode.chain.block_errors import BlockRefusedError
from lacnode.chain.block_verifier import BlockVerifier
from lacnode.chain.validator_history import next_tally
from lacnode.chain.verified_headers import VerifiedHeaders
from lacnode.chainspec.ibft_schedule import IbftSchedule
from lacnode.consensus.bft.protocol_schedule import ProtocolSchedule
from lacnode.consensus.bft.vote_tally import VoteTally
from lacnode.primitives.header import BlockHeader
from lacnode.primitives.rlp import RlpError


class VerifiedHeaderChain:
    """The headers after `header` that were added so far. `last` is the newest one, and `last_hash` its on-chain hash
    (32 bytes). At first they are `header` and `hash_`.

    `tally` has the validators of the block after `header`, and the open votes. None if these validators are unknown.
    Use the object from one thread at a time.
    """

    def __init__(
        self,
        header: BlockHeader,
        hash_: bytes,
        tally: VoteTally | None,
        schedule: IbftSchedule,
        protocols: ProtocolSchedule,
        verifier: BlockVerifier,
        verified: VerifiedHeaders,
    ) -> None:
        self.last = header
        self.last_hash = hash_
        self._tally = tally
        self._schedule = schedule
        self._protocols = protocols
        self._verifier = verifier
        self._verified = verified

    def verify_and_add_header(self, header: BlockHeader) -> bytes:
        """Add the next header, verified with its seals if its validators are known. Return its on-chain hash (32
        bytes). Nothing is stored.

        Raises BlockRefusedError if it breaks a rule or does not follow the last one. It is not added then.
        """
        try:
            hash_ = self._protocols.block_hash(header)
        except RlpError as error:
            raise BlockRefusedError("extra-data", str(error)) from None
        self._check_next(header)
        # The votes of this header count for the next one, so the tally moves on before that one comes.
        self._tally = next_tally(self._tally, header, self._schedule, self._protocols)
        self.last, self.last_hash = header, hash_
        return hash_

    def _check_next(self, header: BlockHeader) -> None:
        if self._tally is None:
            # Not added to the verified headers: the import checks coinbase and seals by the contract's answer.
            self._verifier.check_header_of_unknown_validators(header, self.last, self.last_hash)
            return
        self._verifier.check_sealed_header(
            header, self.last, self.last_hash, self._tally.validators, seals_verified=self._verified.has(header)
        )
        self._verified.record_verified_seals(header)
