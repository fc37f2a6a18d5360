"""What this validator knows about the block of a height across all rounds: the prepared block, and the import.

A block that was prepared binds this validator for the rest of the height. A block that was decided is final.
"""

from lacnode.consensus.bft.effects import Effect, ImportBlock, RecordPrepared, SignPayload
from lacnode.consensus.bft.prepared_block import PreparedBlock
from lacnode.consensus.bft.round import Round


class BlockDecision:
    """The decision at one height. `prepared` is the block of the highest round that was seen prepared.

    `importing` is the digest (32 bytes) of the agreed block while it is being imported, otherwise None.
    """

    def __init__(self, prepared: PreparedBlock | None) -> None:
        self.prepared = prepared
        self.importing: bytes | None = None
        self._importing_round = 0
        self._not_importable: set[tuple[int, bytes | None]] = set()
        """Rounds and digests of blocks that could not be imported. The seals of another round make another block."""

    def commit_or_import(self, round_: Round) -> list[Effect]:
        """Return the effects that follow from the counted messages of `round_`. If a quorum has prepared its block,
        this becomes `prepared`, and the effects record it in the journal and then sign a commit. If a quorum has
        committed the block, it becomes `importing`, and the effect imports it. That waits while another import is under
        way: the next call after its failure returns the effect. Each of the two happens at most once in a round. The
        list is empty if there is nothing new."""
        effects: list[Effect] = []
        if round_.is_prepared and (self.prepared is None or self.prepared.round < round_.number):
            self.prepared = round_.prepared_block
            # The proof is on disk before the commit is signed. A validator that commits, crashes and forgets the block
            # could help to prepare another block in a later round, and two blocks could become final.
            effects += [RecordPrepared(self.prepared), SignPayload(round_.own_commit)]
        # q commits decide even if this validator lacks prepares: they may have been lost on the way.
        digest = round_.digest
        may_import = self.importing is None and (round_.number, digest) not in self._not_importable
        if digest is not None and round_.is_committed and may_import:
            self.importing, self._importing_round = digest, round_.number
            effects.append(ImportBlock(digest, round_.sealed_block))
        return effects

    def record_import_failure(self, digest: bytes) -> bool:
        """Record that the agreed block with this `digest` (32 bytes) could not be imported. Return True, or False
        without effect if this block is not being imported. Further commits of the same round do not start the import
        again. Synchronisation brings the block, or a later round in which a quorum commits it.
        """
        if self.importing != digest:
            return False
        self.importing = None
        self._not_importable.add((self._importing_round, digest))
        return True
