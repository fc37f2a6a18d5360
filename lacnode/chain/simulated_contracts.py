"""Contracts as they would be after one more transaction: what a change of rules would lead to, before it is sent.

Must not store anything.
"""

from collections.abc import Callable

from lacnode.chain.chain_contracts import ChainContracts
from lacnode.chainspec.spec import ChainSpec
from lacnode.evm.budget import ExecutionBudget
from lacnode.evm.engine import ExecutionEngine
from lacnode.permissioning.transaction_call import TransactionCall
from lacnode.primitives import rlp
from lacnode.primitives.header import BlockHeader
from lacnode.primitives.transaction import LEGACY, Transaction, sign_payload


class SimulatedContracts:
    """The state after `call` by `sender` on the state after `header`, of a chain with `ancestor_hash`.

    TransactionRejectedError if the transaction cannot be in the next block, ExecutionInterruptedError if it takes
    longer than
    `budget` says. The account permissions are not asked.
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
        next_header = header.with_changes(number=header.number + 1, timestamp=header.timestamp + 1)
        nonce = engine.accounts(header.state_root).nonce(sender)
        block = engine.open_block(header.state_root, next_header, ancestor_hash)
        receipt = block.add(_unsigned(call, nonce, header.base_fee or 0), sender, budget)
        executed = block.close(budget)
        self.succeeded = receipt.status == 1
        """Whether the transaction did what it was to do."""
        self.header = next_header.with_changes(state_root=executed.state_root)
        self.reader = ChainContracts(spec, engine.with_nodes(executed.nodes), ancestor_hash)


def _unsigned(call: TransactionCall, nonce: int, gas_price: int) -> Transaction:
    """A transaction with a signature that nothing checks: its sender is said where it is executed."""
    fields: list[rlp.RlpValue] = [
        rlp.scalar(nonce), rlp.scalar(gas_price), rlp.scalar(call.gas_limit), call.to or b"",
        rlp.scalar(call.value), call.data,
    ]  # fmt: skip
    return Transaction.decode(sign_payload(LEGACY, fields, 27, 1, 1))
