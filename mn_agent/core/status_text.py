"""The home agent's statuses for people."""

from enum import IntEnum

from mip6.wire.registry import FlowStatus, Status


def status_text(status: int) -> str:
    """A Binding Acknowledgement's."""
    return _text(Status, status)


def flow_status_text(status: int) -> str:
    """The home agent's no to a flow."""
    return f"the home agent does not bind it: {_text(FlowStatus, status)}"


def _text(kind: type[IntEnum], status: int) -> str:
    known = {member.value: member.name.replace("_", " ").lower() for member in kind}
    return f"{known.get(status, 'unknown status')} ({status})"
