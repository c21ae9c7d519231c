"""What a process logs, and how: lines of JSON for machines, coloured ones for a terminal."""

from __future__ import annotations

import logging
import sys
from typing import Any

import structlog

# Libraries that tell of every reconnect; our own log says what it means.
QUIET = {"kafka": logging.ERROR, "yoyo": logging.WARNING, "httpx": logging.WARNING}


def configure_logs(level: str) -> None:
    """Every process calls it before it logs; libraries go the same way.

    Tracebacks are plain: structlog's own show the values of local variables, and those are what
    customers sent, in clear.
    """
    number = logging.getLevelNamesMapping().get(level.upper(), logging.INFO)
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    last: list[Any] = [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
    if sys.stderr.isatty():
        plain = structlog.dev.plain_traceback
        last = [structlog.dev.ConsoleRenderer(exception_formatter=plain)]
    structlog.configure(
        processors=[*shared, *last],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler()
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *last],
            foreign_pre_chain=list(shared),
        )
    )
    logging.basicConfig(level=number, handlers=[handler], force=True)
    for name, quiet in QUIET.items():
        logging.getLogger(name).setLevel(max(quiet, number))
