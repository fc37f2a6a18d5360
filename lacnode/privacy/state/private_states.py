"""The private states of this node, by group and by public block.

A read waits a short time for private execution. So a client that has seen its marker mined finds the private state after it.
The content of a group is for its members alone. The caller of these methods has to check that.
"""

from collections.abc import Callable

from lacnode.evm.engine import StateView
from lacnode.evm.private_message import PrivateMessage, PrivateResult
from lacnode.primitives.header import BlockHeader
from lacnode.privacy.state.flexible.group_contract_queries import QUERY_GAS_PRICE_WEI, Ask
from lacnode.privacy.state.privacy_context import PrivacyContext
from lacnode.privacy.state.privacy_marker import PROXY_ADDRESS
from lacnode.privacy.state.private_store import PrivateNodeStore
from lacnode.privacy.state.processor import PrivateProcessor

PROCESSOR_WAIT_SECONDS = 2.0
"""The time that a read waits for private execution to reach the public head."""


class PrivateStates:
    """The private states of this node. `accounts` returns the accounts of a state by its root (32 bytes). Safe to use
    from any thread."""

    def __init__(
        self, context: PrivacyContext, processor: PrivateProcessor, accounts: Callable[[bytes], StateView]
    ) -> None:
        self._context = context
        self._processor = processor
        self._accounts = accounts
        self._store = PrivateNodeStore(context.database)

    def wait_until_executed(self, number: int | None = None) -> bool:
        """Wait `PROCESSOR_WAIT_SECONDS` at most until block `number`, or the public head for None, is executed
        privately. Return True if it is. There is no wait if the manager does not answer or many blocks are left."""
        return self._processor.progress.wait_for(
            self._context.head() if number is None else number, PROCESSOR_WAIT_SECONDS
        )

    def root_at(self, group_id: bytes, number: int) -> bytes:
        """Return the state root (32 bytes) of the group `group_id` (32 bytes) after block `number`, as far as it is
        executed: this does not wait. The root of the empty trie if the group has no state."""
        return self._processor.root_at(group_id, number)

    def state_at(self, group_id: bytes, number: int) -> StateView:
        """Return the group's own accounts after block `number`, as far as it is executed: this does not wait. Public
        accounts are not among them."""
        return self._accounts(self.root_at(group_id, number))

    def accounts_of(self, root: bytes) -> StateView:
        """Return the accounts of the private state with this root (32 bytes). A root that is not stored is no error
        here: the first question about an account then raises MissingNodeError."""
        return self._accounts(root)

    def next_nonce(self, sender: bytes, group_id: bytes) -> int:
        """Return the next private nonce of the account `sender` (20 bytes) in the group `group_id` (32 bytes), 0 for a
        new account. This waits a short time for private execution. Transactions that wait to be mined do not count."""
        self.wait_until_executed()
        return self.state_at(group_id, self._context.head()).nonce(sender)

    def prepare_call(
        self, group_id: bytes, header: BlockHeader, sender: bytes, to: bytes, data: bytes, price: int
    ) -> tuple[bytes, PrivateMessage]:
        """Return the root (32 bytes) of the group's state after the block of `header`, and a call of `sender` to `to`
        (20 bytes each) with `data` as a message for this state. `price` is the gas price in wei per gas. This waits a
        short time for private execution. Nothing is executed."""
        self.wait_until_executed(header.number)
        root = self.root_at(group_id, header.number)
        return root, PrivateMessage(sender, self._accounts(root).nonce(sender), to, None, data, price)

    def contract_asker(self, group_id: bytes, number: int | None, deadline_seconds: float) -> Ask:
        """Return a function that asks the contract of a flexible group in the group's state after block `number`, or
        after the head for None. It takes call data and returns the output, None if the call fails or the block is
        unknown. The function raises CallLimitExceededError at `deadline_seconds` on the monotonic clock, and
        MissingNodeError if the state of the block is not kept."""
        block = self._context.history.block_at(self._context.head() if number is None else number)

        def ask(data: bytes) -> bytes | None:
            if block is None:
                return None
            # This does not wait for private execution: `FlexibleGroups` has waited once for all its questions.
            root = self.root_at(group_id, block.number)

            def execute() -> bytes | None:
                nonce = self._accounts(root).nonce(bytes(20))
                message = PrivateMessage(bytes(20), nonce, PROXY_ADDRESS, None, data, QUERY_GAS_PRICE_WEI)
                # The question is executed on the state of the block, with a time limit: the contract is other members'
                # work.
                result = self._execute(block.header, root, message, deadline_seconds)
                return result.output if result.success else None

            answers = self._processor.contract_answers
            return answers.ask(root, self._store.get, block.header.gas_limit, data, execute)

        return ask

    def _execute(
        self, header: BlockHeader, root: bytes, message: PrivateMessage, deadline_seconds: float
    ) -> PrivateResult:
        # The public state after the block is opened, so the private message sees the public accounts of that time.
        history = self._context.history
        # COINBASE is the creator of the block, which in IBFT 1 is not the coinbase of its header.
        seen = history.protocols.execution_header(header)
        block = self._context.engine.open_block(header.state_root, seen, history.hash_at)
        return block.execute_private(self._store, root, message, deadline=deadline_seconds)
