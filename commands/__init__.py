"""The write side: runs commands against the ledger and owns what the ledger promises."""
