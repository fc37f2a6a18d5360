"""A decision about a connection or a transaction, and everything an operator needs to understand it.

One value travels from where it is made to the RPC error, the log, the table of refused connections and `explain`.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Decision:
    """Yes or no, and why.

    `rule` is a stable name in kebab case (`node-contract`, `local-accounts`, `validators-of-the-state`, ...); `source`
    what holds the rule: a contract's address in hexadecimal, a file's path, or `this node`; `block` the number of the
    block whose state was read, None where no state was; `reason` one sentence without a full stop.
    """

    allowed: bool
    rule: str
    source: str
    block: int | None
    reason: str

    def to_json(self) -> dict[str, object]:
        """For an RPC result or an error's data."""
        return {
            "allowed": self.allowed,
            "rule": self.rule,
            "source": self.source,
            "blockNumber": None if self.block is None else hex(self.block),
            "reason": self.reason,
        }

    def __str__(self) -> str:
        place = self.source if self.block is None else f"{self.source} at block {self.block}"
        return f"{self.reason} ({self.rule}, {place})"
