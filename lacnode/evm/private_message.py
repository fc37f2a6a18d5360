"""Executing one private message: on a group's private state, with the public state of a moment visible behind it.

An account that is not empty in the private state is the private one. The public one behind it can be read and called,
but not changed (Besu, `PrivateMutableWorldStateUpdater`). No gas is bought: contracts see 2^63-1 of it. A message
that spends more than the block's gas limit fails, at every member alike.
"""

from dataclasses import dataclass

from lacnode.primitives.receipt import Log

PRIVATE_GAS = 2**63 - 1
"""Gas that a private message may spend, as contracts see it."""


@dataclass(frozen=True, slots=True, repr=False)
class PrivateMessage:
    """A private transaction as the EVM needs it. `to` is None for a creation, which makes the contract `created`.
    Addresses have 20 bytes. `gas_price` is in wei, for the code to read. It carries no value."""

    sender: bytes
    nonce: int
    to: bytes | None
    created: bytes | None
    data: bytes
    gas_price: int = 0

    def __repr__(self) -> str:
        return f"PrivateMessage({len(self.data)} bytes)"


@dataclass(frozen=True, slots=True, repr=False)
class PrivateResult:
    """The outcome. Where the message failed, `state_root` is the one it began with, and there are no logs, output and
    nodes. `revert_reason` is the output of a REVERT that ended the message, None if the message ended in another way.
    `nodes` (by hash, None if it failed) make `state_root` readable, with those of the state before."""

    success: bool
    state_root: bytes
    output: bytes = b""
    logs: tuple[Log, ...] = ()
    revert_reason: bytes | None = None
    nodes: dict[bytes, bytes] | None = None

    def __repr__(self) -> str:
        return f"PrivateResult(success={self.success})"
