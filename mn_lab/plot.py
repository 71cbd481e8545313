"""Draw the timeline of a demonstration. Imported only when somebody wants it drawn: matplotlib takes a while."""

from collections import Counter
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mn_lab.demo import Timeline
from mn_lab.traffic import DOWN, UP

_BIN_NS = 10_000_000
_TITLES = {UP: "from the mobile node", DOWN: "to the mobile node"}
_COLOURS = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9")
"""Told apart by colour-blind people too."""
_LOST_COLOUR = "#d55e00"


def draw(timeline: Timeline, path: Path) -> None:
    """Packets received, coloured by the link they took; the format is that of the file name."""
    start_ns = timeline.steps[0][1]
    span = range(int((timeline.end_ns - start_ns) / _BIN_NS))
    figure = Figure(figsize=(11, 5), layout="constrained")
    axes = figure.subplots(2, 1, sharex=True, sharey=True)
    for place, direction in enumerate((UP, DOWN)):
        _draw_direction(axes[place], timeline, direction, start_ns, span)
    _name_steps(axes[0], timeline, start_ns)
    axes[1].set_xlabel("seconds")
    handles = dict(zip(*reversed(axes[0].get_legend_handles_labels()), strict=True))
    figure.legend(handles.values(), handles.keys(), loc="outside lower center", ncols=len(handles), frameon=False)
    figure.savefig(path)


def _draw_direction(axes: Axes, timeline: Timeline, direction: str, start_ns: int, span: range) -> None:
    record = timeline.records[direction]
    links = sorted(set(timeline.links.values()))
    received = Counter(
        (timeline.links.get((direction, number), ""), (at - start_ns) // _BIN_NS) for number, at in record.arrivals
    )
    seconds = [number * _BIN_NS / 1e9 for number in span]
    counts = [[received[link, number] for number in span] for link in links]
    axes.stackplot(seconds, counts, labels=links, colors=_COLOURS, step="post", linewidth=0)
    arrived = {number for number, _ in record.arrivals}
    lost = [(at - start_ns) / 1e9 for number, at in enumerate(record.sent) if number not in arrived]
    shown = [at for at in lost if 0 <= at <= seconds[-1]]
    axes.plot(shown, [-0.7] * len(shown), "|", color=_LOST_COLOUR, label="lost")
    for _, at in timeline.steps:
        axes.axvline((at - start_ns) / 1e9, color="0.4", linewidth=0.8)
    axes.set_ylabel(f"packets per 10 ms\n{_TITLES[direction]}")
    axes.spines[["top", "right"]].set_visible(False)
    axes.margins(x=0)


def _name_steps(axes: Axes, timeline: Timeline, start_ns: int) -> None:
    for name, at in timeline.steps:
        axes.annotate(name, ((at - start_ns) / 1e9, 1.02), xycoords=("data", "axes fraction"), fontsize="small")
