"""Logs of a call with one for each transfer of ether, as `eth_simulateV1` shows them with `traceTransfers`."""

from collections.abc import Iterator

from lacnode.evm.trace_record import TracedCall
from lacnode.primitives.receipt import Log

TRANSFER_ADDRESS = b"\xee" * 20
"""The contract of these logs. There is none on the chain."""

TRANSFER_TOPIC = bytes.fromhex("ddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef")
"""The hash of `Transfer(address,address,uint256)`, the event of ERC-20."""

_MOVING_KINDS = frozenset(("CALL", "CREATE", "CREATE2", "SELFDESTRUCT"))
"""Calls that move their value to another account. The value of the others is shown to the code, and stays."""


def logs_with_transfers(root: TracedCall) -> tuple[Log, ...]:
    """Return the logs of `root` and its calls, and a log of `TRANSFER_ADDRESS` for each call, creation or SELFDESTRUCT
    that moves ether to another account, in the order of execution. Logs and transfers of a call that failed, and of the
    calls that it made, are left out."""
    logs = list[Log]()
    # Calls can be nested 1,024 deep. So this is no recursion.
    waiting: list[Iterator[Log | TracedCall]] = [iter((root,))]
    while waiting:
        event = next(waiting[-1], None)
        if event is None:
            waiting.pop()
        elif isinstance(event, Log):
            logs.append(event)
        elif event.is_success:
            waiting.append(_events(event))
    return tuple(logs)


def _events(call: TracedCall) -> Iterator[Log | TracedCall]:
    """Return the own transfer and logs of `call`, and its calls, in order."""
    if call.value and call.kind in _MOVING_KINDS and call.sender != call.to:
        topics = (TRANSFER_TOPIC, call.sender.rjust(32, b"\0"), call.to.rjust(32, b"\0"))
        yield Log(TRANSFER_ADDRESS, topics, call.value.to_bytes(32))
    logs = iter(call.logs)
    log = next(logs, None)
    for position, inner in enumerate(call.calls):
        while log is not None and log.position <= position:
            yield Log(log.address, log.topics, log.data)
            log = next(logs, None)
        yield inner
    while log is not None:
        yield Log(log.address, log.topics, log.data)
        log = next(logs, None)
