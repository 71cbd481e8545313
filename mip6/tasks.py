"""Work that goes on beside the loop's callbacks."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

_ResultT = TypeVar("_ResultT")


def spawn(work: Coroutine[Any, Any, _ResultT]) -> asyncio.Task[_ResultT]:
    """Work of its own, whose failure ends the daemon. The task has to be kept: the loop does not."""
    task = asyncio.get_running_loop().create_task(work)
    task.add_done_callback(_done)
    return task


def _done(task: asyncio.Task[Any]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        raise error  # a bug of our own: the loop's exception handler ends the daemon
