"""A ledger in memory that keeps its facts as they are stored, and what each write led to."""

from __future__ import annotations

from typing import Any, TypeVar
from uuid import UUID

from domain import codec, desk
from domain.message import Command, Decision, Event, Sealed, StreamName
from tests.given import World

T = TypeVar("T")


class Box:
    """Hides nothing."""

    def seal(self, person: str, context: str, clear: bytes) -> Sealed:
        return Sealed(sealed=clear.hex(), person=person, key=1, context=context)

    def open(self, sealed: Sealed) -> bytes | None:
        return bytes.fromhex(sealed.sealed)


class Stored(World):
    """Nothing is kept of a fact but its topic and its bytes."""

    def __init__(self) -> None:
        super().__init__()
        self.stored: dict[StreamName, list[tuple[str, bytes]]] = {}
        self.decided: dict[StreamName, dict[int, Any]] = {}  # version -> state

    def decide(self, command: Command) -> Decision:
        return desk.decide(command, self.needed(command), _sealed)

    def run(self, command: Command) -> Decision:
        decision = self.decide(command)
        for stream, events in decision.events.items():
            kept = self.stored.setdefault(stream, [])
            kept += [(event.TOPIC, codec.encode(event)) for event in events]
            self.states[stream] = decision.states[stream]
            self.decided.setdefault(stream, {})[len(kept)] = decision.states[stream]
        for kind, key, owner in decision.claims:
            assert self.claims.setdefault(StreamName(f"claim:{kind}", key), owner) == owner
        return decision

    def version(self, stream: StreamName) -> int:
        return len(self.stored[stream])

    def since(self, stream: StreamName, version: int) -> list[Event]:
        return [codec.decode(*fact) for fact in self.stored[stream][version:]]

    def all(self, kind: type[T]) -> list[T]:
        return [state for state in self.states.values() if isinstance(state, kind)]

    def replay(self) -> None:
        """Read from what is stored, every prefix that a write ended with is what it decided on."""
        for stream, stored in self.stored.items():
            state = desk.initial(stream.category)
            decided = self.decided[stream]
            for version, fact in enumerate(stored, start=1):
                state = desk.evolve(stream.category, state, codec.decode(*fact))
                assert version not in decided or decided[version] == state
            assert self.states[stream] == state


def _sealed(event: Event) -> Event:
    return codec.seal(event, Box(), UUID(int=0))
