"""Why a block is refused, in a stable word and a sentence. Must not be raised for trouble of our own (storage)."""


class BlockRefusedError(Exception):
    """A block breaks a rule; nothing of it is stored. `rule` is a stable name, `str()` a sentence."""

    def __init__(self, rule: str, text: str) -> None:
        super().__init__(text)
        self.rule = rule


class UnknownParentError(BlockRefusedError):
    """The block may be good, but what it follows is not here."""

    def __init__(self, number: int, parent_hash: bytes) -> None:
        super().__init__("unknown-parent", f"block {number} follows 0x{parent_hash.hex()}, which is not known here")
        self.parent_hash = parent_hash


class WrongGenesisError(Exception):
    """The data directory holds the chain of another genesis; the message names both hashes."""
