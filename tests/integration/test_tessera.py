"""A real Tessera in orion mode behind our node: its client API as the node uses it, and private contracts between nodes."""

import base64
import json
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from lacnode.primitives.hexadecimal import to_hex
from lacnode.privacy.group_ids import group_id
from lacnode.privacy.keys import KeyPair, to_base64
from lacnode.privacy.service.http_manager import HttpTransactionManager
from lacnode.privacy.state.private_transaction import private_contract_address
from lacnode.privacy.transaction_manager import EnclaveError, GroupType
from lacnode.rpc.privacy_errors import manager_error
from tests.support.devnet import Devnet, ask, running_devnet, until
from tests.support.managers import OwnManager, TesseraManager, locked_keys, needs_tessera, needs_tessera_jar
from tests.support.private_nodes import ALICE, KEEPER, deploying, private

pytestmark = [needs_tessera, pytest.mark.xdist_group("tessera")]

SECRET = b"certificate ES-0001 is suspended"
"""One word of a contract's storage."""

OCTETS = {"content-type": "application/octet-stream"}
WRITERS = ("writer-1", "writer-2", "writer-3")


@pytest.fixture(scope="module")
def tesseras(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[TesseraManager]]:
    """Two that know each other."""
    path = tmp_path_factory.mktemp("tesseras")
    with ExitStack() as stack:
        first = TesseraManager(path / "first")
        stack.callback(first.close)
        second = TesseraManager(path / "second", [first.node_url])
        stack.callback(second.close)
        until(lambda: first.knows(second.key) and second.knows(first.key), "Tesseras that know each other")
        yield [first, second]


class TestClientApi:
    @pytest.fixture
    def clients(self, tesseras: list[TesseraManager]) -> Iterator[list[HttpTransactionManager]]:
        with ExitStack() as stack:
            yield [stack.enter_context(HttpTransactionManager(tessera.client_url)) for tessera in tesseras]

    @pytest.fixture
    def keys(self, tesseras: list[TesseraManager]) -> list[bytes]:
        return [tessera.key for tessera in tesseras]

    def test_a_payload_is_every_partys_and_nobody_elses(
        self, clients: list[HttpTransactionManager], keys: list[bytes]
    ) -> None:
        a, b = clients
        assert a.is_up()
        key = a.send(SECRET, keys[0], [keys[1]])
        for client, to in ((a, None), (a, keys[0]), (b, None), (b, keys[1])):
            received = client.receive(key, to)
            assert (received.payload, received.sender, received.group_id) == (SECRET, keys[0], group_id(keys))
        own = a.send(SECRET, keys[0], [])
        assert a.receive(own).group_id == group_id(keys[:1])
        with pytest.raises(EnclaveError, match=r"^EnclavePayloadNotFound$"):
            b.receive(own)
        with pytest.raises(EnclaveError, match=r"^EnclaveKeysCannotDecryptPayload$"):
            b.receive(key, KeyPair.generate().public)

    def test_a_large_payload(self, clients: list[HttpTransactionManager], keys: list[bytes]) -> None:
        large = SECRET * 30_000
        assert clients[1].receive(clients[0].send(large, None, [keys[1]])).payload == large

    def test_groups_are_made_found_used_and_deleted(
        self, clients: list[HttpTransactionManager], keys: list[bytes]
    ) -> None:
        a, b = clients
        group = a.create_group(keys, keys[0], "customs", "two administrations", b"seed")
        assert (group.id, group.type) == (group_id(keys, b"seed"), GroupType.PANTHEON)
        assert (group.name, group.description, set(group.members)) == ("customs", "two administrations", set(keys))
        nameless = a.create_group(keys, keys[0])
        assert b.retrieve_group(group.id) == group
        assert {group.id, nameless.id} <= {found.id for found in b.find_groups(keys[::-1])}
        assert a.find_groups([*keys, KeyPair.generate().public]) == []
        received = a.receive(b.send_to_group(SECRET, keys[1], group.id))
        assert (received.payload, received.sender, received.group_id) == (SECRET, keys[1], group.id)
        assert b.delete_group(group.id, keys[1]) == group.id
        for client in clients:
            with pytest.raises(EnclaveError, match=r"^PrivacyGroupNotFound$"):
                client.retrieve_group(group.id)
            with pytest.raises(EnclaveError, match=r"^PrivacyGroupNotFound$"):
                client.send_to_group(SECRET, keys[0], group.id)

    def test_refusals(self, clients: list[HttpTransactionManager], keys: list[bytes]) -> None:
        a, stranger = clients[0], KeyPair.generate().public
        with pytest.raises(EnclaveError, match=r"^Recipient not found for key:$"):
            a.send(SECRET, keys[0], [stranger])
        with pytest.raises(EnclaveError, match=r"^Recipient not found for key:$"):
            a.create_group([keys[0], stranger], keys[0])
        with pytest.raises(EnclaveError, match=r"^The list of members in a privacy group should include self$"):
            a.create_group([keys[1]], keys[0])
        with pytest.raises(EnclaveError, match=r"^EnclavePayloadNotFound$"):
            a.receive(bytes(32))
        with pytest.raises(EnclaveError, match=r"not found"):
            a.send(SECRET, keys[1], [keys[0]])


@pytest.fixture(scope="module")
def network(
    tesseras: list[TesseraManager], own: OwnManager, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Devnet]:
    """A devnet whose writers 1 and 2 have each a Tessera, and writer 3 our manager that exchanges with both."""
    options = ("--privacy", "--validators", "1", "--block-period", "0.5")
    with running_devnet(tmp_path_factory.mktemp("tessera") / "net", *options) as network:
        managers: dict[str, TesseraManager | OwnManager] = dict(zip(WRITERS, [*tesseras, own], strict=True))
        for name, manager in managers.items():
            network.command("kill", name)
            give(network, name, manager)
        network.command("start", *managers)
        for name in managers:
            until(lambda name=name: ask(network.url(name), "eth_chainId") is not None, f"{name} is up")  # type: ignore[misc]
        yield network


def give(network: Devnet, name: str, manager: TesseraManager | OwnManager) -> None:
    """Have the node use `manager` from its next start on."""
    file = network.path / "nodes" / name / "config.toml"
    left = ("privacy-public-key-file=", "privacy-manager-config-file=")
    kept = [line for line in file.read_text().splitlines() if not line.startswith(left)]
    told = {"privacy-public-key-file": str(manager.key_file), "privacy-url": manager.client_url}
    file.write_text("\n".join([*kept, *(f"{key}={json.dumps(value)}" for key, value in told.items())]) + "\n")


def sent(network: Devnet, name: str, nonce: int, **fields: Any) -> str:
    """The marker of a private transaction of Alice's."""
    url = network.url(name)
    raw = private(ALICE, nonce, chain_id=int(ask(url, "eth_chainId"), 16), **fields).raw
    body = {"jsonrpc": "2.0", "id": 1, "method": "eea_sendRawTransaction", "params": [to_hex(raw)]}
    answer = httpx.post(url, json=body, timeout=30).json()
    assert "error" not in answer, answer
    return str(answer["result"])


def executed(network: Devnet, name: str, marker: str) -> dict[str, Any]:
    """The private receipt, once there is one."""
    url = network.url(name)
    until(lambda: ask(url, "priv_getTransactionReceipt", marker) is not None, f"{marker} executed at {name}")
    found: dict[str, Any] = ask(url, "priv_getTransactionReceipt", marker)
    assert found["status"] == "0x1"
    return found


def test_two_nodes_with_tesseras_execute_one_private_contract(network: Devnet, tesseras: list[TesseraManager]) -> None:
    one, two = (tessera.key for tessera in tesseras)
    first = sent(network, WRITERS[0], 0, data=deploying(KEEPER), private_from=one, private_for=[two])
    receipts = [executed(network, name, first) for name in WRITERS[:2]]
    assert receipts[0] == receipts[1]
    contract = bytes.fromhex(receipts[0]["contractAddress"][2:])
    second = sent(network, WRITERS[1], 1, data=SECRET, to=contract, private_from=two, private_for=[one])
    assert executed(network, WRITERS[0], second) == executed(network, WRITERS[1], second)
    group = to_base64(group_id([one, two]))
    for name in WRITERS[:2]:
        assert ask(network.url(name), "priv_call", group, {"to": to_hex(contract)}, "latest") == to_hex(SECRET)
    assert ask(network.url("writer-3"), "priv_getTransactionReceipt", first) is None


def test_nodes_with_tesseras_share_a_group_by_name(network: Devnet, tesseras: list[TesseraManager]) -> None:
    keys = [to_base64(tessera.key) for tessera in tesseras]
    group = ask(network.url(WRITERS[0]), "priv_createPrivacyGroup", {"addresses": keys, "name": "customs"})
    assert group in [found["privacyGroupId"] for found in ask(network.url(WRITERS[1]), "priv_findPrivacyGroup", keys)]
    raw_group = base64.b64decode(group)
    marker = sent(network, WRITERS[1], 0, data=deploying(KEEPER), private_from=tesseras[1].key, group=raw_group)
    receipts = [executed(network, name, marker) for name in WRITERS[:2]]
    assert receipts[0] == receipts[1]
    assert receipts[0]["contractAddress"] == to_hex(private_contract_address(ALICE.address, 0, raw_group))


@pytest.fixture(scope="module")
def own(tesseras: list[TesseraManager], tmp_path_factory: pytest.TempPathFactory) -> Iterator[OwnManager]:
    """Our manager, which exchanges with both Tesseras."""
    manager = OwnManager(tmp_path_factory.mktemp("own") / "own", tesseras=[tessera.node_url for tessera in tesseras])
    try:
        meet(manager, tesseras)
        yield manager
    finally:
        manager.close()


def meet(manager: OwnManager, tesseras: Sequence[TesseraManager]) -> None:
    until(lambda: manager.knows(*(tessera.key for tessera in tesseras)), "our manager knows the Tesseras' keys")
    until(lambda: all(tessera.knows(manager.key) for tessera in tesseras), "the Tesseras know our manager's key")


@dataclass
class Pair:
    """Clients of our manager and of a Tessera, and the keys of both."""

    ours: HttpTransactionManager
    theirs: HttpTransactionManager
    our_key: bytes
    their_key: bytes

    @property
    def keys(self) -> list[bytes]:
        return [self.our_key, self.their_key]


class TestPeerProtocol:
    @pytest.fixture
    def pair(self, tesseras: list[TesseraManager], own: OwnManager) -> Iterator[Pair]:
        with (
            HttpTransactionManager(own.client_url) as ours,
            HttpTransactionManager(tesseras[0].client_url) as theirs,
        ):
            yield Pair(ours, theirs, own.key, tesseras[0].key)

    @pytest.mark.parametrize("size", [1, 30_000])
    def test_payloads_go_both_ways(self, pair: Pair, size: int) -> None:
        ours, theirs = (pair.ours, pair.our_key), (pair.theirs, pair.their_key)
        for (sender, of), (receiver, to) in ((ours, theirs), (theirs, ours)):
            key = sender.send(SECRET * size, of, [to])
            for client in (sender, receiver):
                received = client.receive(key)
                assert (received.payload, received.sender) == (SECRET * size, of)
                assert received.group_id == group_id(pair.keys)

    def test_one_payload_for_two_tesseras_and_us(
        self, pair: Pair, tesseras: list[TesseraManager], own: OwnManager
    ) -> None:
        members = [own.key, *(tessera.key for tessera in tesseras)]
        with HttpTransactionManager(tesseras[1].client_url) as third:
            for sender, of in zip((pair.ours, pair.theirs, third), members, strict=True):
                key = sender.send(SECRET, of, [member for member in members if member != of])
                for client in (pair.ours, pair.theirs, third):
                    received = client.receive(key)
                    assert (received.payload, received.group_id) == (SECRET, group_id(members))

    def test_groups_of_either_are_the_others(self, pair: Pair) -> None:
        ours, theirs = (pair.ours, pair.our_key), (pair.theirs, pair.their_key)
        for (maker, of), (other, to) in ((ours, theirs), (theirs, ours)):
            group = maker.create_group(pair.keys, of, "customs", "two administrations")
            assert other.retrieve_group(group.id) == group
            assert group.id in [found.id for found in other.find_groups(pair.keys)]
            key = other.send_to_group(SECRET, to, group.id)
            assert (maker.receive(key).payload, maker.receive(key).group_id) == (SECRET, group.id)
            assert other.delete_group(group.id, to) == group.id
            with pytest.raises(EnclaveError, match=r"^PrivacyGroupNotFound$"):
                maker.retrieve_group(group.id)

    def test_what_is_lost_here_comes_back_from_a_tessera(
        self, pair: Pair, own: OwnManager, tesseras: list[TesseraManager]
    ) -> None:
        keys = [pair.ours.send(SECRET, own.key, [pair.their_key]), pair.theirs.send(SECRET, None, [own.key])]
        assert own.stop() == 0
        for file in own.path.glob("routerdb*"):
            file.unlink()
        own.start()
        meet(own, tesseras)
        for key in keys:
            until(lambda key=key: is_there(pair.ours, key), "the payload is back")  # type: ignore[misc]
            assert pair.ours.receive(key).payload == SECRET

    def test_a_tessera_that_is_down_is_told_of_and_met_again(
        self, pair: Pair, own: OwnManager, tesseras: list[TesseraManager]
    ) -> None:
        tesseras[0].stop()
        try:
            with pytest.raises(EnclaveError, match=r"^NodePropagatingToAllPeers$"):
                pair.ours.send(SECRET, own.key, [pair.their_key])
            with HttpTransactionManager(tesseras[1].client_url) as another:
                until(
                    lambda: refusal(another, tesseras[0].key) == "Recipient not found for key:",
                    "Tessera has noticed too",
                )
        finally:
            tesseras[0].start()
        meet(own, tesseras)
        assert pair.ours.receive(pair.theirs.send(SECRET, None, [own.key])).payload == SECRET


def test_over_tls_each_trusts_the_other_on_first_use(tmp_path: Path) -> None:
    with ExitStack() as stack:
        tessera = TesseraManager(tmp_path / "tessera", tls=True)
        stack.callback(tessera.close)
        own = OwnManager(tmp_path / "own", tesseras=[tessera.node_url], tls=True)
        stack.callback(own.close)
        until(lambda: own.knows(tessera.key), "our manager knows the Tessera's key")
        theirs = stack.enter_context(HttpTransactionManager(tessera.client_url))
        ours = stack.enter_context(HttpTransactionManager(own.client_url))
        assert theirs.receive(ours.send(SECRET, None, [tessera.key])).payload == SECRET
        sent: list[bytes] = []

        def is_sent() -> bool:
            try:
                sent.append(theirs.send(SECRET, None, [own.key]))
            except EnclaveError:
                return False
            return True

        until(is_sent, "the Tessera knows our manager's key")
        assert ours.receive(sent[0]).payload == SECRET


@needs_tessera_jar
def test_our_manager_takes_the_place_of_a_tessera(tesseras: list[TesseraManager], tmp_path: Path) -> None:
    """With its key files as Tessera made and locked them, at its URL, with what its database had."""
    partner = tesseras[0]
    old = TesseraManager(tmp_path / "old", [partner.node_url], locked_keys(tmp_path, "correct horse"))
    with ExitStack() as stack:
        stack.callback(old.close)
        until(lambda: partner.knows(old.key) and old.knows(partner.key), "Tesseras that know each other")
        others = stack.enter_context(HttpTransactionManager(partner.client_url))
        with HttpTransactionManager(old.client_url) as theirs:
            group = theirs.create_group([old.key, partner.key], old.key, "customs", "two administrations")
            keys = [
                theirs.send(SECRET * 30_000, None, [partner.key]),
                theirs.send_to_group(SECRET, old.key, group.id),
                theirs.send(SECRET, None, []),
                others.send(SECRET, None, [old.key]),
            ]
            had = [theirs.receive(key) for key in keys]
        old.stop()
        new = OwnManager(tmp_path / "new", tesseras=[partner.node_url], keys=old.keys, node_port=old.node_port)
        stack.callback(new.close)
        meet(new, [partner])
        for path, kept in (
            ("/pushPrivacyGroup", old.kept("DATA", "PRIVACY_GROUP")),
            ("/push", old.kept("ENCODED_PAYLOAD", "ENCRYPTED_TRANSACTION")),
        ):
            for record in kept:
                answer = httpx.post(f"{new.node_url}{path}", content=record, headers=OCTETS)
                assert answer.status_code in (200, 201), answer.text
        client = stack.enter_context(HttpTransactionManager(new.client_url))
        assert [client.receive(key) for key in keys] == had
        assert client.retrieve_group(group.id) == group
        for sender, receiver, of in ((client, others, new.key), (others, client, partner.key)):
            received = receiver.receive(sender.send_to_group(SECRET, of, group.id))
            assert (received.payload, received.group_id) == (SECRET, group.id)


def refusal(client: HttpTransactionManager, key: bytes) -> str:
    """What a client is told that sends to `key`."""
    with pytest.raises(EnclaveError) as error:
        client.send(SECRET, None, [key])
    told = manager_error(error.value).message
    assert told in ("Error communicating with enclave", "Recipient not found for key:")
    return told


def is_there(client: HttpTransactionManager, key: bytes) -> bool:
    try:
        return bool(client.receive(key))
    except EnclaveError:
        return False


def test_a_private_contract_of_nodes_with_either_manager(
    network: Devnet, tesseras: list[TesseraManager], own: OwnManager
) -> None:
    theirs = tesseras[0].key
    first = sent(network, "writer-3", 0, data=deploying(KEEPER), private_from=own.key, private_for=[theirs])
    receipts = [executed(network, name, first) for name in ("writer-1", "writer-3")]
    assert receipts[0] == receipts[1]
    contract = bytes.fromhex(receipts[0]["contractAddress"][2:])
    second = sent(network, "writer-1", 1, data=SECRET, to=contract, private_from=theirs, private_for=[own.key])
    assert executed(network, "writer-1", second) == executed(network, "writer-3", second)
    group = to_base64(group_id([theirs, own.key]))
    for name in ("writer-1", "writer-3"):
        assert ask(network.url(name), "priv_call", group, {"to": to_hex(contract)}, "latest") == to_hex(SECRET)
    roots = [ask(network.url(name), "priv_debugGetStateRoot", group, "latest") for name in ("writer-1", "writer-3")]
    assert roots[0] == roots[1] is not None
    assert ask(network.url("writer-2"), "priv_getTransactionReceipt", first) is None
