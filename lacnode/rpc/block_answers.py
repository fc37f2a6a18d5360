"""Answers about one block: made here, or in a reader process if the block is large.

To decode a block of megabytes and to write it as JSON takes a second. During some steps of it nothing else of this process
runs.
"""

import math

from lacnode.rpc.read_calls import Params, ReadCall, ReadContext, ReadHandler
from lacnode.rpc.services import RpcServices

LARGE_BLOCK_BYTES = 512 * 1024
"""Stored bytes of body and outcomes from which a block is large. What is less is decoded within 50 milliseconds."""


def is_large(services: RpcServices, hash_: bytes) -> bool:
    """Whether a block is not decoded yet, and should not be decoded here."""
    return not services.blocks.has(hash_) and services.chain.stored_length_of(hash_) > LARGE_BLOCK_BYTES


def of_block(services: RpcServices, hash_: bytes, handler: ReadHandler, *params: object) -> object:
    """What `handler` answers to the block's hash and `params`, or the call with which a reader answers."""
    call = ReadCall(handler, (hash_, *params), is_long=True)
    if is_large(services, hash_):
        return call
    return call.answer(ReadContext(services.chain, services.settings, math.inf, services.blocks))


def block_hash(params: Params) -> bytes:
    """The hash that `of_block` gives a handler as the first of its parameters."""
    hash_ = params[0]
    assert isinstance(hash_, bytes)
    return hash_
