"""Besu's profiles: sets of defaults, above the built-in ones and below everything that an operator says.

Settings of a profile that change nothing in this node are left out.
"""

from collections.abc import Mapping

from lacnode.cli.errors import UsageError

_PRIVATE: Mapping[str, str] = {
    "remote-connections-limit-enabled": "false",
    "tx-pool": "SEQUENCED",
    "tx-pool-no-local-priority": "true",
    "tx-pool-limit-by-account-percentage": "0.15",
    "rpc-http-max-active-connections": "300",
    "min-gas-price": "0",
}
PROFILES: Mapping[str, Mapping[str, str]] = {"ENTERPRISE": _PRIVATE, "PRIVATE": _PRIVATE, "NONE": {}}


def profile_defaults(name: str) -> Mapping[str, str]:
    """Return the texts of the profile `name` (in capitals), by option name without dashes. UsageError for a name that
    is not in `PROFILES`: Besu's other profiles are for public networks."""
    # A profile of a public network would set options for a network that this node cannot join.
    if name not in PROFILES:
        raise UsageError(
            f"--profile={name} is for public networks; this node runs IBFT 2.0 networks: ENTERPRISE or PRIVATE was expected"
        )
    return PROFILES[name]
