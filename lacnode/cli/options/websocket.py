"""WebSocket, GraphQL and the engine API."""

from lacnode.cli.options.option import Behaviour, Kind, Option

WEBSOCKET_OPTIONS = (
    Option("rpc-ws-enabled", Kind.BOOL, "false", "Start WS"),
    Option("rpc-ws-host", Kind.STRING, "127.0.0.1", "Bind host"),
    Option("rpc-ws-port", Kind.INT, "8546", "Port"),
    Option("rpc-ws-api", Kind.LIST, "ETH,NET,WEB3", "Groups", aliases=("rpc-ws-apis",)),
    Option(
        "rpc-ws-api-method-no-auth",
        Kind.LIST,
        "",
        "No-token methods",
        aliases=("rpc-ws-api-methods-no-auth",),
    ),
    Option("rpc-ws-max-active-connections", Kind.INT, "80", "Limit"),
    Option("rpc-ws-max-frame-size", Kind.INT, "1048576", "Bytes per frame"),
    Option("rpc-ws-authentication-enabled", Kind.BOOL, "false", "JWT auth"),
    Option("rpc-ws-authentication-credentials-file", Kind.PATH, "", "TOML users"),
    Option("rpc-ws-authentication-jwt-public-key-file", Kind.PATH, "", "External issuer key"),
    Option(
        "rpc-ws-authentication-jwt-algorithm",
        Kind.ENUM,
        "RS256",
        "As HTTP",
        values=(
            "RS256",
            "RS384",
            "RS512",
            "ES256",
            "ES384",
            "ES512",
            "HS256",
        ),
    ),
    Option("graphql-http-enabled", Kind.BOOL, "false", "Start GraphQL"),
    Option("graphql-http-host", Kind.STRING, "127.0.0.1", "Bind host"),
    Option("graphql-http-port", Kind.INT, "8547", "Port; 0 = any"),
    Option("graphql-http-cors-origins", Kind.LIST, "", "Origins (regex), */all, none"),
    Option("engine-rpc-enabled", Kind.BOOL, "false", "Engine API (merge networks)", Behaviour.IGNORED),
    Option("engine-rpc-port", Kind.INT, "8551", "Port", Behaviour.IGNORED, aliases=("engine-rpc-http-port",)),
    Option("engine-jwt-secret", Kind.PATH, "", "Shared secret", Behaviour.IGNORED),
    Option("engine-jwt-disabled", Kind.BOOL, "false", "No engine auth", Behaviour.IGNORED),
    Option("engine-jwt-enabled", Kind.BOOL, "", "deprecated, ignored with a warning", Behaviour.IGNORED, hidden=True),
    Option("engine-host-allowlist", Kind.LIST, "localhost,127.0.0.1", "Hosts", Behaviour.IGNORED),
)
