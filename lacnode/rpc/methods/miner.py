"""MINER: the settings of a validator's blocks. A validator of a BFT network cannot be started or stopped by a method."""

from dataclasses import replace

from lacnode.rpc import results
from lacnode.rpc.errors import RpcError, invalid_params, invalid_request
from lacnode.rpc.method_registry import Method, Params
from lacnode.rpc.parameters import parse_text, parse_wei, required
from lacnode.rpc.services import RpcServices

MIN_GAS_LIMIT, MAX_GAS_LIMIT = 5000, 2**63 - 1


def miner_changeTargetGasLimit(services: RpcServices, params: Params) -> object:
    """Change the gas limit that this node's blocks approach, until the node ends. The parameter is a JSON integer or
    text in decimal digits. Return "Success".

    RpcError if the number is not between `MIN_GAS_LIMIT` and `MAX_GAS_LIMIT`, or if the node was started without a
    target.
    """
    given = required(params, 0, "gas limit")
    if isinstance(given, str) and given.isascii() and given.isdecimal() and len(given) < 20:
        given = int(given)
    if not isinstance(given, int) or isinstance(given, bool) or not MIN_GAS_LIMIT <= given <= MAX_GAS_LIMIT:
        raise invalid_params(f"gas limit: a number from {MIN_GAS_LIMIT} to {MAX_GAS_LIMIT} was expected")
    settings = services.chain.settings
    if settings.gas_limit_target is None:
        raise RpcError(-32011, "The node is not attempting to target a gas limit so the target can't be changed")
    # Settings are replaced as a whole. The event loop reads the old one or the new one.
    services.chain.settings = replace(settings, gas_limit_target=given)
    return "Success"


def miner_getMinGasPrice(services: RpcServices, params: Params) -> object:
    """Return the lowest price of a transaction without priority in this node's blocks, in wei per gas as a 0x
    quantity."""
    return results.quantity(services.pool.settings.block_min_gas_price)


def miner_getMinPriorityFee(services: RpcServices, params: Params) -> object:
    """Return the lowest price above the base fee of a transaction without priority in this node's blocks, in wei per
    gas as a 0x quantity."""
    return results.quantity(services.pool.settings.min_priority_fee)


def miner_setMinGasPrice(services: RpcServices, params: Params) -> object:
    """Set the lowest price of a transaction without priority in this node's blocks, until the node ends. `params` is
    wei per gas in hexadecimal text. Return True. RpcError if it is no such text. The pool accepts as before."""
    services.pool.set_block_min_gas_price(_price(params))
    return True


def miner_setMinPriorityFee(services: RpcServices, params: Params) -> object:
    """Set the lowest price above the base fee of a transaction without priority in this node's blocks, until the node
    ends. `params` is wei per gas in hexadecimal text. Return True. RpcError if it is no such text. The pool accepts as
    before."""
    services.pool.set_min_priority_fee(_price(params))
    return True


def _price(params: Params) -> int:
    return parse_wei(parse_text(required(params, 0, "price"), "price"), "price")


def miner_start(services: RpcServices, params: Params) -> object:
    """Return True and do nothing: a validator always proposes blocks."""
    return True


def miner_stop(services: RpcServices, params: Params) -> object:
    """Return False and do nothing: the method stops nothing."""
    return False


def miner_setCoinbase(services: RpcServices, params: Params) -> object:
    """RpcError "Invalid Request" always: the rules of a BFT chain fix the coinbase of each block."""
    raise invalid_request()


MINER_METHODS = (
    Method("miner_changeTargetGasLimit", "MINER", miner_changeTargetGasLimit),
    Method("miner_getMinGasPrice", "MINER", miner_getMinGasPrice),
    Method("miner_getMinPriorityFee", "MINER", miner_getMinPriorityFee),
    Method("miner_setMinGasPrice", "MINER", miner_setMinGasPrice),
    Method("miner_setMinPriorityFee", "MINER", miner_setMinPriorityFee),
    Method("miner_start", "MINER", miner_start),
    Method("miner_stop", "MINER", miner_stop),
    Method("miner_setCoinbase", "MINER", miner_setCoinbase),
    Method("miner_setEtherbase", "MINER", miner_setCoinbase),
)
