"""The objects that a query can reach: blocks, transactions, accounts, logs. Each field is a method or an attribute.

An object reads the chain when the query asks for a field of it, and not before.
"""
