"""The order in which validators propose in a network with GoQuorum: by the bytes of their addresses, or by their text.

A GoQuorum node has the first order until it is started again. Then it reads the validators from its disk and sorts them by
their text with checksum (EIP-55). Where the nodes have different orders, most rounds have no proposer that a quorum accepts.
So this node follows the order by which the last blocks were made. Any validator may have created a block, and this file must
not refuse one.
"""

from lacnode.chain.executable_chain import ExecutableChain
from lacnode.consensus.bft.proposer import proposer_for
from lacnode.primitives.header import BlockHeader
from lacnode.primitives.keccak import keccak256
from lacnode.storage.storage_errors import StorageError

WINDOW_TURNS = 2
"""How many turns of all validators are read for a block that shows the order."""


def proposers_after(chain: ExecutableChain, header: BlockHeader) -> tuple[bytes, ...]:
    """The validators after `header`, a block of the chain, in the order in which they propose (20-byte addresses).

    The order is ascending. In a network with nodes of GoQuorum it may be that of `sort_by_checksum_text`, if the last
    blocks show that order. If they show neither, the two orders alternate after `WINDOW_TURNS` turns of all validators.
    Empty if a contract has to name them and names no usable ones.
    """
    validators = chain.validators_after(header)
    if not chain.spec.ibft.parameters_at(header.number + 1).follows_goquorum:
        return validators
    by_text = sort_by_checksum_text(validators)
    if by_text == validators:
        return validators
    return by_text if _propose_by_text(chain, header, WINDOW_TURNS * len(validators)) else validators


def sort_by_checksum_text(validators: tuple[bytes, ...]) -> tuple[bytes, ...]:
    """Return `validators` (20-byte addresses) in the order of their addresses as text with checksum (EIP-55). Capital
    letters come before small ones."""
    return tuple(sorted(validators, key=_text))


def _propose_by_text(chain: ExecutableChain, header: BlockHeader, window: int) -> bool:
    number = header.number
    for at in range(number, max(0, number - window), -1):
        try:
            order = _shown_order(chain, at)
        except StorageError:
            # A damaged header is repaired elsewhere. A validator with another order costs a round, and no block.
            return False
        if order is not None:
            return order
    # No block shows it, as where half of the validators have each order. One of them has to change, and all nodes of this
    # project must do it at the same block.
    return number // window % 2 == 1


def _shown_order(chain: ExecutableChain, number: int) -> bool | None:
    """Whether the creator of block `number` proposed by text. None if both orders, or none, give it this round."""
    header, parent = chain.header_at(number), chain.header_at(number - 1)
    if header is None or parent is None or not chain.protocols.protocol_at(number).can_be_validator:
        return None
    validators, round_ = chain.validators_after(parent), chain.protocols.extra_data(header).round
    if not validators:
        # A contract named them, and does not answer now.
        return None
    creator, last = chain.protocols.creator(header), chain.protocols.creator(parent) if parent.number else bytes(20)
    by_bytes, by_text = (
        proposer_for(order, last, round_, follows_goquorum=True) == creator
        for order in (validators, sort_by_checksum_text(validators))
    )
    return None if by_bytes == by_text else by_text


def _text(address: bytes) -> str:
    digits = address.hex()
    shows_capital = keccak256(digits.encode()).hex()
    return "".join(
        digit.upper() if int(mark, 16) >= 8 else digit for digit, mark in zip(digits, shows_capital, strict=False)
    )
