"""The section `config.lacnode.permissioning` of the genesis: exceptions from the account contract. Besu does not know it.

It decides about the validity of blocks, so every node of a network must have the same section.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class PermissioningSchedule:
    """Exceptions from the account contract, by block number.

    From `admin_exemption_block` on (None for never), administrators may always call the ingress, the rules and the
    admin contract. In each of `suspensions` (first and last block, both included), every account may send every
    transaction.
    """

    admin_exemption_block: int | None = None
    suspensions: tuple[tuple[int, int], ...] = ()

    def exempts_admins(self, number: int) -> bool:
        """Whether administrators may call the permissioning contracts in block `number` even if the contract refuses."""
        return self.admin_exemption_block is not None and number >= self.admin_exemption_block

    def is_suspended(self, number: int) -> bool:
        """Whether the account contract is not asked about block `number`: every account may send every transaction."""
        # Both ends belong to the span, so a suspension of one block is possible.
        return any(first <= number <= last for first, last in self.suspensions)


NO_EXCEPTIONS = PermissioningSchedule()
