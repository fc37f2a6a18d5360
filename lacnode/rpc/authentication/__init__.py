"""Authentication: passwords, tokens and their permissions, as in Besu (`DefaultAuthenticationService`, `TomlAuth`).

The package is loaded only if authentication is on. It must not put a password or a token into a log, an error or a repr.
"""
