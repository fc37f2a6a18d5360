"""Peers and discovery."""

from lacnode.cli.options.option import Behaviour, Kind, Option

P2P_OPTIONS = (
    Option("p2p-enabled", Kind.BOOL, "true", "P2P service on/off"),
    Option("discovery-enabled", Kind.BOOL, "true", "UDP discovery"),
    Option("bootnodes", Kind.LIST, "none (with genesis file)", "Bootnodes; --bootnodes with no value = none"),
    Option("p2p-host", Kind.STRING, "127.0.0.1", "Advertised IP"),
    Option("p2p-interface", Kind.STRING, "0.0.0.0", "Bind address"),
    Option("p2p-port", Kind.INT, "30303", "TCP and UDP port; 0 = any free"),
    Option("max-peers", Kind.INT, "25", "Peer limit", aliases=("p2p-peer-upper-bound",)),
    Option("remote-connections-limit-enabled", Kind.BOOL, "true", "Limit peers that dialled us"),
    Option("remote-connections-max-percentage", Kind.PERCENT, "60", "Share of max-peers for inbound"),
    Option(
        "random-peer-priority-enabled",
        Kind.BOOL,
        "false",
        "Random (not distance) priority for peers",
        Behaviour.IGNORED,
    ),
    Option("banned-node-ids", Kind.LIST, "", "Never connect (128 hex, 0x optional)", aliases=("banned-node-id",)),
    Option("discovery-dns-url", Kind.STRING, "", "EIP-1459 tree", Behaviour.IGNORED),
    Option(
        "nat-method",
        Kind.ENUM,
        "AUTO",
        "UPNP, UPNPP2PONLY, DOCKER, KUBERNETES, AUTO, NONE",
        Behaviour.IGNORED,
        values=(
            "UPNP",
            "UPNPP2PONLY",
            "DOCKER",
            "KUBERNETES",
            "AUTO",
            "NONE",
        ),
    ),
)
