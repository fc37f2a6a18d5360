"""Peers and discovery."""

from lacnode.cli.options.option import Option, OptionBehaviour, OptionKind

P2P_OPTIONS = (
    Option("p2p-enabled", OptionKind.BOOL, "true", "P2P service on/off"),
    Option("discovery-enabled", OptionKind.BOOL, "true", "UDP discovery"),
    Option("bootnodes", OptionKind.LIST, "none (with genesis file)", "Bootnodes; --bootnodes with no value = none"),
    Option("p2p-host", OptionKind.STRING, "127.0.0.1", "Advertised IP"),
    Option("p2p-interface", OptionKind.STRING, "0.0.0.0", "Bind address"),
    Option("p2p-port", OptionKind.INT, "30303", "TCP and UDP port; 0 = any free"),
    Option("max-peers", OptionKind.INT, "25", "Peer limit", aliases=("p2p-peer-upper-bound",)),
    Option("remote-connections-limit-enabled", OptionKind.BOOL, "true", "Limit peers that dialled us"),
    Option("remote-connections-max-percentage", OptionKind.PERCENT, "60", "Share of max-peers for inbound"),
    Option(
        "random-peer-priority-enabled",
        OptionKind.BOOL,
        "false",
        "Random (not distance) priority for peers",
        OptionBehaviour.IGNORED,
    ),
    Option("banned-node-ids", OptionKind.LIST, "", "Never connect (128 hex, 0x optional)", aliases=("banned-node-id",)),
    Option("discovery-dns-url", OptionKind.STRING, "", "EIP-1459 tree", OptionBehaviour.IGNORED),
    Option(
        "nat-method",
        OptionKind.ENUM,
        "AUTO",
        "UPNP, UPNPP2PONLY, DOCKER, KUBERNETES, AUTO, NONE",
        OptionBehaviour.IGNORED,
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
