"""Two networks on one machine never get the same ports."""

import socket

from lacnode.devnet.devnet_ports import MAX_DEVNET_NODES, claim_port_offset, developer_port, node_ports


def test_a_claimed_hundred_is_nobody_elses() -> None:
    with claim_port_offset(4) as first, claim_port_offset(4) as second:
        assert first != second
        ours = {port for index in range(MAX_DEVNET_NODES) for port in node_ports(index, first)}
        theirs = {port for index in range(MAX_DEVNET_NODES) for port in node_ports(index, second)}
        assert not (ours | {developer_port(first)}) & (theirs | {developer_port(second)})
        assert developer_port(first) not in ours


def test_a_port_with_a_listener_is_not_free() -> None:
    with claim_port_offset(4) as offset:
        ports = node_ports(3, offset)
        assert ports.are_free()
        for port in ports:
            with socket.create_server(("127.0.0.1", port)):
                assert not ports.are_free()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as discovery:
            discovery.bind(("127.0.0.1", ports.p2p))
            assert not ports.are_free()
        assert node_ports(2, offset).are_free()
