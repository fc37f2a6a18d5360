"""Every attack, in the order in which they run."""

from tests.siege.attack import Exercise, LoadAttack
from tests.siege.attacks import (
    access_lists,
    api_bad_input,
    bomb_answers,
    claimed_keys,
    clocks,
    connection_floods,
    consensus_noise,
    exactness,
    files,
    flexible_groups,
    foreign_groups,
    forged_lines,
    front_running,
    heavy_transactions,
    kills,
    large_messages,
    large_payloads,
    long_handshakes,
    lost_stores,
    manager_ports,
    permissions,
    private_files,
    private_floods,
    rpc_starvation,
    signing_state,
    swapped_bodies,
    sync_hostages,
    websocket_readers,
)
from tests.siege.network import NetworkKind

ATTACKS: tuple[LoadAttack | Exercise, ...] = (
    *heavy_transactions.ATTACKS,
    *access_lists.ATTACKS,
    *exactness.ATTACKS,
    *sync_hostages.ATTACKS,
    *swapped_bodies.ATTACKS,
    *consensus_noise.ATTACKS,
    *large_messages.ATTACKS,
    *long_handshakes.ATTACKS,
    *rpc_starvation.ATTACKS,
    *api_bad_input.ATTACKS,
    *websocket_readers.ATTACKS,
    *connection_floods.ATTACKS,
    *clocks.ATTACKS,
    *signing_state.ATTACKS,
    *kills.ATTACKS,
    *files.ATTACKS,
    *permissions.ATTACKS,
    *private_files.ATTACKS,
    *manager_ports.ATTACKS,
    *bomb_answers.ATTACKS,
    *large_payloads.ATTACKS,
    *lost_stores.ATTACKS,
    *claimed_keys.ATTACKS,
    *forged_lines.ATTACKS,
    *foreign_groups.ATTACKS,
    *front_running.ATTACKS,
    *private_floods.ATTACKS,
    *flexible_groups.ATTACKS,
)

CHAPTERS: dict[str, tuple[LoadAttack | Exercise, ...]] = {
    "all": ATTACKS,
    "private": tuple(attack for attack in ATTACKS if attack.kind is not NetworkKind.PUBLIC),
}
"""Parts of a siege. The private one attacks managers, private groups and permissions."""


def by_name(name: str) -> LoadAttack | Exercise:
    """The attack called so; KeyError naming those there are."""
    for attack in ATTACKS:
        if attack.name == name:
            return attack
    raise KeyError(f"no attack {name!r}; there are {', '.join(attack.name for attack in ATTACKS)}")
