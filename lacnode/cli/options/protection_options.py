"""Permissioning and privacy."""

from lacnode.cli.options.option import Option, OptionBehaviour, OptionKind

PROTECTION_OPTIONS = (
    Option("permissions-nodes-config-file-enabled", OptionKind.BOOL, "false", "Local node allowlist"),
    Option("permissions-nodes-config-file", OptionKind.PATH, "<data-path>/permissions_config.toml", "Its file"),
    Option("permissions-accounts-config-file-enabled", OptionKind.BOOL, "false", "Local account allowlist"),
    Option("permissions-accounts-config-file", OptionKind.PATH, "<data-path>/permissions_config.toml", "Its file"),
    Option("permissions-nodes-contract-enabled", OptionKind.BOOL, "false", "Node permissioning by contract"),
    Option("permissions-nodes-contract-address", OptionKind.ADDRESS, "", "Ingress contract (LACChain 0x..9999)"),
    Option("permissions-nodes-contract-version", OptionKind.INT, "1", "1 = enode split in bytes32, 2 = string form"),
    Option("permissions-accounts-contract-enabled", OptionKind.BOOL, "false", "Account permissioning by contract"),
    Option("permissions-accounts-contract-address", OptionKind.ADDRESS, "", "Ingress contract (LACChain 0x..8888)"),
    Option("privacy-enabled", OptionKind.BOOL, "false", "Private transactions"),
    Option(
        "privacy-url",
        OptionKind.STRING,
        "",
        "URL of the transaction manager's client API; without it and a manager in this process, http://localhost:8888",
    ),
    Option(
        "privacy-manager-config-file",
        OptionKind.PATH,
        "",
        "Configuration (Orion's or Tessera's) of a transaction manager in this process, where there is no --privacy-url",
    ),
    Option(
        "privacy-public-key-file", OptionKind.PATH, "", "Public key of the manager that this node acts for (base64)"
    ),
    Option(
        "privacy-marker-transaction-signing-key-file",
        OptionKind.PATH,
        "none (a new key for each marker)",
        "Key that signs the marker of each private transaction",
    ),
    Option(
        "privacy-genesis-file",
        OptionKind.PATH,
        "",
        "Accounts that private states begin with (JSON, the same at each member)",
    ),
    Option(
        "privacy-state-quota-megabytes",
        OptionKind.INT,
        "65536",
        "MiB of private states and receipts on the disk; beyond it private transactions wait, those of other members "
        "beyond 90 %; 0 for no bound",
    ),
    Option(
        "privacy-multi-tenancy-enabled",
        OptionKind.BOOL,
        "false",
        "Several tenants: callers act for the manager's key in their token",
    ),
    Option(
        "privacy-flexible-groups-enabled",
        OptionKind.BOOL,
        "false",
        "Groups whose members a contract lists, in place of all other groups",
    ),
    Option("privacy-onchain-groups-enabled", OptionKind.BOOL, "false", "deprecated name of the previous", hidden=True),
    Option(
        "privacy-enable-database-migration",
        OptionKind.BOOL,
        "false",
        "Migrate the private database",
        OptionBehaviour.IGNORED,
    ),
    Option("privacy-tls-enabled", OptionKind.BOOL, "false", "TLS to the manager behind --privacy-url"),
    Option(
        "privacy-tls-keystore-file", OptionKind.PATH, "", "PKCS#12 with the certificate that is shown to the manager"
    ),
    Option(
        "privacy-tls-keystore-password-file", OptionKind.PATH, "", "File whose first line is the keystore's password"
    ),
    Option(
        "privacy-tls-known-enclave-file", OptionKind.PATH, "", "The manager's certificate: host:port and SHA-256 a line"
    ),
)
