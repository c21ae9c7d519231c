"""What an engine remembers of its rows never differs from what stands in their table."""

from collections.abc import Iterator

import pytest

from commands.settings import Settings
from commands.store import Store
from projections import order_status, row_cache
from projections.checkpoint import Overtaken
from projections.engine import Engine
from projections.order_row import OrderStatus
from projections.rebuild import release
from projections.row_cache import RowCache
from tests.histories import History
from tests.scale import scale
from tests.test_projections import Shop, failing_at
from workers.upkeep import parked

PROJECTION = order_status.PROJECTION
BATCH_EVENTS = 20


@pytest.fixture
def shop(settings: Settings) -> Iterator[Shop]:
    store = Store(settings)
    with store.connect(autocommit=True) as connection:
        shop = Shop(settings, store, connection, History(11))
        shop.write(shop.history.units(scale(300, 15)))
        yield shop


def step(shop: Shop, engine: Engine[OrderStatus]) -> int:
    """Fold one batch from where the checkpoint is."""
    position = engine.position(shop.connection)
    return engine.apply(shop.connection, shop.feed(position, BATCH_EVENTS), position)


def finish(shop: Shop, engine: Engine[OrderStatus]) -> None:
    """The same engine to the head; then every row is what a rebuild from zero makes."""
    while step(shop, engine) < shop.store.head(shop.connection):
        pass
    assert shop.rebuild(PROJECTION, compare=True).differing == 0


def test_rows_are_kept_from_batch_to_batch(shop: Shop) -> None:
    """covers: L5, L16. A row that was written is not read again, and equals a rebuilt one."""
    engine = shop.engine(PROJECTION)
    position = step(shop, engine)
    shop.connection.execute("UPDATE order_status SET state = 'no JSON'")
    known = {row[0] for row in shop.table(PROJECTION)}
    batch = shop.feed(position, BATCH_EVENTS)
    keys = {k for one in batch if one.topic in PROJECTION.topics for k in PROJECTION.keys(one)}
    assert keys & known
    finish(shop, engine)


@pytest.mark.parametrize("place", ["folded", "written"])
def test_what_was_rolled_back_is_forgotten(shop: Shop, place: str) -> None:
    """covers: L7"""
    falling: list[str] = []

    def kill_point(at: str) -> None:
        if at in falling:
            raise InterruptedError

    engine = shop.engine(PROJECTION, kill_point=kill_point)
    for _ in range(3):
        step(shop, engine)
        falling.append(place)
        with pytest.raises(InterruptedError):
            step(shop, engine)
        falling.clear()
    finish(shop, engine)


def test_a_worker_that_was_overtaken_reads_its_rows_again(shop: Shop) -> None:
    """covers: L7, L22. Also one that sees in time how far another came."""
    mine, other = shop.engine(PROJECTION), shop.engine(PROJECTION)
    stale = step(shop, mine)
    batch = shop.feed(stale, BATCH_EVENTS)
    step(shop, other)
    with pytest.raises(Overtaken):
        mine.apply(shop.connection, batch, stale)
    step(shop, mine)
    step(shop, other)
    finish(shop, mine)


def test_a_released_order_is_read_again(shop: Shop) -> None:
    """covers: L19. Its row is the only one that changes while the checkpoint stands."""
    key = next(one.key for one in shop.feed(0, 1_000) if one.topic == "order.placed.v4")
    concerned = [one.position for one in shop.feed(0, 10_000) if key in PROJECTION.keys(one)]
    engine = shop.engine(failing_at(PROJECTION, key, concerned[1]))
    step(shop, engine)
    while not parked(shop.settings):
        step(shop, engine)
    assert release(shop.connection, shop.engine(PROJECTION), key, shop.feed) is None
    engine.projection = PROJECTION
    finish(shop, engine)


def test_a_rebuilt_table_is_read_again(shop: Shop) -> None:
    """covers: L16. Whatever was wrong with the rows before it is gone."""
    step(shop, shop.engine(PROJECTION))
    wrong = """UPDATE order_status SET state = replace(state, '"shop":"main"', '"shop":"wrong"')"""
    shop.connection.execute(wrong)
    engine = shop.engine(PROJECTION)
    step(shop, engine)
    assert shop.rebuild(PROJECTION).swapped
    finish(shop, engine)


def test_what_is_kept_is_bounded(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """The rows written last stay; large ones leave less room."""
    monkeypatch.setattr(row_cache, "ROWS_MAX", 3)
    monkeypatch.setattr(row_cache, "CHARACTERS_MAX", 10)
    cache: RowCache[int] = RowCache()
    for number in range(5):
        cache.keep(str(number), number, ["x", 7])
    assert cache.find("01234") == {"2": 2, "3": 3, "4": 4}
    cache.keep("3", 3, ["x" * 9])
    assert cache.find("01234") == {"3": 3, "4": 4}
    cache.keep("9", 9, ["x" * 11])
    assert cache.find("0123456789") == {}
    finish(shop, shop.engine(PROJECTION))
