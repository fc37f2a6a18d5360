"""Who may connect and who may send: rules from a local file, from contracts, or both. Every answer says why.

Must not open sockets, and must not decide anything that it cannot explain.
"""
