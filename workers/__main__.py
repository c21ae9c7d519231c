"""`python -m workers` is the command `ledger`."""

from workers.cli import main

main()
