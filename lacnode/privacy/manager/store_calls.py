"""Calls of the store and of decoders, whose errors become those of the manager.

A failing store is reported as such, and not as an unknown payload or group, which would refuse good payloads.
"""

import time
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from lacnode.privacy.manager.cbor_records import CborError
from lacnode.privacy.manager.sql_database import StoreError
from lacnode.privacy.transaction_manager import EnclaveError, EnclaveUnreachableError
from lacnode.rate_limited_log import RateLimitedLog

P = ParamSpec("P")
T = TypeVar("T")

# For all managers of this process. Any machine can send what is refused, so one line for each would fill the disk.
_log = RateLimitedLog("privacy", time.monotonic)


def call_store(method: Callable[P, T], *arguments: P.args, **named: P.kwargs) -> T:
    """Call a method of the store with the arguments and return its result. EnclaveUnreachableError in place of
    StoreError, which is logged. Other errors pass through."""
    try:
        return method(*arguments, **named)
    except StoreError as error:
        _log.error(str(error), f"the manager cannot answer: {error}")
        raise EnclaveUnreachableError(str(error)) from None


def decode_or_refuse(decode: Callable[[bytes], T], body: bytes) -> T:
    """Return what `decode` makes of `body`, the message of another manager. EnclaveError `ObjectJsonDeserialization` in
    place of CborError. Other errors pass through."""
    try:
        return decode(body)
    except CborError as error:
        _log.info("refused", f"a peer was refused: {error}")
        raise EnclaveError("ObjectJsonDeserialization") from None
