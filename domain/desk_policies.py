"""Policies and procedures at the desk."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from domain import policy, procedure
from domain.desk_names import States, procedure_stream
from domain.desk_write import Write
from domain.message import StreamName
from domain.policy import PublishPolicy, in_force, policy_stream
from domain.procedure import AcknowledgeProcedure, Procedure, ProcedureCommand


def change_procedure(command: ProcedureCommand, write: Write) -> None:
    stream = procedure_stream(command.shop)
    state: Procedure = write.states[stream]
    if isinstance(command, AcknowledgeProcedure):
        write.add(stream, procedure.acknowledge(command, state))
        return
    in_force = policy.in_force(write.states[policy_stream(command.shop)], command.at)
    write.add(stream, procedure.issue(command, state, in_force))


def policy_answer(
    command: PublishPolicy, states: States, versions: Mapping[StreamName, int]
) -> dict[str, Any]:
    """`policy_version` is what holds from then on: an older one, where nothing had to change."""
    stream = policy_stream(command.shop)
    begins = command.effective_from or command.at
    return {
        "shop": command.shop,
        "version": versions[stream],
        "policy_version": in_force(states[stream], begins).version,
        "effective_from": begins.isoformat(),
        "status": "scheduled" if begins > command.at else "in_force",
    }


def procedure_answer(
    command: ProcedureCommand, states: States, versions: Mapping[StreamName, int]
) -> dict[str, Any]:
    """Of the version that was acknowledged, else the newest."""
    stream = procedure_stream(command.shop)
    state: Procedure = states[stream]
    known = isinstance(command, AcknowledgeProcedure) and state.version(command.version)
    version = known or state.newest
    assert version is not None, "one was issued, or the command was refused"
    return {
        "shop": command.shop,
        "version": versions[stream],
        "status": "acknowledged" if known else "issued",
        "procedure_version": version.issued.version,
        "digest": version.issued.digest,
        "outstanding": version.outstanding,
    }
