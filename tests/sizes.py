"""`make sizes`: how long functions and files are, per folder. A trend to watch, not a limit."""

import ast
import math
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
FOLDERS = ("domain", "commands", "projections", "api", "workers", "tests")


def functions(path: Path) -> Iterator[tuple[int, str]]:
    """Lines, signature included, and place of every function in a file."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            lines = (node.end_lineno or node.lineno) - node.lineno + 1
            yield lines, f"{path.relative_to(ROOT)}:{node.lineno} {node.name}"


def percentile(values: list[int], share: float) -> int:
    """The smallest value that `share` of all do not exceed."""
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)]


def _line(folder: str, kind: str, found: list[tuple[int, str]]) -> str:
    if not found:
        return f"{folder:<12} {kind:<9} none"
    sizes = [size for size, _ in found]
    longest, place = max(found)
    figures = f"{percentile(sizes, 0.5):>6} {percentile(sizes, 0.95):>6} {longest:>7}"
    return f"{folder:<12} {kind:<9} {len(found):>5} {figures}  {place}"


def report() -> Iterator[str]:
    yield f"{'folder':<12} {'what':<9} {'count':>5} {'median':>6} {'95 %':>6} {'longest':>7}"
    for folder in FOLDERS:
        paths = sorted((ROOT / folder).rglob("*.py"))
        yield _line(folder, "functions", [each for path in paths for each in functions(path)])
        files = [(len(p.read_text().splitlines()), str(p.relative_to(ROOT))) for p in paths]
        yield _line(folder, "files", files)


if __name__ == "__main__":
    print("\n".join(report()))
