"""The reasons to refuse a block. Do not raise these for a fault of this node, such as a failure of its storage."""


class BlockRefusedError(Exception):
    """A block is refused, and nothing of it is stored. It breaks a rule, or a subclass says why it cannot be judged
    here. `rule` is a stable name, and `str()` is a sentence."""

    def __init__(self, rule: str, text: str) -> None:
        super().__init__(text)
        self.rule = rule


class InvalidSealedHeaderError(BlockRefusedError):
    """A header with seals is invalid: it breaks a rule, or its seals are not those of a quorum. No quorum can have
    decided this block. Another peer may have the true block of this height."""


class InternalBlockError(BlockRefusedError):
    """The check of a block met an error that no rule expects: a fault of this program. The block may be valid."""

    def __init__(self, fault: Exception) -> None:
        super().__init__("internal-error", f"an internal error: {fault!r}")


class UnknownParentError(BlockRefusedError):
    """The parent of the block, with the hash `parent_hash` (32 bytes), is unknown here. The block itself may be
    valid."""

    def __init__(self, number: int, parent_hash: bytes) -> None:
        super().__init__("unknown-parent", f"block {number} follows 0x{parent_hash.hex()}, which is not known here")
        self.parent_hash = parent_hash


class WrongGenesisError(Exception):
    """The data directory has the chain of another genesis, or one by other rules of consensus.

    The text names both hashes, or the block and the rule.
    """
