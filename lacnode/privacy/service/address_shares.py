"""The processor time that requests of other managers may take, by the address that they come from.

Strangers may have any number of addresses. So no address keeps a part of its own, unless a confirmed manager has answered
there. Must not know a request.
"""

import math
import time
from collections import OrderedDict
from collections.abc import Callable

from lacnode.fair_share import FairShare, Shares

PEERS_SHARE, ADDRESS_SHARE = 0.4, 0.25
"""Shares of one processor: for all addresses together, and for one of them."""

CONFIRMED_SHARE, CONFIRMED_ADDRESS_SHARE = 0.2, 0.05
"""Shares of one processor that confirmed addresses keep while all addresses together want too much: for all of them, and for
one of them. A stranger that runs managers at many addresses can have them confirmed. So they have a bound together."""

BURST_SECONDS = 5.0
"""How long a share may be saved up."""

CONFIRMED_SECONDS = 600.0
"""How long an address stays confirmed after an answer. A confirmed manager is asked once a minute."""

MAX_CONFIRMED_ADDRESSES = 1_024


class AddressShares:
    """Counts the processor time of each address (as `client_address` returns it), and says how long its requests must wait.
    The caller waits. `clock` returns seconds that only grow. Use it from one thread."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        # Each address is new for ever (`math.inf`). If an old one kept a part of its own, strangers could first let a
        # thousand addresses become old, and then have a thousand parts.
        self._all = FairShare(_shares(PEERS_SHARE, ADDRESS_SHARE))
        self._confirmed = FairShare(_shares(CONFIRMED_SHARE, CONFIRMED_ADDRESS_SHARE))
        self._confirmed_until: OrderedDict[str, float] = OrderedDict()
        """When each address stops being confirmed. The one that was confirmed last is the last."""

    def confirm(self, client: str) -> None:
        """Count the address `client` as confirmed for `CONFIRMED_SECONDS` from now on: a confirmed manager has answered
        there. Of more than `MAX_CONFIRMED_ADDRESSES` the one that was confirmed longest ago is forgotten."""
        self._confirmed_until[client] = self._clock() + CONFIRMED_SECONDS
        self._confirmed_until.move_to_end(client)
        if len(self._confirmed_until) > MAX_CONFIRMED_ADDRESSES:
            self._confirmed_until.popitem(last=False)

    def spend(self, client: str, seconds: float) -> None:
        """Count `seconds` of processor time that the address `client` has caused until now. It may use up more than its
        share, and then waits longer."""
        now = self._clock()
        self._all.spend(client, seconds, now)
        if self._is_confirmed(client, now):
            self._confirmed.spend(client, seconds, now)

    def wait_seconds(self, client: str) -> float:
        """Return the seconds that requests of the address `client` must wait before this node works for them again, 0.0
        if they need not wait."""
        now = self._clock()
        wait = self._all.wait_seconds(client, now)
        if wait > 0.0 and self._is_confirmed(client, now):
            return min(wait, self._confirmed.wait_seconds(client, now))
        return wait

    def _is_confirmed(self, client: str, now: float) -> bool:
        return self._confirmed_until.get(client, -math.inf) > now


def _shares(total: float, most: float) -> Shares:
    return Shares(total, most, most, BURST_SECONDS, newcomer_seconds=math.inf)
