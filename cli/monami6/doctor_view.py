"""The doctor's findings as a screen full of text."""

from collections import Counter

from rich.text import Text

from monami6.checks import Finding, Findings, Result
from monami6.tables import BAD, DOUBTFUL, GOOD, QUIET, cell, console, table

_STYLES = {Result.PROBLEM: BAD, Result.WARNING: DOUBTFUL, Result.UNKNOWN: QUIET, Result.OK: GOOD}
_NAME_WIDTH, _RESULT_WIDTH = 15, 7
"""The same in all areas, so that they stand in line."""


def show(findings: Findings) -> None:
    """Print them by area, then how many there are of each kind."""
    screen = console()
    for area, checked in findings.items():
        drawn = table(area.upper(), "", "")
        drawn.columns[0].width, drawn.columns[1].width = _NAME_WIDTH, _RESULT_WIDTH
        for name, finding in checked.items():
            drawn.add_row(name, Text(finding.result.value, style=_STYLES[finding.result]), _told(finding))
        screen.print(drawn)
        screen.print()
    counts = Counter(finding.result for checked in findings.values() for finding in checked.values())
    screen.print(", ".join(f"{counts[result]} {result.value}" for result in _STYLES if counts[result]))


def _told(finding: Finding) -> Text:
    return cell(finding.found, Text(f"-> {finding.remedy}", style="bold") if finding.remedy else None)
