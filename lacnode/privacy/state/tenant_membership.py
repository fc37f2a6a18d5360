"""The membership of a tenant in a group, which may end. It is asked about for each block with logs of the group."""

import math
import time
from dataclasses import dataclass, field

from lacnode.privacy.state.group_membership import GroupMembership
from lacnode.rate_limited_log import RateLimitedLog

# For all groups. Each block may have logs of many of them.
_log = RateLimitedLog("privacy", time.monotonic)


@dataclass(frozen=True, slots=True)
class TenantMembership:
    """The membership of the public key `tenant` in the group `group_id` (32 bytes each)."""

    group_id: bytes
    tenant: bytes
    memberships: GroupMembership = field(compare=False, repr=False)

    def is_member_after(self, number: int) -> bool:
        """Return True if the tenant is a member of the group after block `number`. False if nothing names the members, if
        the group's contract does not answer in time, or after any error, which is logged and not raised. Contracts that
        are slow again and again have less time."""
        try:
            members = self.memberships.members_at(self.group_id, number, math.inf)
        except Exception as error:
            # A contract of one tenant must not keep the logs of the others back.
            name = type(error).__name__
            _log.warning(name, "the members of a group are not known", block=number, error=name)
            return False
        return members is not None and self.tenant in members
