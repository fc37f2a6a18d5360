"""Where a manager calls because a stranger named an address: not into the network behind its firewall."""

import socket
import threading
from collections.abc import Sequence
from ipaddress import ip_address, ip_network

import pytest
import trio
import trio.testing

from lacnode.privacy.manager.address_policy import AddressPolicy, Reach, reach_of
from lacnode.privacy.service.manager_config import ManagerConfigError, parse_networks
from lacnode.privacy.service.name_look_ups import STRANGER_LOOK_UPS
from lacnode.privacy.service.permitted_network import PermittedNetwork, allow_private_network_of_own_host
from tests.support.logs import logs_of_this_thread

LOOPBACK, PRIVATE, PUBLIC = "127.0.0.1", "10.1.2.3", "8.8.8.8"


class TestReach:
    @pytest.mark.parametrize(
        ("text", "reach"),
        [
            ("8.8.8.8", Reach.PUBLIC),
            ("2606:4700::1111", Reach.PUBLIC),
            ("10.0.0.1", Reach.PRIVATE),
            ("172.16.0.1", Reach.PRIVATE),
            ("192.168.1.1", Reach.PRIVATE),
            ("100.64.0.1", Reach.PRIVATE),
            ("fd12::1", Reach.PRIVATE),
            ("64:ff9b::808:808", Reach.PRIVATE),
            ("64:ff9b:1::a00:1", Reach.PRIVATE),
            ("::ffff:0:10.0.0.1", Reach.PRIVATE),
            ("::10.0.0.1", Reach.PRIVATE),
            ("2002:808:808::1", Reach.PRIVATE),
            ("2001:0:4136:e378:8000:63bf:3fff:fdd2", Reach.PRIVATE),
            ("fec0::1", Reach.PRIVATE),
            ("64:ff9b::a9fe:a9fe", Reach.NEVER),
            ("64:ff9b:1::a9fe:a9fe", Reach.NEVER),
            ("::ffff:0:169.254.169.254", Reach.NEVER),
            ("2002:a9fe:a9fe::1", Reach.NEVER),
            ("127.8.9.1", Reach.LOOPBACK),
            ("::1", Reach.LOOPBACK),
            ("::ffff:127.0.0.1", Reach.LOOPBACK),
            ("::ffff:10.0.0.1", Reach.PRIVATE),
            ("169.254.169.254", Reach.NEVER),
            ("::ffff:169.254.169.254", Reach.NEVER),
            ("fe80::1", Reach.NEVER),
            ("fd00:ec2::254", Reach.NEVER),
            ("0.0.0.0", Reach.NEVER),
            ("::", Reach.NEVER),
            ("224.0.0.1", Reach.NEVER),
            ("255.255.255.255", Reach.NEVER),
            ("240.0.0.1", Reach.NEVER),
        ],
    )
    def test_of_an_address(self, text: str, reach: Reach) -> None:
        assert reach_of(ip_address(text)) is reach


class TestPolicy:
    @pytest.mark.parametrize(
        ("own", "permitted"),
        [
            ((), {PUBLIC}),
            (("https://manager.example",), {PUBLIC}),
            (("http://8.8.4.4:8080",), {PUBLIC}),
            (("http://10.0.0.5:8080",), {PUBLIC, PRIVATE}),
            (("https://8.8.4.4", "http://192.168.0.6:8080"), {PUBLIC, PRIVATE}),
            (("http://127.0.0.1:8080",), {PUBLIC, LOOPBACK}),
            (("http://localhost:8080",), {PUBLIC, LOOPBACK}),
            (("http://[fd12::1]:8080",), {PUBLIC, PRIVATE}),
        ],
    )
    def test_an_installation_s_own_urls_say_what_kind_its_network_is(
        self, own: tuple[str, ...], permitted: set[str]
    ) -> None:
        policy = AddressPolicy(own)
        assert {text for text in (LOOPBACK, PRIVATE, PUBLIC) if policy.permits_address(text)} == permitted

    def test_link_local_is_never_called(self) -> None:
        policy = AddressPolicy(["http://169.254.1.1"], allowed=[ip_network("0.0.0.0/0")])
        assert not policy.permits_address("169.254.169.254")
        assert not policy.permits_address("::ffff:169.254.169.254")

    def test_networks_are_allowed_and_denied(self) -> None:
        policy = AddressPolicy((), [ip_network("10.0.0.0/8")], [ip_network("10.9.0.0/16"), ip_network("8.0.0.0/8")])
        assert policy.permits_address(PRIVATE)
        assert not any(policy.permits_address(text) for text in ("10.9.0.1", PUBLIC, "192.168.0.1", LOOPBACK))

    def test_a_url_is_remembered_if_its_host_may_be_called(self) -> None:
        policy = AddressPolicy(["http://8.8.4.4"])
        assert policy.permits_url("http://name.example:8080")
        assert policy.permits_url("http://8.8.8.8:8080")
        assert not policy.permits_url("http://127.0.0.1:22")
        assert not policy.permits_url("http://[::1]:8080")

    def test_mistakes_in_the_configuration_are_named(self) -> None:
        assert parse_networks("peerallowednetworks", ["10.0.0.5/8"]) == [ip_network("10.0.0.0/8")]
        with pytest.raises(ManagerConfigError, match="peerdeniednetworks"):
            parse_networks("peerdeniednetworks", ["intranet"])


class Names:
    """Answers look-ups with what it is given, one answer after the other. Addresses need no answer."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *answers: str) -> None:
        self.answers = list(answers)
        self._literal = socket.getaddrinfo
        monkeypatch.setattr(socket, "getaddrinfo", self.look_up)

    def look_up(self, host: str | bytes, port: int | None, *rest: int, **options: int) -> Sequence[object]:
        if options.get("flags") == socket.AI_NUMERICHOST or host in (LOOPBACK, LOOPBACK.encode()):
            return self._literal(host, port, *rest, **options)
        answer = self.answers.pop(0)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (answer, port or 0))]


async def called(address: str, port: int) -> trio.SocketStream:
    raise OSError(f"no answer of {address}")


class TestConnections:
    async def test_a_name_of_a_forbidden_address_leads_nowhere_and_is_told_once(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        Names(monkeypatch, LOOPBACK, LOOPBACK)
        network = PermittedNetwork(AddressPolicy())
        with logs_of_this_thread() as logs:
            for _ in range(2):
                with pytest.raises(OSError, match="may be called"):
                    await network.connect("rebinding.example", 22, 1.5)
        (line,) = [entry["event"] for entry in logs]
        assert "rebinding.example (127.0.0.1)" in line
        assert "peerallowednetworks" in line

    async def test_the_address_that_was_checked_is_the_one_that_is_called(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A second look-up of the name would give another address."""
        async with trio.open_nursery() as nursery:
            listeners = await trio.open_tcp_listeners(0, host=LOOPBACK)
            nursery.start_soon(trio.serve_listeners, lambda stream: stream.aclose(), listeners)
            names = Names(monkeypatch, LOOPBACK, "169.254.169.254")
            network = PermittedNetwork(AddressPolicy(allowed=[ip_network("127.0.0.0/8")]))
            stream = await network.connect("rebinding.example", listeners[0].socket.getsockname()[1], 60.0)
            assert stream.socket.getpeername()[0] == LOOPBACK
            assert names.answers == ["169.254.169.254"]
            await stream.aclose()
            nursery.cancel_scope.cancel()

    async def test_our_own_name_says_that_the_network_is_private(self, monkeypatch: pytest.MonkeyPatch) -> None:
        policy = AddressPolicy(["http://manager1:8080"])
        assert not policy.permits_address(PRIVATE)
        Names(monkeypatch, "172.18.0.2")
        await allow_private_network_of_own_host(policy, "http://manager1:8080")
        assert policy.permits_address(PRIVATE)
        assert not policy.permits_address(LOOPBACK)

    async def test_our_own_name_on_loopback_does_not_open_this_machine(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Debian's `/etc/hosts` gives 127.0.1.1 to the own name."""
        policy = AddressPolicy(["http://manager1:8080"])
        Names(monkeypatch, "127.0.1.1")
        await allow_private_network_of_own_host(policy, "http://manager1:8080")
        assert not policy.permits_address(LOOPBACK)
        assert not policy.permits_url("http://127.0.0.1:8545")

    async def test_a_partner_s_name_on_loopback_leads_to_the_partner_alone(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async with trio.open_nursery() as nursery:
            (listener,) = await trio.open_tcp_listeners(0, host=LOOPBACK)
            nursery.start_soon(trio.serve_listeners, lambda stream: stream.aclose(), [listener])
            port = listener.socket.getsockname()[1]
            Names(monkeypatch, *[LOOPBACK] * 4)
            policy = AddressPolicy([f"http://partner.example:{port}"])
            network = PermittedNetwork(policy)
            for _ in range(2):
                stream = await network.connect("partner.example", port, 60.0)
                assert stream.socket.getpeername() == (LOOPBACK, port)
                await stream.aclose()
            assert not policy.permits_url(f"http://127.0.0.1:{port}")
            for host, other in ((LOOPBACK, port), ("stranger.example", port), ("partner.example", port - 1)):
                with pytest.raises(OSError, match="may be called"):
                    await network.connect(host, other, 60.0)
            nursery.cancel_scope.cancel()

    @pytest.mark.parametrize("address", ["169.254.169.254", "10.9.0.1"])
    async def test_a_partner_s_name_does_not_lead_where_no_call_may_go(
        self, address: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        Names(monkeypatch, address)
        network = PermittedNetwork(AddressPolicy(["http://partner:8080"], denied=[ip_network("10.9.0.0/16")]))
        with pytest.raises(OSError, match="may be called"):
            await network.connect("partner", 8080, 60.0)

    async def test_a_partner_s_name_in_a_private_network_opens_it(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """The managers of a Docker network announce each other by names of containers."""
        Names(monkeypatch, "172.18.0.2")
        policy = AddressPolicy(["http://manager2:8080"])
        monkeypatch.setattr(trio, "open_tcp_stream", called)
        with pytest.raises(OSError, match="no answer of 172"):
            await PermittedNetwork(policy).connect("manager2", 8080, 60.0)
        assert policy.permits_address("172.18.0.3")


class SilentServers:
    """The name servers of `*.evil.example` do not answer before `end` is set. All other names are on loopback."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.end, self.asked = threading.Event(), 0
        self._literal = socket.getaddrinfo
        monkeypatch.setattr(socket, "getaddrinfo", self.look_up)

    def look_up(self, host: str | bytes, port: int | None, *rest: int, **options: int) -> Sequence[object]:
        name = host.decode() if isinstance(host, bytes) else host
        if options.get("flags") == socket.AI_NUMERICHOST or name == LOOPBACK:
            return self._literal(host, port, *rest, **options)
        if name.endswith("evil.example"):
            self.asked += 1
            self.end.wait(60.0)
            raise socket.gaierror("no answer")
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (LOOPBACK, port or 0))]


async def test_silent_name_servers_of_strangers_hold_neither_partners_nor_other_work(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    servers = SilentServers(monkeypatch)
    try:
        async with trio.open_nursery() as nursery:
            (listener,) = await trio.open_tcp_listeners(0, host=LOOPBACK)
            nursery.start_soon(trio.serve_listeners, lambda stream: stream.aclose(), [listener])
            port = listener.socket.getsockname()[1]
            policy = AddressPolicy([f"http://partner.example:{port}"], allowed=[ip_network("127.0.0.0/8")])
            network = PermittedNetwork(policy)
            async with trio.open_nursery() as calls:
                for number in range(100):
                    calls.start_soon(network.connect, f"{number}.evil.example", 80, 60.0)
                while servers.asked < STRANGER_LOOK_UPS:
                    await trio.testing.wait_all_tasks_blocked(0.01)
                # The calls give up. Their threads go on to wait for the name servers.
                calls.cancel_scope.cancel()
            with trio.fail_after(20):
                for host in ("partner.example", LOOPBACK):
                    await (await network.connect(host, port, 60.0)).aclose()
                assert await trio.to_thread.run_sync(lambda: "other work") == "other work"
            assert servers.asked == STRANGER_LOOK_UPS
            nursery.cancel_scope.cancel()
    finally:
        servers.end.set()
