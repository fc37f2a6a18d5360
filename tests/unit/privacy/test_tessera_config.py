"""Tessera's configuration file as operators have it starts lacnode's manager, and says what it does not have."""

import json
import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import trio

from lacnode.privacy.keys import KeyPair
from lacnode.privacy.manager.key_files import save_key_pair
from lacnode.privacy.service.manager_config import ManagerConfig, ManagerConfigError, load_config
from lacnode.privacy.service.manager_service import ManagerService
from lacnode.privacy.service.run_manager import open_service
from tests.support.logs import captured_logs

PUBLISHED = Path(
    os.environ.get(
        "PUBLISHED_CONFIGURATIONS", Path(__file__).resolve().parents[4] / "shared" / "data" / "published-configurations"
    )
)
NAMES = ("tessera.j2", "tessera.conf", "tessera-config-template.json")
TEMPLATES = sorted(path for path in PUBLISHED.rglob("tessera*") if path.name in NAMES)
START_SECONDS = 30.0

Document = dict[str, Any]
Load = Callable[..., ManagerConfig]


def operators_file(directory: Path) -> Document:
    """A file of the kind that LACNet's scripts write: single objects stand for lists, and TLS is off."""
    return {
        "type": "config",
        "version": "20.10.2-SNAPSHOT",
        "useWhiteList": False,
        "disablePeerDiscovery": False,
        "bootstrapNode": False,
        "jdbc": {
            "username": "user1",
            "password": "p",
            "url": f"jdbc:h2:{directory}/tessera;MODE=Oracle",
            "fetchSize": 0,
        },
        "serverConfigs": [
            {
                "app": "Q2T",
                "communicationType": "REST",
                "bindingAddress": "http://0.0.0.0:4444",
                "serverAddress": "http://10.0.0.5:4444/",
                "properties": {},
            },
            {
                "app": "P2P",
                "communicationType": "REST",
                "sslConfig": {"tls": "OFF", "serverTlsKeyPath": "/nowhere/cer.key", "serverTrustMode": "CA"},
                "bindingAddress": "http://0.0.0.0:4040",
                "serverAddress": "http://10.0.0.5:4040/",
            },
        ],
        "peer": {"url": "http://10.0.0.6:4040"},
        "keys": {
            "passwordFile": f"{directory}/passwords",
            "keyData": {"privateKeyPath": f"{directory}/node.key", "publicKeyPath": f"{directory}/node.pub"},
        },
        "alwaysSendTo": [],
        "features": {"enableRemoteKeyValidation": False, "enablePrivacyEnhancements": False},
        "encryptor": {"type": "NACL"},
        "mode": "orion",
    }


@pytest.fixture
def load(tmp_path: Path) -> Load:
    """The configuration of an operator's file with keys changed, over key files that are there."""
    save_key_pair(tmp_path / "node", KeyPair.generate())
    (tmp_path / "passwords").write_text("\n")

    def make(environment: Mapping[str, str] | None = None, **changed: Any) -> ManagerConfig:
        file = tmp_path / "config.json"
        file.write_text(json.dumps({**operators_file(tmp_path), **changed}))
        return load_config(file, environment or {})

    return make


def mistakes(load: Load, environment: Mapping[str, str] | None = None, **changed: Any) -> str:
    with pytest.raises(ManagerConfigError) as refusal:
        load(environment, **changed)
    return str(refusal.value)


def server(app: str, address: str, **more: object) -> Document:
    return {"app": app, "serverAddress": address, **more}


async def _start(service: ManagerService) -> None:
    async with trio.open_nursery() as nursery:
        with trio.fail_after(START_SECONDS):
            await nursery.start(service.run)
        nursery.cancel_scope.cancel()


class TestOperatorsFile:
    def test_has_its_effect(self, load: Load, tmp_path: Path) -> None:
        config = load()
        assert (config.nodeurl, config.nodenetworkinterface, config.nodeport) == (
            "http://10.0.0.5:4040/",
            "0.0.0.0",
            4040,
        )
        assert (config.clientnetworkinterface, config.clientport) == ("0.0.0.0", 4444)
        assert (config.tls, config.clientconnectiontls) == ("off", "off")
        assert (config.tesseranodes, config.othernodes) == (("http://10.0.0.6:4040",), ())
        assert config.store_url == f"sqlite:///{tmp_path}/tessera.sqlite"

    def test_starts_and_warns_of_the_open_port_and_of_the_old_payloads(self, load: Load) -> None:
        config = load({"ORION_NODENETWORKINTERFACE": "127.0.0.1", "ORION_NODEPORT": "0", "ORION_CLIENTPORT": "0"})
        with captured_logs() as logs:
            service = open_service(config)
            try:
                trio.run(_start, service)
            finally:
                service.close()
        warnings = [entry["event"] for entry in logs if entry["log_level"] == "warning"]
        assert any(text.startswith("THE CLIENT PORT IS OPEN TO EVERYONE") for text in warnings)
        assert any("in Tessera's own tables are not read" in text for text in warnings)

    def test_a_server_without_a_binding_address_listens_on_its_own(self, load: Load) -> None:
        config = load(serverConfigs=[server("P2P", "http://10.0.0.5:9101"), server("Q2T", "http://127.0.0.1:9102")])
        assert (config.nodenetworkinterface, config.nodeport) == ("10.0.0.5", 9101)
        assert (config.clientnetworkinterface, config.clientport) == ("127.0.0.1", 9102)

    def test_the_own_url_is_no_peer(self, load: Load) -> None:
        urls = [{"url": "http://10.0.0.5:4040"}, {"url": "http://10.0.0.6:4040"}, {"url": "http://10.0.0.7:4040"}]
        assert load(peer=urls).tesseranodes == ("http://10.0.0.6:4040", "http://10.0.0.7:4040")

    @pytest.mark.parametrize(
        ("url", "expected"),
        [
            ("jdbc:h2:mem:test;MODE=Oracle", "sqlite://"),
            ("jdbc:h2:file:/var/lib/tessera", "sqlite:////var/lib/tessera.sqlite"),
            ("jdbc:sqlite:/var/lib/tessera.db", "sqlite:////var/lib/tessera.db.sqlite"),
            ("jdbc:postgresql://10.0.0.9:5432/private", "postgresql+psycopg://a%40b:p%2Fw@10.0.0.9:5432/private"),
        ],
    )
    def test_the_store_is_beside_tesseras(self, load: Load, url: str, expected: str) -> None:
        assert load(jdbc={"username": "a@b", "password": "p/w", "url": url}).store_url == expected

    def test_tls_is_taken_with_its_files_and_its_trust(self, load: Load) -> None:
        ssl = {
            "tls": "STRICT",
            "serverTlsKeyPath": "server.key",
            "serverTlsCertificatePath": "server.pem",
            "serverTrustMode": "WHITELIST",
            "clientTlsKeyPath": "client.key",
            "clientTlsCertificatePath": "client.pem",
            "clientTrustMode": "CA_OR_TOFU",
            "knownClientsFile": "known",
        }
        both = [server("P2P", "https://10.0.0.5", sslConfig=ssl), server("Q2T", "https://10.0.0.5:9102", sslConfig=ssl)]
        config = load(serverConfigs=both)
        assert (config.tls, config.tlsservercert, config.tlsserverkey) == ("strict", "server.pem", "server.key")
        assert (config.tlsclientcert, config.tlsclientkey) == ("client.pem", "client.key")
        assert (config.tlsservertrust, config.tlsclienttrust) == ("whitelist", "ca-or-tofu")
        assert (config.tlsknownclients, config.tlsknownservers) == ("known", "knownServers")
        assert (config.clientconnectiontls, config.clientconnectiontlsservercert) == ("strict", "server.pem")
        assert config.clientconnectiontlsservertrust == "whitelist"
        assert config.nodeport == 443


class TestMistakes:
    def test_all_of_them_are_in_one_message(self, load: Load) -> None:
        said = mistakes(
            load,
            mode="tessera",
            useWhiteList=True,
            disablePeerDiscovery="true",
            encryptor={"type": "EC"},
            features={"enableMultiplePrivateStates": True},
            jdbc={"url": "jdbc:oracle:thin:@db"},
            alwaysSendTo=["a key"],
            keys={"keyData": [{"config": {}, "publicKey": "a"}]},
            serverConfigs=[server("Q2T", "unix:/tmp/tessera.ipc"), server("ENCLAVE", "http://127.0.0.1:9")],
            unixSocketFile="/tmp/tessera.ipc",
            speed=1,
        )
        for expected in (
            *("mode: orion was expected, found tessera", "useWhiteList:", "disablePeerDiscovery:", "encryptor.type:"),
            *("features.enableMultiplePrivateStates", "jdbc.url:", "ORION_ALWAYSSENDTO", "keys.keyData:", "for Q2T"),
            *(
                "a server of the app P2P was expected",
                "an enclave in another process",
                "unixSocketFile:",
                "speed: no such",
            ),
        ):
            assert expected in said

    @pytest.mark.parametrize(
        "changed",
        [
            {"keys": {"keyData": 1}},
            {"serverConfigs": "a"},
            {"jdbc": []},
            {"jdbc": 1},
            {"peer": ["a"]},
            {"features": "a"},
        ],
    )
    def test_values_of_a_wrong_kind_are_named(self, load: Load, changed: Document) -> None:
        assert next(iter(changed)).removesuffix("s")[:3] in mistakes(load, **changed)

    def test_a_url_of_a_wrong_kind_is_named(self, load: Load) -> None:
        assert "tesseranodes" in mistakes(load, peer=[{"url": 1}])
        assert "tesseranodes" in mistakes(load, peer=[{"url": "10.0.0.6"}])

    def test_a_variable_makes_up_for_a_value_that_cannot_be_had(self, load: Load, tmp_path: Path) -> None:
        assert "alwaysSendTo" in mistakes(load, alwaysSendTo=["a key"])
        config = load({"ORION_ALWAYSSENDTO": "supervisor.pub"}, alwaysSendTo=["a key"])
        assert config.alwayssendto == ("supervisor.pub",)

    @pytest.mark.parametrize(("mode", "key"), [("CA", "serverTrustCertificates"), ("CA_OR_TOFU", "serverTrustStore")])
    def test_authorities_of_its_own_are_not_ignored(self, load: Load, mode: str, key: str) -> None:
        ssl = {"tls": "STRICT", "serverTrustMode": mode, key: ["ca.pem"]}
        said = mistakes(load, serverConfigs=[server("P2P", "https://10.0.0.5:1", sslConfig=ssl)])
        assert f"sslConfig.{key}" in said
        assert "ORION_TLSSERVERTRUST" in said
        assert "sslConfig.serverTlsCertificatePath: a PEM file was expected" in said

    @pytest.mark.parametrize("text", ["{", '{"a": }', '{"a":' + "[" * 100_000])
    def test_a_file_that_is_no_json_is_named(self, tmp_path: Path, text: str) -> None:
        file = tmp_path / "config.json"
        file.write_text(text)
        with pytest.raises(ManagerConfigError, match=re.escape(f"{file} is not JSON: ")):
            load_config(file, {})


@pytest.mark.skipif(not TEMPLATES, reason="the networks' repositories (PUBLISHED_CONFIGURATIONS) are not here")
@pytest.mark.parametrize("template", TEMPLATES, ids=lambda path: str(path.relative_to(PUBLISHED)))
def test_a_published_file_starts_with_its_paths_here(template: Path, load: Load, tmp_path: Path) -> None:
    load()
    text = template.read_text().replace("${TESSERA_MODE}", "orion").replace("0.0.0.0", "127.0.0.1")
    text = text.replace("${HOST_TESSERA_PEER}", "10.0.0.6")
    text = re.sub(r"\{\{ *\w+ *\}\}|\$\{\w+\}", "127.0.0.1", text)
    text = re.sub(r"/(?:root|opt)/lacchain/(?:tmp|pwd)/\.account_pass", str(tmp_path / "passwords"), text)
    text = re.sub(r'/[\w/]+/(?:nodeKey|tm)\.(key|pub)"', rf'{tmp_path}/node.\1"', text)
    text = re.sub(r"jdbc:h2:[./\w]+", f"jdbc:h2:{tmp_path}/tessera", text)
    (tmp_path / "config.json").write_text(text)
    config = load_config(tmp_path / "config.json", {"ORION_NODEPORT": "0", "ORION_CLIENTPORT": "0"})
    assert config.tesseranodes
    service = open_service(config)
    try:
        trio.run(_start, service)
    finally:
        service.close()
