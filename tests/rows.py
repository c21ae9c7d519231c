"""`make rows`: the rows of ACCEPTANCE.md that no test names, or with --verbose who names each.

A test names rows in a comment or docstring by the word covers and a colon, then A37, L1-L5 R2.
"""

import os
import re
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
ROW = re.compile(r"^\|\s*([A-Z]\d+)\s*\|\s*([^|]+?)\s*\|", re.MULTILINE)
NAMED = re.compile(r"\bcovers:\s*((?:[A-Z]\d+(?:\s*[-\u2013]\s*[A-Z]?\d+)?(?:\s*,\s*|\s+)?)+)")
RANGE = re.compile(r"([A-Z])(\d+)(?:\s*[-\u2013]\s*[A-Z]?(\d+))?")
TEST = re.compile(r"^\s*(?:async )?def (test_\w+)|^class (\w+)", re.MULTILINE)


def acceptance() -> Path:
    return Path(os.environ.get("ACCEPTANCE_MD") or ROOT.parent / "shared" / "ACCEPTANCE.md")


def rows(text: str) -> dict[str, str]:
    """Row → what it is about, in the order of the page."""
    return dict(ROW.findall(text))


def expand(names: str) -> Iterator[str]:
    """`L1-L3, R2` → L1 L2 L3 R2."""
    for letter, first, last in RANGE.findall(names):
        for number in range(int(first), int(last or first) + 1):
            yield f"{letter}{number}"


def named_in(text: str) -> Iterator[tuple[str, str]]:
    """Row and the test that names it: the comment stands in it, or just above it."""
    tests = [(match.start(), match[1] or match[2]) for match in TEST.finditer(text)]
    for match in NAMED.finditer(text):
        line = text[text.rfind("\n", 0, match.start()) + 1 : match.start()]
        above = line.startswith("#")  # A comment in the margin belongs to what follows.
        before = [name for start, name in tests if start < match.start()]
        after = [name for start, name in tests if start > match.start()]
        owner = (after[:1] if above else before[-1:]) or ["(module)"]
        for row in expand(match[1]):
            yield row, owner[0]


def named() -> dict[str, list[str]]:
    """Row → the tests that name it."""
    found = defaultdict(list)
    for path in sorted((ROOT / "tests").rglob("test_*.py")):
        for row, test in named_in(path.read_text()):
            found[row].append(f"{path.relative_to(ROOT)}::{test}")
    return found


def main(*, verbose: bool) -> None:
    if not acceptance().exists():
        sys.exit(f"{acceptance()} is not there; ACCEPTANCE_MD can say where it is")
    known, tests = rows(acceptance().read_text()), named()
    for row, about in known.items():
        if verbose:
            print(f"{row:<5}{about}", *(tests.get(row) or ["-"]), sep="\n     ")
        elif row not in tests:
            print(f"{row:<5}{about}")
    for row in sorted(tests.keys() - known.keys()):
        print(f"{row:<5}(no such row) {' '.join(tests[row])}")
    print(f"{len(known.keys() & tests.keys())} of {len(known)} rows are named by tests")


if __name__ == "__main__":
    main(verbose="--verbose" in sys.argv[1:])
