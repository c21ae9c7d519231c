"""Keeps Python's search for cycles from taking a third of a worker's time."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

GC_THRESHOLDS = (1_000_000, 20, 50)  # more objects than a few batches hold


@contextmanager
def calm_gc() -> Iterator[None]:
    """Events and states make no cycles, but many objects that live as long as a batch."""
    thresholds = gc.get_threshold()
    gc.collect()
    gc.freeze()
    gc.set_threshold(*GC_THRESHOLDS)
    try:
        yield
    finally:
        gc.set_threshold(*thresholds)
        gc.unfreeze()
