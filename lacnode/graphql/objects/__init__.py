"""What a question can reach: blocks, transactions, accounts, logs. Each field is a method or an attribute of an object.

Objects read the chain when a field is asked for, and not before.
"""
