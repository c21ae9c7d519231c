"""Streams as a runner holds them: those it knows, those it has to read on, and their fold."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Mapping
from uuid import UUID

from commands.append import stream_id
from commands.planning import Loaded
from domain import codec, desk
from domain.message import StreamName

CLAIM = "claim:"

LoadRow = tuple[UUID, int, str, bytes]  # of store.LOAD
ClaimRow = tuple[str, str, str]  # of store.CLAIMS


def absent(name: StreamName) -> Loaded:
    """A stream without events, a claim without an owner."""
    return 0, None if is_claim(name) else desk.initial(name.category)


def is_claim(name: StreamName) -> bool:
    return name.category.startswith(CLAIM)


class StreamCache:
    """The newest states that this process has seen, at most `held_max` streams.

    A stream that another writer was seen to change is doubted: it is read on from the version that
    is held. From the start would be too slow where it matters most, on the long history of a sku
    that everybody sells.
    """

    def __init__(self, namespace: UUID, held_max: int) -> None:
        self._namespace = namespace
        self._held_max = held_max
        self._held: OrderedDict[StreamName, Loaded] = OrderedDict()
        self._doubted: set[StreamName] = set()

    def trusted(self, names: Iterable[StreamName]) -> dict[StreamName, Loaded]:
        """Those of `names` that need not be read. The append checks their versions all the same."""
        held, doubted = self._held, self._doubted
        return {name: held[name] for name in names if name in held and name not in doubted}

    def keep(self, loaded: Mapping[StreamName, Loaded]) -> None:
        """Take states as they are stored."""
        for name, one in loaded.items():
            if not is_claim(name):
                self._held[name] = one
                self._held.move_to_end(name)
                self._doubted.discard(name)
        while len(self._held) > self._held_max:
            self._doubted.discard(self._held.popitem(last=False)[0])

    def doubt(self, names: Iterable[StreamName]) -> None:
        self._doubted.update(name for name in names if name in self._held)

    def drop(self, names: Iterable[StreamName]) -> None:
        for name in names:
            self._held.pop(name, None)
            self._doubted.discard(name)

    def clear(self) -> None:
        self._held.clear()
        self._doubted.clear()

    def bases(self, names: Iterable[StreamName]) -> dict[StreamName, Loaded]:
        """What each is read on from. Take it once for the reading and the folding: while one waits
        for the rows, what is held may change.
        """
        return {name: self._held.get(name) or absent(name) for name in names}

    def to_load(self, bases: Mapping[StreamName, Loaded]) -> tuple[list[UUID], list[int]]:
        """Parameters of store.LOAD: streams, and the version to read each on from."""
        streams = {name: one for name, one in bases.items() if not is_claim(name)}
        ids = [stream_id(self._namespace, name) for name in streams]
        return ids, [version for version, _ in streams.values()]

    def fold(
        self,
        bases: Mapping[StreamName, Loaded],
        rows: Iterable[LoadRow],
        owners: Iterable[ClaimRow],
    ) -> dict[StreamName, Loaded]:
        """What the answers of LOAD and CLAIMS make of them. Whether it may be kept, the reader
        knows: in an open transaction it may hold what is rolled back later.
        """
        found = dict(bases)
        by_id = {stream_id(self._namespace, name): name for name in bases if not is_claim(name)}
        for stream, version, topic, state in rows:
            name = by_id[stream]
            event = codec.decode(topic, state)
            found[name] = (version, desk.evolve(name.category, found[name][1], event))
        for kind, key, owner in owners:
            found[StreamName(CLAIM + kind, key)] = (0, owner)
        return found


def to_look_up(names: Iterable[StreamName]) -> tuple[list[str], list[str]]:
    """Parameters of store.CLAIMS: kinds and keys."""
    claims = [name for name in names if is_claim(name)]
    return [name.category.removeprefix(CLAIM) for name in claims], [name.key for name in claims]
