"""Accounts, in the state after a block."""

from lacnode.graphql.query_context import QueryContext
from lacnode.primitives.header import BlockHeader
from lacnode.rpc.errors import block_not_found


class GraphQlAccount:
    """The account at `address` (20 bytes) after the block of `header`. An account that does not exist is shown as
    empty. Each field raises MissingNodeError if the state is not kept."""

    def __init__(self, context: QueryContext, address: bytes, header: BlockHeader) -> None:
        self.address = address
        self._context = context
        self._header = header

    def balance(self) -> int:
        """Return the balance in wei. 0 for an unknown account."""
        return self._context.chain.state_at(self._header).balance(self.address)

    def transactionCount(self) -> int:
        """Return the nonce. 0 for an unknown account."""
        return self._context.chain.state_at(self._header).nonce(self.address)

    def code(self) -> bytes:
        """Return the code of the contract. Empty if there is none."""
        return self._context.chain.state_at(self._header).code(self.address)

    def storage(self, slot: bytes) -> bytes:
        """Return the value (32 bytes) of `slot` (32 bytes). Zeros if it is not set."""
        return self._context.chain.state_at(self._header).storage(self.address, int.from_bytes(slot)).to_bytes(32)


def account_at(context: QueryContext, address: bytes, number: int | None, own: BlockHeader) -> GraphQlAccount:
    """Return the account at `address` (20 bytes) after block `number`, or after the block of `own` if `number` is None.
    RpcError "Block not found" if there is no such block."""
    header = own if number is None else context.chain.header_at(number)
    if header is None:
        raise block_not_found()
    return GraphQlAccount(context, address, header)
