"""The methods `eth_subscribe`, `eth_unsubscribe`, `priv_subscribe` and `priv_unsubscribe`."""

import threading
from collections.abc import Mapping

from lacnode.rpc.errors import INVALID_REQUEST, RpcError, internal_error, method_not_enabled
from lacnode.rpc.method_registry import Handler, Params
from lacnode.rpc.notice import Listener
from lacnode.rpc.parameters import (
    LogQuery,
    optional,
    parse_boolean,
    parse_log_query,
    parse_quantity,
    parse_text,
    required,
)
from lacnode.rpc.privacy_parameters import check_member, parse_group_id, privacy_controller
from lacnode.rpc.services import RpcServices
from lacnode.rpc.subscriptions import LOGS, PRIVATE_LOGS, TYPES, Membership, Subscriptions


class SubscriptionMethods:
    """The methods `eth_subscribe`, `eth_unsubscribe`, `priv_subscribe` and `priv_unsubscribe` of one connection, by
    name in `handlers`. Besu's error for every wrong parameter is "Invalid Request" (-32600) here. `listener` is the
    connection that gets the notices."""

    def __init__(self, subscriptions: Subscriptions, listener: Listener) -> None:
        self._subscriptions = subscriptions
        self._listener = listener
        self._gone = threading.Event()
        self.handlers: Mapping[str, Handler] = {
            "eth_subscribe": self._subscribe,
            "eth_unsubscribe": self._unsubscribe,
            "priv_subscribe": self._subscribe_privately,
            "priv_unsubscribe": self._unsubscribe_privately,
        }

    def close(self) -> None:
        """End the subscriptions of the connection, which has ended. A call that still runs then ends its own new
        subscription."""
        # The event is set first. A call that still runs in a thread then removes its own new subscription (`_added`).
        self._gone.set()
        self._subscriptions.remove_all_of(self._listener)

    def _subscribe(self, services: RpcServices, params: Params) -> object:
        try:
            kind, whole, query = _wish(services, params)
        except RpcError as error:
            raise RpcError(INVALID_REQUEST, "Invalid Request", error.data) from None
        return self._added(kind, whole, query, None)

    def _added(
        self,
        kind: str,
        whole: bool,
        query: LogQuery | None,
        group: bytes | None,
        membership: Membership | None = None,
    ) -> str:
        number = self._subscriptions.add(kind, whole, query, self._listener, group, membership)
        # Checked after the addition: the connection may have ended between the two. Either `close` or this line sees
        # the subscription.
        if self._gone.is_set():
            self._subscriptions.remove_all_of(self._listener)
            raise internal_error()
        return hex(number)

    def _unsubscribe(self, services: RpcServices, params: Params) -> object:
        try:
            number = parse_quantity(required(params, 0, "subscription id"), "subscription id", 2**63 - 1)
        except RpcError as error:
            raise RpcError(INVALID_REQUEST, "Invalid Request", error.data) from None
        self._subscriptions.remove(number, self._listener)
        return True

    def _subscribe_privately(self, services: RpcServices, params: Params) -> object:
        _check_private(services)
        try:
            group, kind = (
                parse_group_id(required(params, 0, "privacyGroupId")),
                required(params, 1, "subscription type"),
            )
            if kind != LOGS:
                raise RpcError(INVALID_REQUEST, "Invalid Request", f"subscription type: {LOGS} was expected")
            query = parse_log_query(services, required(params, 2, "filter"))
        except RpcError as error:
            raise RpcError(INVALID_REQUEST, "Invalid Request", error.data) from None
        controller = privacy_controller(services)
        check_member(controller, group)
        # Members can leave a flexible group only. There the membership is asked again for every block with logs.
        is_lasting = controller.groups.has_fixed_members or not controller.has_tenants
        membership = None if is_lasting else controller.membership(group)
        return self._added(PRIVATE_LOGS, False, query, group, membership)

    def _unsubscribe_privately(self, services: RpcServices, params: Params) -> object:
        _check_private(services)
        try:
            group = parse_group_id(required(params, 0, "privacyGroupId"))
            number = parse_quantity(required(params, 1, "subscription id"), "subscription id", 2**63 - 1)
        except RpcError as error:
            raise RpcError(INVALID_REQUEST, "Invalid Request", error.data) from None
        check_member(privacy_controller(services), group)
        # The group is compared too: the id alone must not end the subscription of another group.
        self._subscriptions.remove(number, self._listener, group)
        return True


def _check_private(services: RpcServices) -> None:
    """RpcError unless the group PRIV is enabled on this port and privacy is on."""
    # The registry does not know methods of a connection, so it cannot check their group.
    if "PRIV" not in services.groups:
        raise method_not_enabled()
    privacy_controller(services)


def _wish(services: RpcServices, params: Params) -> tuple[str, bool, LogQuery | None]:
    """Parse the parameters of `eth_subscribe`: the kind, whether whole transactions are wanted, and the filter of logs."""
    kind = parse_text(required(params, 0, "subscription type"), "subscription type")
    if kind not in TYPES:
        raise RpcError(INVALID_REQUEST, "Invalid Request", f"subscription type: one of {', '.join(TYPES)} was expected")
    if kind == LOGS:
        return kind, False, parse_log_query(services, required(params, 1, "filter"))
    options = optional(params, 1)
    if options is None:
        return kind, False, None
    if not isinstance(options, Mapping):
        raise RpcError(INVALID_REQUEST, "Invalid Request", "subscription options: an object was expected")
    return kind, parse_boolean(options.get("includeTransactions", False), "includeTransactions"), None
