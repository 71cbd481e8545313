"""What a benchmark says in the end."""

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any, TypeVar

ResultT = TypeVar("ResultT", bound=Any)


def conclude(
    results: Sequence[ResultT], runs: int, as_text: Callable[[Sequence[ResultT]], str], *, as_json: bool
) -> int:
    """Print the results, dataclasses that say whether they are `ok`; gives the exit code."""
    if as_json:
        print(json.dumps({"schema": 1, "runs": runs, "results": [asdict(one) for one in results]}, indent=2))
    else:
        print(as_text(results))
    return 0 if all(one.ok for one in results) else 1
