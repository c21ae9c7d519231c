"""What can be asked about the completion of an order."""

from __future__ import annotations

from typing import Literal, get_args

from domain.command_types import Id
from domain.message import Command
from domain.values import Value


class ConfirmReceiptBody(Value):
    """确认收货: all that was sent has arrived, as the customer says, or an operator for them."""

    by: Literal["customer", "operator"] = "customer"


class CompleteOrder(Command):
    """What deadlines send once the policy's days after the delivery are over."""

    order_id: Id


class ConfirmReceipt(ConfirmReceiptBody, Command):
    order_id: Id


CompletionCommand = CompleteOrder | ConfirmReceipt
COMPLETION_COMMANDS: tuple[type[Command], ...] = get_args(CompletionCommand)
