"""Contracts after one more transaction. They show what a change of rules would do, before the change is sent.

This file must not store anything.
"""

from collections.abc import Callable

from lacnode.chain.chain_contracts import ChainContracts
from lacnode.chainspec.spec import ChainSpec
from lacnode.consensus.protocols import protocols_of
from lacnode.evm.budget import ExecutionBudget
from lacnode.evm.engine import ExecutionEngine
from lacnode.permissioning.transaction_call import TransactionCall
from lacnode.primitives import rlp
from lacnode.primitives.header import BlockHeader
from lacnode.primitives.transaction import LEGACY, Transaction, encode_signed_transaction


class SimulatedContracts:
    """The state after `call` by `sender` (20 bytes), on the state after `header`. The call is executed in a block after
    `header`, also if it reverts (`succeeded` is False then). `reader` reads contracts at the block `header` of this
    object.

    Raises TransactionRejectedError if the transaction cannot be in the next block, SystemCallError if that block could
    not be made, ExecutionInterruptedError if `budget` is used up or cancelled, and StorageError if the state cannot be
    read. The rules about accounts are not checked.
    """

    def __init__(
        self,
        spec: ChainSpec,
        engine: ExecutionEngine,
        ancestor_hash: Callable[[int], bytes | None],
        header: BlockHeader,
        call: TransactionCall,
        sender: bytes,
        budget: ExecutionBudget,
    ) -> None:
        # The coinbase is the creator of `header`. It cannot be found out later: the seal of IBFT 1 covers the number.
        seen = protocols_of(spec).execution_header(header)
        # The transaction is executed in the next block, because a fork may begin there.
        next_header = seen.with_changes(number=header.number + 1, timestamp=header.timestamp + 1)
        nonce = engine.accounts(header.state_root).nonce(sender)
        block = engine.open_block(header.state_root, next_header, ancestor_hash)
        receipt = block.add(_unsigned_transaction(call, nonce, header.base_fee or 0), sender, budget)
        executed = block.close(budget)
        self.succeeded = receipt.status == 1
        """Whether the transaction succeeded."""
        self.header = next_header.with_changes(state_root=executed.state_root)
        self.reader = ChainContracts(
            spec, engine.with_nodes(executed.nodes), ancestor_hash, lambda simulated: simulated
        )
        # The new nodes are only in memory. The reader finds them there, and all others in the database.


def _unsigned_transaction(call: TransactionCall, nonce: int, gas_price: int) -> Transaction:
    """A transaction with a signature that is not checked: the caller names the sender when it executes the transaction."""
    fields: list[rlp.RlpValue] = [
        rlp.encode_scalar(nonce), rlp.encode_scalar(gas_price), rlp.encode_scalar(call.gas_limit), call.to or b"",
        rlp.encode_scalar(call.value), call.data,
    ]  # fmt: skip
    return Transaction.decode(encode_signed_transaction(LEGACY, fields, 27, 1, 1))
