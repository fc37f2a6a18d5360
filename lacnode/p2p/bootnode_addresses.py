"""The addresses of bootnodes that are known by name. Discovery needs them when it starts.

The lookups run in threads, because a name server may not answer. Must not ask a bootnode.
"""

from collections.abc import Sequence

import structlog
import trio

from lacnode.p2p.name_resolution import UnknownHostError, resolve_enode
from lacnode.p2p.wire.enode import Enode

log = structlog.get_logger("p2p")

NAME_LOOKUP_TIMEOUT_SECONDS = 15.0
"""How long discovery waits for the addresses of bootnodes that are known by name."""


async def resolve_bootnodes(bootnodes: Sequence[Enode]) -> list[Enode]:
    """Return the bootnodes whose address is known, each with an IP literal as its host, in their order, after at most
    `NAME_LOOKUP_TIMEOUT_SECONDS`.

    One slow name server must not keep the other bootnodes from being asked. The log names each bootnode that is left
    out.
    """
    found = {enode: enode for enode in bootnodes if not enode.is_named}
    late = f"its name has not been looked up after {NAME_LOOKUP_TIMEOUT_SECONDS:.0f} s"
    # The reason is right until the lookup has failed for another reason, or the address is found.
    reasons = {enode: late for enode in bootnodes if enode.is_named}

    async def look_up(enode: Enode) -> None:
        try:
            # The thread cannot be stopped. With `abandon_on_cancel` it goes on alone when the time is over.
            found[enode] = await trio.to_thread.run_sync(resolve_enode, enode, abandon_on_cancel=True)
        except UnknownHostError as unknown:
            reasons[enode] = str(unknown)

    with trio.move_on_after(NAME_LOOKUP_TIMEOUT_SECONDS):
        async with trio.open_nursery() as nursery:
            for enode in reasons:
                nursery.start_soon(look_up, enode)
    for enode, reason in reasons.items():
        if enode not in found:
            log.warning("a bootnode is not asked for others", enode=str(enode), reason=reason)
    return [found[enode] for enode in bootnodes if enode in found]
