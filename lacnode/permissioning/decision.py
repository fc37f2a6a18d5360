"""A decision about a connection or a transaction, with all facts that an operator needs to understand it.

The same value goes from the rule that made it to the RPC error, the log, the table of refused connections and `explain`.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Decision:
    """The answer and its reason. `allowed` is True for a permission.

    `rule` is a stable name in kebab case, such as `node-contract`, `local-accounts` or `validators-of-the-state`.
    `source` is the holder of the rule: the address of a contract in 0x-hexadecimal, the path of a file, `this node` or
    `genesis`. `block` is the number of the head or the parent block that the decision holds after. It is None if the
    decision does not depend on the chain, as with a local list. `reason` is one sentence without a full stop.
    """

    allowed: bool
    rule: str
    source: str
    block: int | None
    reason: str

    def to_json(self) -> dict[str, object]:
        """Return the decision in the form of an RPC result or of an RPC error's data. `blockNumber` is a 0x-hexadecimal
        quantity, or None. The other keys are the names of the fields."""
        return {
            "allowed": self.allowed,
            "rule": self.rule,
            "source": self.source,
            "blockNumber": None if self.block is None else hex(self.block),
            "reason": self.reason,
        }

    def __str__(self) -> str:
        # The text is for logs. It names the rule, so that an operator can find it in the documentation.
        place = self.source if self.block is None else f"{self.source} at block {self.block}"
        return f"{self.reason} ({self.rule}, {place})"
