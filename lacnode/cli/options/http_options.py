"""JSON-RPC over HTTP, and what methods answer with."""

from lacnode.cli.options.option import Option, OptionBehaviour, OptionKind

JWT_ALGORITHMS = ("RS256", "RS384", "RS512", "ES256", "ES384", "ES512", "HS256")
"""The algorithms of tokens, for HTTP and for WebSocket."""

HTTP_OPTIONS = (
    Option("rpc-http-enabled", OptionKind.BOOL, "false", "Start HTTP RPC"),
    Option("rpc-http-host", OptionKind.STRING, "127.0.0.1", "Bind host"),
    Option("rpc-http-port", OptionKind.INT, "8545", "Port; 0 = any"),
    Option(
        "rpc-http-api",
        OptionKind.LIST,
        "ETH,NET,WEB3",
        "Groups, upper case: see `rpc_modules`",
        aliases=("rpc-http-apis",),
    ),
    Option(
        "rpc-http-api-method-no-auth",
        OptionKind.LIST,
        "",
        "Methods callable without token",
        aliases=("rpc-http-api-methods-no-auth",),
    ),
    Option("rpc-http-cors-origins", OptionKind.LIST, "", "Origins (regex), */all, none"),
    Option("host-allowlist", OptionKind.LIST, "localhost,127.0.0.1", "Accepted Host headers; */all, none"),
    Option("host-whitelist", OptionKind.LIST, "", "deprecated alias with its own storage", hidden=True),
    Option("rpc-http-max-active-connections", OptionKind.INT, "80", "Connection limit"),
    Option("rpc-http-max-batch-size", OptionKind.INT, "1024", "Calls per batch; <= 0 unlimited"),
    Option("rpc-http-max-request-content-length", OptionKind.LONG, "5242880", "Body limit, bytes"),
    Option("json-pretty-print-enabled", OptionKind.BOOL, "false", "Indented JSON"),
    Option("rpc-http-authentication-enabled", OptionKind.BOOL, "false", "JWT auth"),
    Option("rpc-http-authentication-credentials-file", OptionKind.PATH, "", "TOML users"),
    Option("rpc-http-authentication-jwt-public-key-file", OptionKind.PATH, "", "External issuer key"),
    Option(
        "rpc-http-authentication-jwt-algorithm",
        OptionKind.ENUM,
        "RS256",
        "RS256, RS384, RS512, ES256, ES384, ES512, HS256",
        values=JWT_ALGORITHMS,
    ),
    Option("rpc-http-tls-enabled", OptionKind.BOOL, "false", "HTTPS"),
    Option("rpc-http-tls-keystore-file", OptionKind.PATH, "", "PKCS#12 with key and certificate"),
    Option("rpc-http-tls-keystore-password-file", OptionKind.PATH, "", "File whose first line is its password"),
    Option("rpc-http-tls-client-auth-enabled", OptionKind.BOOL, "false", "Clients need a certificate"),
    Option("rpc-http-tls-known-clients-file", OptionKind.PATH, "", "Their certificates: name and SHA-256 a line"),
    Option("rpc-http-tls-ca-clients-enabled", OptionKind.BOOL, "false", "Accept those of the system's authorities"),
    Option("rpc-http-tls-truststore-file", OptionKind.PATH, "", "PKCS#12 with their authorities"),
    Option("rpc-http-tls-truststore-password-file", OptionKind.PATH, "", "File whose first line is its password"),
    Option(
        "rpc-http-tls-protocols", OptionKind.LIST, "TLSv1.3,TLSv1.2", "Protocols", aliases=("rpc-http-tls-protocol",)
    ),
    Option(
        "rpc-http-tls-cipher-suites",
        OptionKind.LIST,
        "",
        "Java's names of the ciphers",
        aliases=("rpc-http-tls-cipher-suite",),
    ),
    Option("rpc-max-logs-range", OptionKind.LONG, "5000", "getLogs block range; 0 = off"),
    Option("rpc-max-trace-filter-range", OptionKind.LONG, "1000", "trace_filter block range; 0 = off"),
    Option("rpc-gas-cap", OptionKind.LONG, "50000000", "Gas cap of simulations; 0 = off (Besu's default since 25.2)"),
    Option(
        "rpc-call-timeout-seconds", OptionKind.INT, "5", "What one simulation or search may take: lacnode's own option"
    ),
    Option(
        "rpc-reader-processes",
        OptionKind.INT,
        "1",
        "Processes for heavy calls; 0 = a thread of the node: lacnode's own option",
    ),
    Option("rpc-tx-feecap", OptionKind.WEI, "1000000000000000000", "Max gas price accepted from RPC; 0 = off"),
    Option("api-gas-price-blocks", OptionKind.LONG, "100", "Window of eth_gasPrice"),
    Option("api-gas-price-percentile", OptionKind.DOUBLE, "50.0", "Percentile"),
    Option(
        "estimate-gas-tolerance-ratio", OptionKind.DOUBLE, "0.015", "How much too high an estimate may be; 0 = exact"
    ),
    Option("api-gas-price-max", OptionKind.LONG, "500000000000", "Upper clamp, wei"),
    Option(
        "api-gas-and-priority-fee-limiting-enabled",
        OptionKind.BOOL,
        "false",
        "bound rewards/priority fee",
        OptionBehaviour.IGNORED,
        hidden=True,
    ),
    Option(
        "api-gas-and-priority-fee-lower-bound-coefficient",
        OptionKind.LONG,
        "0",
        "percent",
        OptionBehaviour.IGNORED,
        hidden=True,
    ),
    Option(
        "api-gas-and-priority-fee-upper-bound-coefficient",
        OptionKind.LONG,
        "Long.MAX",
        "percent",
        OptionBehaviour.IGNORED,
        hidden=True,
    ),
)
