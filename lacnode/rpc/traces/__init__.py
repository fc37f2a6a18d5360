"""Traces as clients see them, made of the records of `lacnode/evm/trace_record.py`. Each module has one form."""
