"""What a genesis says about permissions by contract: `config.lacnode.permissioning`, which Besu does not know.

It is part of what makes a block valid, so every node of a network must have the same.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class PermissioningSchedule:
    """Exceptions from the account contract, by block number.

    From `admin_exemption_block` on (None for never) an administrator may always call the ingress, the rules and the admin
    contract. In each of `suspensions` (first and last block) everybody may send everything.
    """

    admin_exemption_block: int | None = None
    suspensions: tuple[tuple[int, int], ...] = ()

    def exempts_admins(self, number: int) -> bool:
        """Whether the exemption of administrators holds in block `number`."""
        return self.admin_exemption_block is not None and number >= self.admin_exemption_block

    def is_suspended(self, number: int) -> bool:
        """Whether the account contract is not asked about block `number`."""
        return any(first <= number <= last for first, last in self.suspensions)


NO_EXCEPTIONS = PermissioningSchedule()
