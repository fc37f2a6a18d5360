"""The services of a call are the services of the node with the values of that call."""

from dataclasses import FrozenInstanceError
from typing import Any

import pytest

from tests.support.rpc_chain import node


def test_all_ports_and_calls_share_the_caches_and_the_endpoints() -> None:
    services = node().services
    http, websocket = services.for_port(("ETH",)), services.for_port(("ETH", "PRIV"))
    for other in (http, websocket, http.for_client("10.0.0.1"), websocket.for_tenant(bytes(32))):
        assert other.caches.blocks is services.caches.blocks
        assert other.caches.prices is services.caches.prices
        assert other.node.endpoints is services.node.endpoints
    assert (http.groups, websocket.groups) == (("ETH",), ("ETH", "PRIV"))


def test_a_call_changes_nothing_for_other_calls() -> None:
    services: Any = node().services
    assert services.for_client("10.0.0.1").client == "10.0.0.1"
    assert services.client == ""
    with pytest.raises(FrozenInstanceError):
        services.client = "10.0.0.2"
