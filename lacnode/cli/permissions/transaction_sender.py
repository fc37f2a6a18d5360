"""Changing a contract: try the call, sign it with a key file, send it, wait for its receipt."""

import time
from collections.abc import Mapping

from lacnode.cli.errors import UsageError
from lacnode.cli.permissions.node_client import NodeClient
from lacnode.cli.permissions.printable_text import printable
from lacnode.crypto.node_key import NodeKey
from lacnode.primitives import rlp
from lacnode.primitives.hexadecimal import from_hex, to_hex
from lacnode.primitives.keccak import keccak256
from lacnode.primitives.revert_text import revert_text
from lacnode.rpc.json_rpc_client import CallRefusedError, read_quantity

RECEIPT_SECONDS = 120.0
POLL_SECONDS = 0.1
GAS_FACTOR, MIN_GAS = 2, 600_000
"""Gas of a transaction: a multiple of the estimate, and a minimum. LACChain's rules require a gas limit far above the
used gas."""


class TransactionSender:
    """Sends transactions signed with `key` through the node of `client`."""

    def __init__(self, client: NodeClient, key: NodeKey) -> None:
        self._client = client
        self._key = key

    @property
    def address(self) -> bytes:
        """The 20-byte address of the sender."""
        return self._key.address

    def send_and_wait_for_block(self, contract: bytes, data: bytes) -> int:
        """Send a call of `contract` (20-byte address) with the call data `data`, and wait for its block. Return the
        number of the block that has the transaction. UsageError with the reason if the change cannot be made or has
        failed, if it would lock every administrator out (checked only if the node can simulate it), or if no block has
        it within `RECEIPT_SECONDS`. In the last case, and if the node stops answering after the transaction was sent,
        the change may still be made."""
        # The estimate comes first: it executes the call, so a contract that refuses the change is found before anything
        # is signed.
        gas = self._gas(contract, data)
        # Nothing can undo a change that locks all administrators out, so this comes before the signature.
        self._check_way_back(contract, data)
        try:
            raw = _sign_contract_call(
                self._key,
                chain_id=self._client.call_for_quantity("eth_chainId"),
                # Pending transactions of the same key count: a second command must not replace the transaction of the
                # first.
                nonce=self._client.call_for_quantity("eth_getTransactionCount", to_hex(self._key.address), "pending"),
                gas_price=self._client.call_for_quantity("eth_gasPrice"),
                gas=gas,
                contract=contract,
                data=data,
            )
            self._client.call("eth_sendRawTransaction", to_hex(raw))
        except CallRefusedError as failure:
            raise UsageError(f"the node does not take the transaction: {_told(failure)}") from None
        # Of the own bytes, not of the answer: the receipt that is asked for must be the one of this transaction.
        hash_ = to_hex(keccak256(raw))
        try:
            return self._wait(hash_)
        except KeyboardInterrupt:
            raise KeyboardInterrupt(f"transaction {hash_} was sent, and may be in a block") from None

    def _gas(self, contract: bytes, data: bytes) -> int:
        request = {"from": to_hex(self._key.address), "to": to_hex(contract), "data": to_hex(data)}
        try:
            return max(MIN_GAS, GAS_FACTOR * self._client.call_for_quantity("eth_estimateGas", request))
        except CallRefusedError as failure:
            raise UsageError(f"the contract {to_hex(contract)} refuses the change: {_told(failure)}") from None

    def _check_way_back(self, contract: bytes, data: bytes) -> None:
        """Raise UsageError if no administrator could change the rules after this call. A node that cannot simulate
        the change does not stop it."""
        request = {"from": to_hex(self._key.address), "to": to_hex(contract), "data": to_hex(data)}
        try:
            outlook = self._client.call("lac_simulatePermissionChange", request)
        except CallRefusedError:
            return
        if isinstance(outlook, Mapping) and outlook.get("locksOut") is True:
            raise UsageError(
                "not sent: after this change no administrator could change the rules any more. First see that another "
                "administrator may send to the contracts that hold the rules"
            )

    def _wait(self, hash_: str) -> int:
        # Blocks come every few seconds. A network without a quorum makes none, and the command must end all the same.
        deadline = time.monotonic() + RECEIPT_SECONDS
        while time.monotonic() < deadline:
            receipt = self._receipt(hash_)
            if receipt is not None:
                number = read_quantity(receipt.get("blockNumber"))
                if number is None:
                    raise UsageError(f"transaction {hash_} was sent; the receipt that the node gives names no block")
                # The trial may have passed on an older state. Only the receipt says that the change was made.
                if receipt.get("status") != "0x1":
                    raise UsageError(f"transaction {hash_} failed in block {number}; nothing was changed")
                return number
            time.sleep(POLL_SECONDS)
        raise UsageError(f"transaction {hash_} is in no block after {RECEIPT_SECONDS:.0f} s; it may still come")

    def _receipt(self, hash_: str) -> Mapping[str, object] | None:
        """Return the receipt of a transaction, None while no block has it. UsageError, with the hash, if the node does
        not tell: the transaction is on its way then, and must not be sent again unseen."""
        try:
            receipt = self._client.call("eth_getTransactionReceipt", hash_)
        except CallRefusedError as refusal:
            raise UsageError(
                f"transaction {hash_} was sent, and may be in a block: {self._client.explain_refusal(refusal)}"
            ) from None
        except UsageError as silent:
            raise UsageError(f"transaction {hash_} was sent, and may be in a block: {silent}") from None
        return receipt if isinstance(receipt, Mapping) else None


def _sign_contract_call(
    key: NodeKey, *, chain_id: int, nonce: int, gas_price: int, gas: int, contract: bytes, data: bytes
) -> bytes:
    """Return a signed legacy transaction (EIP-155) that calls `contract` (20-byte address) with the call data `data`
    and no value, encoded for `eth_sendRawTransaction`.

    `gas_price` is in wei.
    """
    fields: list[rlp.RlpValue] = [
        rlp.encode_scalar(nonce), rlp.encode_scalar(gas_price), rlp.encode_scalar(gas), contract, rlp.encode_scalar(0), data,
    ]  # fmt: skip
    # A legacy transaction is valid on networks of every fork. The chain id in the signed hash keeps it from other
    # networks.
    digest = keccak256(rlp.encode([*fields, rlp.encode_scalar(chain_id), b"", b""]))
    signature = key.sign(digest)
    v = 35 + 2 * chain_id + signature[64]
    r, s = int.from_bytes(signature[:32]), int.from_bytes(signature[32:64])
    return rlp.encode([*fields, rlp.encode_scalar(v), rlp.encode_scalar(r), rlp.encode_scalar(s)])


def _told(failure: CallRefusedError) -> str:
    """Return the error as text, with the reason of a revert or a refusal if the node gave one."""
    data = failure.data
    if isinstance(data, Mapping) and "reason" in data:
        return printable(f"{failure}: {data['reason']}")
    try:
        text = revert_text(from_hex(data)) if isinstance(data, str) else None
    except ValueError:
        text = None
    return str(failure) if text is None else printable(f"{failure}: {text}")
