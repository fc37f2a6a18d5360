"""`orion.conf` as operators have it: every mistake in one message, chains of certificates, and a client port that is open to
everyone, which is told of and can be closed."""

import os
import re
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
import trio
from OpenSSL import SSL

from lacnode.http.http_messages import Request
from lacnode.privacy.keys import KeyPair
from lacnode.privacy.manager.key_files import save_key_pair
from lacnode.privacy.service.manager_config import ManagerConfig, ManagerConfigError, load_config, parse_networks
from lacnode.privacy.service.manager_service import ManagerService
from lacnode.privacy.service.run_manager import PORTS_FILE, open_service, run_manager
from lacnode.privacy.service.tls import load_or_create_client_tls, load_or_create_server_tls, parse_trust
from tests.support.certificates import certificate, issuer
from tests.support.logs import captured_logs

PUBLISHED = Path(
    os.environ.get(
        "PUBLISHED_CONFIGURATIONS", Path(__file__).resolve().parents[4] / "shared" / "data" / "published-configurations"
    )
)
TEMPLATES = sorted(PUBLISHED.rglob("orion.j2"))

OPERATORS = """\
#!/bin/bash

nodeurl = "https://127.0.0.1:4040/"
nodeport = 4040
nodenetworkinterface = "0.0.0.0"
clientnetworkinterface = "0.0.0.0"
clienturl = "http://127.0.0.1:4444/"
clientport = 4444
publickeys = ["{0}/node.pub"]
privatekeys = ["{0}/node.key"]
passwords = "{0}/passwords"
othernodes = []
tls = "strict"
tlsservercert = "{0}/node.pem"
tlsserverchain = ["{0}/root.pem"]
tlsserverkey = "{0}/node-tls.key"
tlsclientcert = "{0}/node.pem"
tlsclientchain = ["{0}/root.pem"]
tlsclientkey = "{0}/node-tls.key"
tlsservertrust = "ca"
tlsclienttrust = "ca"
"""
"""The keys that the networks' own scripts write."""

Load = Callable[..., ManagerConfig]


@pytest.fixture
def load(tmp_path: Path) -> Load:
    """The configuration of operators, with lines changed or added, over files that are there."""
    save_key_pair(tmp_path / "node", KeyPair.generate())
    (tmp_path / "passwords").write_text("secret\n")
    key = (tmp_path / "node.key").read_bytes()
    certificate(tmp_path, "root")
    certificate(tmp_path, "node", issuer(tmp_path, "root"))
    (tmp_path / "node.key").rename(tmp_path / "node-tls.key")
    (tmp_path / "node.key").write_bytes(key)

    def make(added: str = "", **changed: str) -> ManagerConfig:
        text = OPERATORS.format(tmp_path)
        for name, value in changed.items():
            text = re.sub(rf"^{name} = .*$", f"{name} = {value}", text, flags=re.MULTILINE)
        (tmp_path / "orion.conf").write_text(text + added)
        return load_config(
            tmp_path / "orion.conf", {"ORION_WORKDIR": str(tmp_path / "work"), "ORION_STORAGE": "memory"}
        )

    return make


def opened(config: ManagerConfig) -> tuple[ManagerService, list[str]]:
    """The service, which is closed again, and what it warned of."""
    with captured_logs() as logs:
        service = open_service(config)
    service.close()
    return service, [entry["event"] for entry in logs if entry["log_level"] == "warning"]


class TestOperatorsFile:
    def test_starts_and_says_loudly_that_its_client_port_is_open(self, load: Load) -> None:
        _, warnings = opened(load())
        (warning,) = [text for text in warnings if text.startswith("THE CLIENT PORT IS OPEN TO EVERYONE")]
        for key in ("clientallowednetworks", "clienttokenfile", "clientconnectiontls", "clientnetworkinterface"):
            assert key in warning

    @pytest.mark.parametrize(
        ("added", "changed"),
        [
            ('clientallowednetworks = ["10.0.0.0/8"]', {}),
            ("", {"clientnetworkinterface": '"127.0.0.1"'}),
            ('clientconnectiontls = "strict"\nclientconnectiontlsservertrust = "whitelist"', {}),
        ],
    )
    def test_says_nothing_once_the_port_is_closed(self, load: Load, added: str, changed: dict[str, str]) -> None:
        assert opened(load(added, **changed))[1] == []

    def test_a_token_closes_it_too(self, load: Load, tmp_path: Path) -> None:
        (tmp_path / "token").write_text("0123456789abcdef")
        assert opened(load(f'clienttokenfile = "{tmp_path / "token"}"'))[1] == []

    @pytest.mark.parametrize("trust", ["tofu", "ca"])
    def test_trust_in_any_certificate_does_not_close_it(self, load: Load, trust: str) -> None:
        tls = f'clientconnectiontls = "strict"\nclientconnectiontlsservertrust = "{trust}"'
        assert any("IS OPEN TO EVERYONE" in text for text in opened(load(tls))[1])


class TestMistakes:
    @pytest.mark.parametrize("port", ["٣٠٠٠", "²", "1_0", "-1", "9" * 5000])
    def test_a_variable_that_is_no_number_is_named(self, port: str) -> None:
        with pytest.raises(ManagerConfigError, match="nodeport: int was expected"):
            load_config(None, {"ORION_NODEPORT": port})

    def test_all_of_them_are_in_one_message(self, load: Load) -> None:
        with pytest.raises(ManagerConfigError) as refusal:
            load(
                'speed = 1\nverbosity = "loud"\npeerdeniednetworks = ["here"]\nclientallowednetworks = ["there"]\n'
                "diskreservemegabytes = -1",
                nodeport="70000",
                tls='"maybe"',
                othernodes='["not a url"]',
                privatekeys="[]",
            )
        for name in (
            *("speed", "verbosity", "peerdeniednetworks", "clientallowednetworks", "diskreservemegabytes"),
            *("nodeport", "tls", "othernodes", "privatekeys"),
        ):
            assert f"{name}: " in str(refusal.value), name
        assert "\n" not in str(refusal.value)

    def test_all_that_is_wrong_with_the_files_is_in_one_message(self, load: Load, tmp_path: Path) -> None:
        for file in (tmp_path / "node.key", tmp_path / "node.pub"):
            file.unlink()
        save_key_pair(tmp_path / "node", KeyPair.generate(), "secret")
        (tmp_path / "passwords").write_text("wrong\n")
        (tmp_path / "root.pem").write_text("no certificate")
        token = f'clienttokenfile = "{tmp_path / "no-token"}"\nalwayssendto = ["{tmp_path / "nobody.pub"}"]'
        with pytest.raises(ManagerConfigError) as refusal:
            open_service(load(token))
        for name in ("node.key", "root.pem", "no-token", "nobody.pub"):
            assert name in str(refusal.value), name


class TestKeysThatAreAlwaysSentTo:
    @pytest.mark.parametrize(("count", "is_warned"), [(0, False), (1, False), (2, True)])
    def test_several_are_warned_of(self, load: Load, tmp_path: Path, count: int, is_warned: bool) -> None:
        """Other managers cannot compute the ids of the groups, and refuse what is sent."""
        for number in range(count):
            save_key_pair(tmp_path / f"observer{number}", KeyPair.generate())
        names = ", ".join(f'"{tmp_path}/observer{number}.pub"' for number in range(count))
        _, warnings = opened(load(f"alwayssendto = [{names}]"))
        found = [text for text in warnings if text.startswith("alwayssendto adds several keys")]
        assert len(found) == is_warned
        assert all("PrivacyGroupNotFound" in text for text in found)


class TestClientNetworks:
    @pytest.mark.parametrize(
        ("client", "status"),
        [("10.1.2.3", None), ("11.1.2.3", 403), ("2001:db8::", None), ("2001:db9::", 403), ("", 403)],
    )
    def test_only_clients_within_may_ask(self, load: Load, client: str, status: int | None) -> None:
        service, _ = opened(load('clientallowednetworks = ["10.0.0.0/8", "2001:db8::/32"]'))
        routes = service._client_routes()
        answer = routes.answer_head(Request("GET", "/upcheck", {"host": "manager.example:4444"}, client=client))
        assert (None if answer is None else answer.status) == status


class TestChains:
    def test_a_server_shows_its_chain(self, load: Load, tmp_path: Path) -> None:
        load()
        trust = parse_trust("tlsservertrust", "ca", tmp_path / "known")
        files = (tmp_path / "node.pem", tmp_path / "node-tls.key", trust, "127.0.0.1")
        for chain, shown in (((), ["node"]), ((tmp_path / "root.pem",), ["node", "root"])):
            assert _names_shown_by(load_or_create_server_tls(*files, chain).context) == shown

    def test_a_client_takes_a_chain(self, load: Load, tmp_path: Path) -> None:
        load()
        trust = parse_trust("tlsclienttrust", "ca", tmp_path / "known")
        found = load_or_create_client_tls(
            tmp_path / "node.pem", tmp_path / "node-tls.key", trust, "127.0.0.1", [tmp_path / "root.pem"]
        )
        assert found.by_chain is not None


def _names_shown_by(context: SSL.Context) -> list[str]:
    """The common names that a server with `context` shows to a client."""
    context.set_verify(SSL.VERIFY_NONE, lambda *_: True)
    client, server = SSL.Connection(SSL.Context(SSL.TLS_CLIENT_METHOD)), SSL.Connection(context)
    client.set_connect_state()
    server.set_accept_state()
    ends = [client, server]
    for end, other in (ends, ends[::-1]) * 4:
        with suppress(SSL.WantReadError):
            end.do_handshake()
        with suppress(SSL.WantReadError):
            other.bio_write(end.bio_read(65_536))
    chain = client.get_peer_cert_chain(as_cryptography=True) or ()
    return [shown.subject.rfc4514_string().removeprefix("CN=") for shown in chain]


@pytest.mark.skipif(not TEMPLATES, reason="the networks' repositories (PUBLISHED_CONFIGURATIONS) are not here")
@pytest.mark.parametrize("template", TEMPLATES, ids=lambda path: str(path.relative_to(PUBLISHED)))
def test_a_published_file_starts_with_its_paths_here(template: Path, load: Load, tmp_path: Path) -> None:
    load()
    text = re.sub(r"\{\{ *[\w.]+ *\}\}", "127.0.0.1", template.read_text())
    places = {
        "/root/lacchain/orion/keystore/nodeKey": "node",
        "/root/lacchain/tmp/.account_pass": "passwords",
        "/root/lacchain/orion/certificates/orion_cer.key": "node-tls.key",
        "/root/lacchain/orion/certificates/orion_cer.pem": "node.pem",
        "/root/lacchain/orion/certificates/orion_ca.pem": "root.pem",
    }
    for place, name in places.items():
        text = text.replace(place, str(tmp_path / name))
    text = re.sub(r"^(node|client)port = \d+", r"\1port = 0", text.replace("0.0.0.0", "127.0.0.1"), flags=re.MULTILINE)
    (tmp_path / "orion.conf").write_text(text)
    config = load_config(tmp_path / "orion.conf", {"ORION_WORKDIR": str(tmp_path), "ORION_STORAGE": "memory"})
    service = open_service(config)
    try:
        trio.run(_start, service)
    finally:
        service.close()


async def _start(service: ManagerService) -> None:
    async with trio.open_nursery() as nursery:
        with trio.fail_after(30):
            await nursery.start(service.run)
        nursery.cancel_scope.cancel()


def test_networks_are_parsed() -> None:
    assert len(parse_networks("clientallowednetworks", ["10.0.0.0/8", "::1"])) == 2


def test_a_ports_file_that_cannot_be_written_ends_the_manager_with_one_message(
    load: Load, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    # For the whole process, and there are threads already.
    monkeypatch.setattr("lacnode.privacy.service.run_manager.configure_malloc", lambda: None)
    config = load(
        nodeport="0", clientport="0", nodenetworkinterface='"127.0.0.1"', clientnetworkinterface='"127.0.0.1"'
    )
    (tmp_path / "work" / PORTS_FILE).mkdir(parents=True)
    assert run_manager(config) == 1
    (message,) = [line for line in capsys.readouterr().err.splitlines() if PORTS_FILE in line]
    assert "Is a directory" in message
