"""Who calls: passwords, tokens, and what a token permits, as Besu has them (`DefaultAuthenticationService`, `TomlAuth`).

Loaded only where it is switched on. Nothing here may put a password or a token into a log, an error or a repr.
"""
