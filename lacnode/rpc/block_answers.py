"""Answers about one block. The node makes them itself, or leaves them to a reader process if the block is large.

The node needs a second to decode a block of megabytes and to write it as JSON. Some steps of this hold the interpreter
lock, so that nothing else of this process runs.
"""

import math

from lacnode.rpc.read_calls import Params, ReadCall, ReadContext, ReadHandler
from lacnode.rpc.services import RpcServices

LARGE_BLOCK_BYTES = 512 * 1024
"""A block is large if its stored body and outcomes have more bytes. A smaller block is decoded within 50 milliseconds."""


def is_large_undecoded_block(services: RpcServices, hash_: bytes) -> bool:
    """Return True if the block with this hash (32 bytes) is not decoded yet and takes more than `LARGE_BLOCK_BYTES` in
    the database. False for an unknown hash."""
    return (
        not services.caches.blocks.has_cached(hash_)
        and services.chain.body_and_receipts_length_of(hash_) > LARGE_BLOCK_BYTES
    )


def answer_about_block(services: RpcServices, hash_: bytes, handler: ReadHandler, *params: object) -> object:
    """Call `handler` with the block's hash (32 bytes) and `params`, and return its answer. If the block is large and
    not decoded, return the `ReadCall` for it instead, which a reader must answer. Errors of `handler` pass through."""
    # A trial in this process cannot be stopped while it decodes a block. `is_long` prevents the trial.
    call = ReadCall(handler, (hash_, *params), is_long=True)
    if is_large_undecoded_block(services, hash_):
        return call
    # No deadline is needed: a block of this size is decoded at once, or is decoded already.
    return call.answer(ReadContext(services.chain, services.settings, math.inf, services.caches.blocks))


def block_hash_parameter(params: Params) -> bytes:
    """Return the hash (32 bytes) that `answer_about_block` gives a handler as the first of its parameters.
    AssertionError if the first parameter is not bytes, as among the parameters of a client."""
    hash_ = params[0]
    assert isinstance(hash_, bytes)
    return hash_
