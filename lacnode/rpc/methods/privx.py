"""PRIVX: the flexible groups. A contract in the state of each group has the list of its members."""

from lacnode.privacy.state.flexible.flexible_groups import FlexibleGroups
from lacnode.rpc import privacy_errors
from lacnode.rpc.method_registry import Method, Params
from lacnode.rpc.parameters import required
from lacnode.rpc.privacy_errors import privacy_error
from lacnode.rpc.privacy_parameters import in_base64, parse_keys, privacy_controller
from lacnode.rpc.services import RpcServices


def privx_findFlexiblePrivacyGroup(services: RpcServices, params: Params) -> object:
    """Return the flexible groups that have all of these members, and maybe others. Empty if there are none. `params` is
    an array of keys in base64.

    RpcError if privacy is off, a parameter does not fit, this node has no flexible groups, or a tenant asks for groups
    without itself. CallLimitExceededError if the search takes too long.
    """
    controller = privacy_controller(services)
    members = parse_keys(required(params, 0, "addresses"), "addresses")
    groups = controller.groups
    # A tenant may look for its own groups only.
    if not isinstance(groups, FlexibleGroups) or (controller.has_tenants and controller.public_key not in members):
        raise privacy_error(privacy_errors.FIND_FLEXIBLE_GROUP_ERROR)
    return [
        {
            "privacyGroupId": in_base64(group.id),
            "type": "FLEXIBLE",
            "name": "",
            "description": "",
            "members": [in_base64(member) for member in group.members],
        }
        for group in groups.find_including_members(members)
    ]


PRIVX_METHODS = tuple(
    Method(name, "PRIV", privx_findFlexiblePrivacyGroup)
    for name in ("privx_findFlexiblePrivacyGroup", "privx_findOnchainPrivacyGroup", "privx_findOnChainPrivacyGroup")
)
"""One method under the three names that Besu has used for it."""
