"""Enode URLs and static nodes files: what Besu takes, what it refuses, and what the operator is told."""

import json

import pytest

from lacnode.p2p.wire.enode import Enode, EnodeError, parse_static_nodes

ID = "0a" * 64


def url(place: str) -> str:
    return f"enode://{ID}@{place}"


@pytest.mark.parametrize(
    ("place", "host", "tcp", "udp"),
    [
        ("10.0.0.1:60606", "10.0.0.1", 60606, 60606),
        ("10.0.0.1:60606?discport=30301", "10.0.0.1", 60606, 30301),
        ("10.0.0.1:60606?discport=0", "10.0.0.1", 60606, None),
        ("10.0.0.1:0", "10.0.0.1", 0, None),
        ("10.0.0.1:0?discport=30301", "10.0.0.1", 0, 30301),
        ("[2001:db8::1]:30303", "2001:db8::1", 30303, 30303),
        ("2001:DB8:0::1:30303", "2001:db8::1", 30303, 30303),
    ],
)
def test_accepted_forms(place: str, host: str, tcp: int, udp: int | None) -> None:
    enode = Enode.parse(url(place))
    assert enode == Enode(bytes.fromhex(ID), host, tcp, udp)
    assert Enode.parse(str(enode)) == enode


def test_scheme_in_any_case() -> None:
    assert Enode.parse(url("1.2.3.4:5").replace("enode", "ENode")).tcp == 5


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "not an enode URL"),
        ("1.2.3.4:30303", "not an enode URL"),
        (url("1.2.3.4:30303").replace("enode:", "http:"), "scheme 'enode'"),
        ("enode://0x" + ID[2:] + "@1.2.3.4:30303", "128 hexadecimal digits"),
        ("enode://" + ID[1:] + "@1.2.3.4:30303", "found 127 characters"),
        (url("1.2.3.4"), "<host>:<port>"),
        (url("1.2.3.4:65536"), "port from 0 to 65535"),
        (url("1.2.3.4:-1"), "<host>:<port>"),
        (url("1.2.3.4:30303?discport=123456"), "discport=<port>"),
        (url("1.2.3.4:30303?discport=65536"), "port from 0 to 65535"),
        (url("1.2.3.4:30303?discovery=1"), "discport=<port>"),
        (url("1.2.3.4:30303?discport=1&x=2"), "discport=<port>"),
        (url("1.2.3.400:30303"), "IP address"),
        (url("validator1:30303"), "Invalid ip address. an IP address was expected, found a name"),
        (url("[1.2.3.4]:30303"), "no brackets"),
        (url(":30303"), "IP address"),
        (url("1.2.3.4:30303") + "x" * 2000, "not an enode URL"),
    ],
)
def test_refusals_say_what_was_expected(text: str, complaint: str) -> None:
    with pytest.raises(EnodeError, match=r"^Invalid enode URL syntax .*enode://<node_id>@<ip>:") as refusal:
        Enode.parse(text)
    assert complaint in str(refusal.value)
    assert len(str(refusal.value)) < 500


def test_names_only_where_allowed() -> None:
    enode = Enode.parse(url("Validator-1.example.org:60606"), allow_names=True)
    assert (enode.host, str(enode)) == ("validator-1.example.org", url("validator-1.example.org:60606"))


def test_permissioning_overlooks_the_discovery_port() -> None:
    enode = Enode.parse(url("1.2.3.4:60606"))
    assert enode.endpoint == Enode.parse(url("1.2.3.4:60606?discport=0")).endpoint
    assert enode.endpoint != Enode.parse(url("1.2.3.4:60607")).endpoint


class TestStaticNodes:
    def test_in_order_and_each_once(self) -> None:
        urls = [url("1.2.3.4:2"), url("1.2.3.4:1"), url("1.2.3.4:2")]
        assert [node.tcp for node in parse_static_nodes(json.dumps(urls))] == [2, 1]

    @pytest.mark.parametrize("text", ["", " \n", "[]"])
    def test_none(self, text: str) -> None:
        assert parse_static_nodes(text) == ()

    @pytest.mark.parametrize(
        ("text", "complaint"),
        [
            ("{}", "JSON array"),
            ("[", "JSON array"),
            ("[" * 100_000, "JSON array"),
            ("[1]", "entry 0 is not text"),
            (json.dumps([url("1.2.3.4:1"), "x"]), "entry 1"),
            (json.dumps([url("1.2.3.4:0")]), "listening port"),
        ],
    )
    def test_refusals_name_the_entry(self, text: str, complaint: str) -> None:
        with pytest.raises(EnodeError, match="static nodes") as refusal:
            parse_static_nodes(text)
        assert complaint in str(refusal.value)
