"""The objects that a question can reach: blocks, transactions, accounts, logs. Each field is a method or an attribute.

An object reads the chain when the question asks for a field of it, and not before.
"""
