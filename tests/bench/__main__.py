"""Starts its own servers, runs the benchmarks that are asked for, and prints their figures."""

from __future__ import annotations

import argparse
from pathlib import Path

from tests.bench import appends, folding, placing, scans
from tests.bench.rounds import console, machine
from tests.servers import temporary_directory
from workers.local.kafka import LocalKafka
from workers.local.postgres import LocalPostgres

BENCHMARKS = ("appends", "projections", "http", "tracking")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("which", nargs="*", metavar="|".join(BENCHMARKS), help="all, if none")
    parser.add_argument("--seconds", type=float, default=2.0, help="of each measurement")
    arguments = parser.parse_args()
    unknown = set(arguments.which) - set(BENCHMARKS)
    if unknown:
        parser.error(f"no such benchmark: {', '.join(sorted(unknown))}")
    with temporary_directory() as directory, LocalPostgres(directory / "postgres") as postgres:
        for name in arguments.which or BENCHMARKS:
            run(name, postgres, directory, arguments.seconds)
    console.print(machine())


def run(name: str, postgres: LocalPostgres, directory: Path, seconds: float) -> None:
    console.print(machine())
    match name:
        case "appends":
            appends.run(postgres, seconds)
        case "projections":
            folding.run(postgres, directory, seconds)
        case "http":
            placing.run(postgres, directory, seconds)
        case _:
            with LocalKafka(directory / "kafka") as kafka:
                scans.run(postgres, kafka, directory, seconds)


main()
