"""A validator relays true proposals with other bodies, faster than the proposer itself.

Found before: the header of the copy is true, so the first copy counted as the proposer's word, and the honest one that
came later was not looked at. The round was lost. Here validator-1 lies; proposals of the others reach it at once and
each other 0.15 s later, as between countries.

A validator also multiplies its own proposals: each other validator gets other blocks of the same round, and false bodies.
Two blocks of one round are a fault of their proposer. It costs the round, and many of them end the session.
"""

from dataclasses import replace

from lacnode.devnet.manifest import Manifest
from tests.siege.attack import VALIDATOR, LoadAttack, Sent
from tests.siege.attacks.heavy_transactions import nothing

MODIFIED = {"validator-1": "swapped-bodies", **{f"validator-{number}": "far-away" for number in (2, 3, 4)}}


async def relay(manifest: Manifest, sent: Sent) -> None:
    """The modified validators attack by themselves."""
    await nothing(manifest, sent)


ATTACKS = (
    LoadAttack(
        "swapped-bodies",
        "a validator relays each proposal first, with another body",
        relay,
        VALIDATOR,
        modified=MODIFIED,
    ),
    LoadAttack(
        "multiplied-proposals",
        "a validator sends each other validator 30 other blocks of its round, and false bodies",
        relay,
        VALIDATOR,
        modified={"validator-1": "multiplied-proposals"},
    ),
    LoadAttack(
        "slow-signer",
        "each signature of a validator takes a second",
        relay,
        replace(VALIDATOR, call_p95_seconds=0.25),
        modified={"validator-2": "slow-signer"},
    ),
)
