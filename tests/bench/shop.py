"""A shop's orders for the benchmarks that read: placed with stock, paid, packed, dispatched."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import uuid4

import orjson

from commands.keys import Vault
from commands.planning import Outcome
from commands.runner import BatchRunner
from commands.settings import Settings
from commands.store import Store
from domain.message import Attempt, Command
from domain.number import SEED_MIN, from_seed
from domain.parcel_commands import DispatchParcel, PackParcel
from domain.payment_commands import RecordPayment
from domain.placement_commands import PlaceOrder
from domain.stock_item import ReceiveStock
from tests.bench.load import SKUS, body, sku
from tests.carrier import CARRIER, NOON, attempt

COMMANDS_AT_ONCE = 200
UNITS = 1_000_000  # of each sku


def fill(settings: Settings, orders: int) -> int:
    """So many orders' whole lives; the position of the last event."""
    ids = [str(uuid4()) for _ in range(orders)]
    parcels = {order: str(uuid4()) for order in ids}
    commands: list[Command] = [
        ReceiveStock.model_validate({"sku": sku(n), "quantity": UNITS, "at": NOON})
        for n in range(SKUS)
    ]
    placed = [_place(number, order) for number, order in enumerate(ids)]
    paid = [_pay(order) for order in ids]
    packed = [_pack(parcels[order], order) for order in ids]
    sent = [
        DispatchParcel(parcel_id=parcel, carrier=CARRIER, tracking_number=f"SF{n}", at=NOON)
        for n, parcel in enumerate(parcels.values())
    ]
    return _run(settings, [*commands, *placed, *paid, *packed, *sent])


def _run(settings: Settings, commands: Sequence[Command]) -> int:
    store = Store(settings)
    runner = BatchRunner(store, Vault(settings.name, settings.master_key_bytes()))
    with store.connect() as connection:
        for start in range(0, len(commands), COMMANDS_AT_ONCE):
            batch: list[tuple[Command, Attempt]] = [
                (command, attempt()) for command in commands[start : start + COMMANDS_AT_ONCE]
            ]
            outcomes = runner.run(connection, batch)
            connection.commit()
            assert all(isinstance(outcome, Outcome) for outcome in outcomes), outcomes[0]
        return store.head(connection)


def _place(number: int, order: str) -> PlaceOrder:
    given = orjson.loads(body(number))
    numbers = (from_seed(SEED_MIN + number),)
    return PlaceOrder.model_validate({**given, "order_id": order, "numbers": numbers, "at": NOON})


def _pay(order: str) -> RecordPayment:
    given = {"method": "alipay", "amount_minor": 2 * 8_800 + 1_000, "reference": order}
    ids = {"order_id": order, "payment_id": str(uuid4()), "at": NOON}
    return RecordPayment.model_validate({**given, **ids})


def _pack(parcel: str, order: str) -> PackParcel:
    contents = [{"order_id": order, "line_no": no, "quantity": 1} for no in (1, 2)]
    return PackParcel.model_validate({"parcel_id": parcel, "contents": contents, "at": NOON})
