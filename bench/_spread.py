"""What several runs gave."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import mean, median


@dataclass(frozen=True, slots=True)
class Spread:
    """Of several runs."""

    mean: float
    median: float
    least: float
    most: float

    @classmethod
    def of(cls, values: Sequence[float]) -> "Spread":
        return cls(round(mean(values), 2), median(values), min(values), max(values))

    def __str__(self) -> str:
        return f"{self.median:5.1f} ({self.least:g} to {self.most:g})"
