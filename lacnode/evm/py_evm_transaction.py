"""A transaction in the form that py-evm's executors read: names and conventions are py-evm's.

It is made from a decoded transaction and its sender, so that py-evm neither decodes nor recovers anything again.
"""

from dataclasses import dataclass

from eth.vm.forks.prague.transactions import Authorization

from lacnode.chainspec.forks import Fork
from lacnode.evm.engine import CallRequest
from lacnode.evm.transaction_validation import initcode_gas, intrinsic_gas
from lacnode.primitives.access_list import AccessListEntry
from lacnode.primitives.transaction import ACCESS_LIST, FEE_MARKET, LEGACY, Transaction


@dataclass(slots=True)
class EvmTransaction:
    """The parts of a transaction that py-evm reads while it executes it. `to` is empty for a creation. Addresses have
    20 bytes, prices and `value` are in wei, gas is in gas units. The signature is 0: py-evm does not check it.

    `intrinsic_gas` is without the part for init code, which py-evm charges with the first instruction.
    """

    type_id: int
    sender: bytes
    nonce: int
    gas: int
    gas_price: int
    max_fee_per_gas: int
    max_priority_fee_per_gas: int
    to: bytes
    value: int
    data: bytes
    access_list: tuple[tuple[bytes, tuple[int, ...]], ...]
    intrinsic_gas: int
    authorization_list: tuple[Authorization, ...] = ()
    blob_versioned_hashes: tuple[bytes, ...] = ()
    r: int = 0
    s: int = 0
    y_parity: int = 0


def from_transaction(transaction: Transaction, sender: bytes, fork: Fork) -> EvmTransaction:
    """Return `transaction`, signed by `sender` (20 bytes), for `fork`. Nothing is checked."""
    price = transaction.gas_price
    return EvmTransaction(
        type_id=transaction.type,
        sender=sender,
        nonce=transaction.nonce,
        gas=transaction.gas_limit,
        gas_price=transaction.max_gas_price,
        max_fee_per_gas=transaction.max_gas_price,
        max_priority_fee_per_gas=price if price is not None else transaction.max_priority_fee_per_gas or 0,
        to=transaction.to or b"",
        value=transaction.value,
        data=transaction.data,
        access_list=_slots(transaction.access_list),
        intrinsic_gas=_upfront_gas(
            transaction.data, transaction.is_creation, fork, transaction.access_list, len(transaction.authorizations)
        ),
        authorization_list=tuple(
            Authorization(a.chain_id, a.address, a.nonce, a.y_parity, a.r, a.s) for a in transaction.authorizations
        ),
        blob_versioned_hashes=transaction.blob_versioned_hashes,
    )


def from_call(call: CallRequest, gas: int, nonce: int, base_fee: int | None, fork: Fork) -> EvmTransaction:
    """Return the transaction that has the effects of `call`, with the gas limit `gas` and this nonce. `base_fee` is in
    wei per gas, None before London. The transaction's gas price is 0 with `allow_exceeding_balance`, or if `call` names
    neither a gas price nor, from London on, a maximum fee. Nothing is checked."""
    maximum, tip = (0, 0) if call.allow_exceeding_balance else _prices_of_call(call, base_fee)
    return EvmTransaction(
        type_id=_type_of_call(call, base_fee),
        sender=call.sender,
        nonce=nonce,
        gas=gas,
        gas_price=maximum,
        max_fee_per_gas=maximum,
        max_priority_fee_per_gas=tip,
        to=call.to or b"",
        value=call.value,
        data=call.data,
        access_list=_slots(call.access_list),
        intrinsic_gas=_upfront_gas(call.data, call.to is None, fork, call.access_list),
    )


def _names_fees(call: CallRequest) -> bool:
    return call.max_fee_per_gas is not None or call.max_priority_fee_per_gas is not None


def _prices_of_call(call: CallRequest, base_fee: int | None) -> tuple[int, int]:
    """Return the maximum fee and the tip, in wei. Besu prefers the fees of EIP-1559 to a gas price, once there is a
    base fee."""
    price = call.gas_price or 0
    if base_fee is None:
        return price, price
    maximum, tip = call.max_fee_per_gas, call.max_priority_fee_per_gas
    return price if maximum is None else maximum, price if tip is None else tip


def _type_of_call(call: CallRequest, base_fee: int | None) -> int:
    if base_fee is not None and (call.gas_price is None or _names_fees(call)):
        return FEE_MARKET
    return ACCESS_LIST if call.access_list else LEGACY


def _upfront_gas(
    data: bytes, is_creation: bool, fork: Fork, access_list: tuple[AccessListEntry, ...], authorizations: int = 0
) -> int:
    gas = intrinsic_gas(data, is_creation, fork, access_list, authorizations)
    return gas - initcode_gas(data, fork) if is_creation else gas


def _slots(access_list: tuple[AccessListEntry, ...]) -> tuple[tuple[bytes, tuple[int, ...]], ...]:
    return tuple((address, tuple(int.from_bytes(key) for key in keys)) for address, keys in access_list)
