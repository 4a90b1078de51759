"""Logs and metrics of one process: what an operator sees. The ledger, not the log, is the record."""
