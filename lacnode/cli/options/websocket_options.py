"""WebSocket, GraphQL and the engine API."""

from lacnode.cli.options.http_options import JWT_ALGORITHMS
from lacnode.cli.options.option import Option, OptionBehaviour, OptionKind

WEBSOCKET_OPTIONS = (
    Option("rpc-ws-enabled", OptionKind.BOOL, "false", "Start WS"),
    Option("rpc-ws-host", OptionKind.STRING, "127.0.0.1", "Bind host"),
    Option("rpc-ws-port", OptionKind.INT, "8546", "Port"),
    Option("rpc-ws-api", OptionKind.LIST, "ETH,NET,WEB3", "Groups", aliases=("rpc-ws-apis",)),
    Option(
        "rpc-ws-api-method-no-auth",
        OptionKind.LIST,
        "",
        "No-token methods",
        aliases=("rpc-ws-api-methods-no-auth",),
    ),
    Option("rpc-ws-max-active-connections", OptionKind.INT, "80", "Limit"),
    Option("rpc-ws-max-frame-size", OptionKind.INT, "1048576", "Bytes per frame"),
    Option("rpc-ws-authentication-enabled", OptionKind.BOOL, "false", "JWT auth"),
    Option("rpc-ws-authentication-credentials-file", OptionKind.PATH, "", "TOML users"),
    Option("rpc-ws-authentication-jwt-public-key-file", OptionKind.PATH, "", "External issuer key"),
    Option(
        "rpc-ws-authentication-jwt-algorithm",
        OptionKind.ENUM,
        "RS256",
        "As HTTP",
        values=JWT_ALGORITHMS,
    ),
    Option("rpc-ws-ssl-enabled", OptionKind.BOOL, "false", "TLS"),
    Option("rpc-ws-ssl-keystore-type", OptionKind.STRING, "", "PEM, or any other text for PKCS#12"),
    Option("rpc-ws-ssl-keystore-file", OptionKind.PATH, "", "PKCS#12 with key and certificate"),
    Option("rpc-ws-ssl-keystore-password", OptionKind.STRING, "", "Its password; better in a file"),
    Option("rpc-ws-ssl-keystore-password-file", OptionKind.PATH, "", "File whose first line is its password"),
    Option("rpc-ws-ssl-key-file", OptionKind.PATH, "", "Key, for PEM"),
    Option("rpc-ws-ssl-cert-file", OptionKind.PATH, "", "Certificate and its chain, for PEM"),
    Option("rpc-ws-ssl-client-auth-enabled", OptionKind.BOOL, "false", "Clients need a certificate"),
    Option("rpc-ws-ssl-truststore-type", OptionKind.STRING, "", "PEM, or any other text for PKCS#12"),
    Option("rpc-ws-ssl-truststore-file", OptionKind.PATH, "", "PKCS#12 with their authorities"),
    Option("rpc-ws-ssl-truststore-password", OptionKind.STRING, "", "Its password; better in a file"),
    Option("rpc-ws-ssl-truststore-password-file", OptionKind.PATH, "", "File whose first line is its password"),
    Option("rpc-ws-ssl-trustcert-file", OptionKind.PATH, "", "Their authorities, for PEM"),
    Option("graphql-http-enabled", OptionKind.BOOL, "false", "Start GraphQL"),
    Option("graphql-http-host", OptionKind.STRING, "127.0.0.1", "Bind host"),
    Option("graphql-http-port", OptionKind.INT, "8547", "Port; 0 = any"),
    Option("graphql-http-cors-origins", OptionKind.LIST, "", "Origins (regex), */all, none"),
    Option("engine-rpc-enabled", OptionKind.BOOL, "false", "Engine API (merge networks)", OptionBehaviour.IGNORED),
    Option(
        "engine-rpc-port", OptionKind.INT, "8551", "Port", OptionBehaviour.IGNORED, aliases=("engine-rpc-http-port",)
    ),
    Option("engine-jwt-secret", OptionKind.PATH, "", "Shared secret", OptionBehaviour.IGNORED),
    Option("engine-jwt-disabled", OptionKind.BOOL, "false", "No engine auth", OptionBehaviour.IGNORED),
    Option(
        "engine-jwt-enabled",
        OptionKind.BOOL,
        "",
        "deprecated, ignored with a warning",
        OptionBehaviour.IGNORED,
        hidden=True,
    ),
    Option("engine-host-allowlist", OptionKind.LIST, "localhost,127.0.0.1", "Hosts", OptionBehaviour.IGNORED),
)
