"""The quota of private state: how many bytes of trie nodes, codes and receipts private execution may write to the disk.

Any account can send private transactions to a member, and a private state is never deleted. Without a bound strangers would
fill the disk, and a full disk stops the public node too. Beyond the quota a private transaction waits like one whose payload
is absent. The log and the node's health warn before. This module must not delete anything.
"""

import structlog

from lacnode.privacy.state.privacy_context import PrivacyContext
from lacnode.privacy.state.private_payloads import PayloadUnavailableError
from lacnode.privacy.state.private_store import PrivateStoreReader

log = structlog.get_logger("privacy")

MEGABYTE = 1_048_576
ALARM_SHARE = 0.8
"""The share of the quota at which the log and the node's health warn."""

OTHERS_SHARE = 0.9
"""The share of the quota that transactions of other members may fill. The rest is for the keys of this node."""


class PrivateStateFullError(PayloadUnavailableError):
    """The quota of private state is reached. The transaction waits until the operator raises the quota."""


class PrivateStateQuota:
    """Decides before a private transaction is executed whether it may write. Safe to use from any thread."""

    def __init__(self, context: PrivacyContext) -> None:
        self._context = context
        # An alarm is logged once. A full state would otherwise log it for every marker.
        self._has_warned = False

    def check_space(self, private_from: bytes) -> None:
        """Check that a transaction of the key `private_from` (32 bytes) may write. PrivateStateFullError if the quota
        is used, or if `OTHERS_SHARE` of it is used and the key is not this node's. Without a quota every transaction
        may."""
        limit = self._context.state_quota_bytes
        used = self._used_bytes()
        # Strangers can fill only a part. The users of this node can still send when they have.
        share = 1.0 if private_from in self._context.own_keys else OTHERS_SHARE
        if limit and used >= limit * share:
            raise PrivateStateFullError(f"{used // MEGABYTE} of {limit // MEGABYTE} MiB of private state are used")
        if self.alarms() and not self._has_warned:
            self._has_warned = True
            log.warning(f"the quota of private state is almost reached: {self.alarms()[0]}")

    def alarms(self) -> tuple[str, ...]:
        """Return one text for the operator if at least `ALARM_SHARE` of the quota is used. Empty otherwise, and without
        a quota."""
        limit, used = self._context.state_quota_bytes, self._used_bytes()
        if not limit or used < limit * ALARM_SHARE:
            return ()
        return (f"private state: {used // MEGABYTE} of {limit // MEGABYTE} MiB are used",)

    def _used_bytes(self) -> int:
        with self._context.database.read() as snapshot:
            return PrivateStoreReader(snapshot).state_bytes()
