"""The role of a node by configuration, and the one table of each role's duties.

The contract names the role that the network gives a node. This file has the role that its operator wants. Must not
decide which nodes may connect: rules do.
"""

from dataclasses import dataclass
from enum import Enum

from lacnode.permissioning.topology import NodeType


class NodeRole(Enum):
    """The role that an operator gives a node: the values of `--node-role`. `DUTIES` says what a node of each role does."""

    VALIDATOR = "validator"
    BOOT = "boot"
    WRITER = "writer"
    OBSERVER = "observer"


@dataclass(frozen=True, slots=True)
class RoleDuties:
    """The duties of a node. With `dials_discovered` it connects to nodes that discovery finds, not only to those of
    its configuration."""

    runs_validator: bool
    accepts_transactions: bool
    relays_transactions: bool
    dials_discovered: bool


DUTIES = {
    None: RoleDuties(runs_validator=True, accepts_transactions=True, relays_transactions=True, dials_discovered=True),
    NodeRole.VALIDATOR: RoleDuties(
        runs_validator=True, accepts_transactions=True, relays_transactions=True, dials_discovered=True
    ),
    NodeRole.BOOT: RoleDuties(
        runs_validator=False, accepts_transactions=True, relays_transactions=True, dials_discovered=True
    ),
    NodeRole.WRITER: RoleDuties(
        runs_validator=False, accepts_transactions=True, relays_transactions=True, dials_discovered=True
    ),
    NodeRole.OBSERVER: RoleDuties(
        runs_validator=False, accepts_transactions=False, relays_transactions=False, dials_discovered=False
    ),
}
"""Duties by role. None is a node without a configured role. The validator set alone decides then whether it signs."""


def role_conflicts(role: NodeRole | None, is_validator: bool, listed: NodeType | None) -> list[str]:
    """Return sentences about a configured role that the chain contradicts: by its validator set, or by the node type
    with which the contract lists this node (`listed`, None if it lists none). The type `OTHER` contradicts no role.
    Empty without a conflict or a configured role."""
    if role is None:
        return []
    conflicts = []
    if is_validator and role is not NodeRole.VALIDATOR:
        conflicts.append(
            f"this node is configured as {role.value}, but its key is in the validator set: it does not sign"
        )
    if role is NodeRole.VALIDATOR and not is_validator:
        conflicts.append("this node is configured as validator, but its key is not in the validator set")
    if listed is not None and listed is not NodeType.OTHER and listed.lower_name != role.value:
        conflicts.append(
            f"this node is configured as {role.value}, but the node contract lists it as {listed.lower_name}"
        )
    return conflicts
