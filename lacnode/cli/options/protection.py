"""Permissioning and privacy."""

from lacnode.cli.options.option import Behaviour, Kind, Option

PROTECTION_OPTIONS = (
    Option("permissions-nodes-config-file-enabled", Kind.BOOL, "false", "Local node allowlist"),
    Option("permissions-nodes-config-file", Kind.PATH, "<data-path>/permissions_config.toml", "Its file"),
    Option("permissions-accounts-config-file-enabled", Kind.BOOL, "false", "Local account allowlist"),
    Option("permissions-accounts-config-file", Kind.PATH, "<data-path>/permissions_config.toml", "Its file"),
    Option("permissions-nodes-contract-enabled", Kind.BOOL, "false", "Node permissioning by contract"),
    Option("permissions-nodes-contract-address", Kind.ADDRESS, "", "Ingress contract (LACChain 0x..9999)"),
    Option("permissions-nodes-contract-version", Kind.INT, "1", "1 = enode split in bytes32, 2 = string form"),
    Option("permissions-accounts-contract-enabled", Kind.BOOL, "false", "Account permissioning by contract"),
    Option("permissions-accounts-contract-address", Kind.ADDRESS, "", "Ingress contract (LACChain 0x..8888)"),
    Option("privacy-enabled", Kind.BOOL, "false", "Private transactions"),
    Option("privacy-url", Kind.STRING, "", "Transaction manager's client API"),
    Option(
        "privacy-manager-config-file",
        Kind.PATH,
        "",
        "Configuration (Orion's TOML) of a transaction manager in this process, where there is no --privacy-url",
    ),
    Option("privacy-public-key-file", Kind.PATH, "", "Enclave public key (base64)"),
    Option(
        "privacy-marker-transaction-signing-key-file",
        Kind.PATH,
        "none (random key per PMT)",
        "PMT signer",
    ),
    Option(
        "privacy-genesis-file", Kind.PATH, "", "Accounts that private states begin with (JSON, the same at each member)"
    ),
    Option("privacy-multi-tenancy-enabled", Kind.BOOL, "false", "Callers act for the key in their token"),
    Option("privacy-flexible-groups-enabled", Kind.BOOL, "false", "Flexible groups"),
    Option("privacy-onchain-groups-enabled", Kind.BOOL, "false", "deprecated name of the previous", hidden=True),
    Option("privacy-enable-database-migration", Kind.BOOL, "false", "Migrate private db", Behaviour.IGNORED),
    Option("privacy-tls-enabled", Kind.BOOL, "false", "TLS to the manager behind --privacy-url"),
    Option("privacy-tls-keystore-file", Kind.PATH, "", "PKCS#12 with the certificate to show it"),
    Option("privacy-tls-keystore-password-file", Kind.PATH, "", "File whose first line is its password"),
    Option("privacy-tls-known-enclave-file", Kind.PATH, "", "Its own certificate: host:port and SHA-256 a line"),
)
