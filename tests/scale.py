"""How large counts are in a test run: whole in `make soak`, a share of it in `make test`."""

import os

DEFAULT = 0.05


def scale(n: int, least: int = 1) -> int:
    """`n` times LEDGER_TEST_SCALE, but at least `least`, below which the test shows nothing."""
    return max(least, round(n * float(os.environ.get("LEDGER_TEST_SCALE") or DEFAULT)))
