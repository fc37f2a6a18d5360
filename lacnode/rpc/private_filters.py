"""Polling filters for private logs. They are stored apart from the public ones, so that `eth_getFilterChanges` cannot read
them. Each filter answers for its own group only."""

from collections.abc import Iterator

from lacnode.privacy.state.processor import PrivateBlock
from lacnode.rpc.errors import filter_not_found, logs_filter_not_found
from lacnode.rpc.filters import PollingFilter, PollingFilters, parse_filter_id
from lacnode.rpc.method_registry import Method, Params
from lacnode.rpc.methods.priv import matching_private_logs
from lacnode.rpc.parameters import parse_log_query, required
from lacnode.rpc.privacy_parameters import check_member, parse_group_id, privacy_controller
from lacnode.rpc.results import log as shown_log
from lacnode.rpc.services import RpcServices


class PrivateFilters(PollingFilters):
    """All filters for private logs of a node. Safe to use from several threads. A filter's `kind` is its group in
    hexadecimal without `0x`. The bounds are those of `PollingFilters`, but public filters do not count for them."""

    def add_private_block_in_steps(self, private_block: PrivateBlock) -> Iterator[None]:
        """Give the private logs of a block to the filters, one filter in each step of the iterator: exhaust it. The
        lock is free between two steps, as in `add_block_in_steps`."""
        for id_, filter_ in self._each_filter():
            logs = private_block.logs.get(bytes.fromhex(filter_.kind), ())
            self._gather_matching(id_, filter_, private_block.header.number, logs)
            yield

    def methods(self) -> tuple[Method, ...]:
        """Return the RPC methods that work on these filters. Each raises RpcError "Unauthorized" if the caller is a
        tenant that is no member of the group, and another RpcError if privacy is off or a parameter does not fit. For a
        filter that the group does not have, `priv_uninstallFilter` returns False, and the others raise RpcError."""
        return (
            Method("priv_newFilter", "PRIV", self._new_private_filter),
            Method("priv_getFilterChanges", "PRIV", self._private_changes),
            Method("priv_getFilterLogs", "PRIV", self._private_logs),
            Method("priv_uninstallFilter", "PRIV", self._private_uninstall),
        )

    def _new_private_filter(self, services: RpcServices, params: Params) -> object:
        group = parse_group_id(required(params, 0, "privacyGroupId"))
        check_member(privacy_controller(services), group)
        # Membership is checked before the filter is parsed. A tenant that is no member learns nothing else.
        query = parse_log_query(services, required(params, 1, "filter"))
        return self._add(services, PollingFilter(group.hex(), self._now(), query))

    def _private_changes(self, services: RpcServices, params: Params) -> object:
        # A member may have left the group since the filter was made, so membership is checked at every poll.
        check_member(privacy_controller(services), parse_group_id(required(params, 0, "privacyGroupId")))
        with self._lock:
            filter_ = self._own(params)
            if filter_ is None:
                raise filter_not_found()
            gathered = filter_.pop_gathered()
        return [entry if isinstance(entry, str) else shown_log(entry) for entry in gathered]

    def _private_logs(self, services: RpcServices, params: Params) -> object:
        check_member(privacy_controller(services), parse_group_id(required(params, 0, "privacyGroupId")))
        with self._lock:
            filter_ = self._own(params)
        if filter_ is None or filter_.query is None:
            raise logs_filter_not_found()
        # Parsed again, so that `latest` is the head of now.
        query = parse_log_query(services, filter_.query.to_document())
        return matching_private_logs(services, privacy_controller(services), bytes.fromhex(filter_.kind), query)

    def _private_uninstall(self, services: RpcServices, params: Params) -> object:
        check_member(privacy_controller(services), parse_group_id(required(params, 0, "privacyGroupId")))
        with self._lock:
            return self._own(params) is not None and self._filters.pop(parse_filter_id(params, 1), None) is not None

    def _own(self, params: Params) -> PollingFilter | None:
        """Return the filter with the id in `params` if it belongs to the group in `params`, else None."""
        group = parse_group_id(required(params, 0, "privacyGroupId"))
        filter_ = self._used(params, 1)
        # Without this comparison a member of one group could read the filter of another group by its id.
        return filter_ if filter_ is not None and filter_.kind == group.hex() else None
