"""Whether the loop was kept long by what happened on it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

LONGEST_BLOCK_S = 0.05
_SCHEDULING = Path("/proc/thread-self/schedstat")
"""How long this thread has run, and how long it would have but others did: both in nanoseconds."""


@asynccontextmanager
async def never_kept_long() -> AsyncIterator[None]:
    """What others take of the processor is none of the loop's doing."""
    loop = asyncio.get_running_loop()
    longest_s = 0.0

    async def measure() -> None:
        nonlocal longest_s
        while True:
            begun_at, before_s = loop.time(), _others_s()
            await asyncio.sleep(0.001)
            longest_s = max(longest_s, loop.time() - begun_at - (_others_s() - before_s))

    measuring = loop.create_task(measure())
    try:
        yield
    finally:
        measuring.cancel()
        await asyncio.gather(measuring, return_exceptions=True)
    assert longest_s < LONGEST_BLOCK_S


def _others_s() -> float:
    return int(_SCHEDULING.read_text().split()[1]) / 1e9
