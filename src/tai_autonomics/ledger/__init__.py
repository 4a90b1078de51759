"""Receipts: bytes, chain, verification. With errors.py alone enough for anyone to verify a ledger."""
