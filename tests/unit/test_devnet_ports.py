"""Two networks on one machine never get the same ports."""

import socket

from lacnode.devnet.ports import claimed_ports, node_ports


def test_a_claimed_hundred_is_nobody_elses() -> None:
    with claimed_ports(4) as first, claimed_ports(4) as second:
        assert first != second
        ours = {port for index in range(4) for port in node_ports(index, first)}
        theirs = {port for index in range(4) for port in node_ports(index, second)}
        assert not ours & theirs
    with claimed_ports(4) as again:
        assert again == first


def test_a_hundred_with_a_listener_in_it_is_passed_over() -> None:
    with claimed_ports(4) as offset:
        pass
    with socket.create_server(("127.0.0.1", node_ports(3, offset).ws)), claimed_ports(4) as other:
        assert other != offset
    with socket.create_server(("127.0.0.1", node_ports(3, offset).ws)), claimed_ports(3) as smaller:
        assert smaller == offset
