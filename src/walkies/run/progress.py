"""The progress display of a training: a live panel in a terminal, a plain line every ten seconds elsewhere."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import NamedTuple

from rich.console import Console, Group
from rich.live import Live
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from walkies import terminal
from walkies.files import printable
from walkies.tasks.contract import CONTROL_DT

PLAIN_INTERVAL = 10.0
"""Seconds between lines without a terminal."""
TREND = 40
"""Records in the small reward curve."""
BARS = "▁▂▃▄▅▆▇█"


class Quantity(NamedTuple):
    """One number of the panel."""

    label: str
    keys: tuple[str, ...]
    """Names under which a record may hold it; the first one present counts."""
    unit: str
    digits: int
    size: float = 1.0
    """What the number is multiplied by."""


QUANTITIES = (
    Quantity("reward", ("reward",), "/s", 2, size=1.0 / CONTROL_DT),
    Quantity("velocity error", ("lin_vel_error",), "m/s", 3),
    Quantity("turn error", ("yaw_rate_error",), "rad/s", 3),
    Quantity("episode length", ("episode_length",), "steps", 0),
    Quantity("learning rate", ("learning_rate",), "", 6),
    Quantity("KL per update", ("kl",), "nats", 4),
)


class Progress:
    """Shows the records of one training; use it as a context, and `update` as the training's callback."""

    def __init__(
        self,
        title: str = "training",
        *,
        total_steps: int | None = None,
        total_seconds: float | None = None,
        console: Console | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """A display that knows when training ends: after `total_steps` or `total_seconds`, whichever comes first."""
        self.title = printable(title)
        self.total_steps = total_steps
        self.total_seconds = total_seconds
        self.console = console or terminal.console()
        self._clock = clock
        self._start = clock()
        self._next_line = 0.0
        self._rewards: deque[float] = deque(maxlen=TREND)
        self._live: Live | None = None

    def __enter__(self) -> Progress:
        self._start = self._clock()
        if self.console.is_terminal:
            waiting = Text(f"{self.title}: compiling the training program …")
            self._live = Live(waiting, console=self.console, refresh_per_second=4)
            self._live.__enter__()
        else:
            self.console.print(Text(f"{self.title}: compiling the training program"), soft_wrap=True)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.__exit__(kind, error, trace)

    def update(self, record: Mapping[str, float]) -> None:
        """Show one record; keys it may have: steps, steps_per_s, seconds, and those of `QUANTITIES`."""
        elapsed = float(record.get("seconds", self._clock() - self._start))
        self._rewards.append(float(record.get("reward", math.nan)))
        if self._live is not None:
            self._live.update(self.panel(record, elapsed))
        elif (now := self._clock() - self._start) >= self._next_line:
            self._next_line = now + PLAIN_INTERVAL
            self.console.print(Text(self.line(record, elapsed)), soft_wrap=True)

    def done(self, record: Mapping[str, float], elapsed: float) -> float | None:
        """Completed share of the training, 0 to 1; None if no limit was given."""
        shares = []
        if self.total_steps:
            shares.append(float(record.get("steps", 0)) / self.total_steps)
        if self.total_seconds:
            shares.append(elapsed / self.total_seconds)
        return min(max(shares), 1.0) if shares else None

    def panel(self, record: Mapping[str, float], elapsed: float) -> Panel:
        """The live display of one record."""
        done = self.done(record, elapsed)
        head = Table.grid(padding=(0, 3))
        head.add_row(*[Text(part, style="bold") for part in self._clockwork(record, elapsed, done)])
        numbers = Table.grid(padding=(0, 3))
        cells = [(quantity.label, text) for quantity, text in _numbers(record)]
        for row in range(0, len(cells), 3):
            numbers.add_row(*[Text.assemble((f"{name} ", "dim"), text) for name, text in cells[row : row + 3]])
        parts: list[Table | Text] = [head, numbers]
        if len(self._rewards) > 1:
            parts.append(Text.assemble(("reward so far ", "dim"), (sparkline(list(self._rewards)), "cyan")))
        if done is not None:
            bar = Table.grid()
            bar.add_row(ProgressBar(total=1.0, completed=done, width=60))
            parts.insert(1, bar)
        return Panel(Group(*parts), title=Text(self.title), title_align="left", expand=False)

    def line(self, record: Mapping[str, float], elapsed: float) -> str:
        """One record as one line of plain text."""
        parts = self._clockwork(record, elapsed, self.done(record, elapsed))
        return "  ".join([*parts, *(f"{quantity.label} {text}" for quantity, text in _numbers(record))])

    def _clockwork(self, record: Mapping[str, float], elapsed: float, done: float | None) -> list[str]:
        parts = [f"{duration(elapsed)} elapsed"]
        if done:
            parts.append(f"{duration(elapsed / done - elapsed)} left")
        parts.append(f"{count(record.get('steps', 0))} steps")
        if "steps_per_s" in record:
            parts.append(f"{count(record['steps_per_s'])} steps/s")
        return parts


def duration(seconds: float) -> str:
    """3661 → '1:01:01', 59.4 → '0:59'."""
    whole = max(0, round(seconds))
    hours, minutes, rest = whole // 3600, whole % 3600 // 60, whole % 60
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def count(number: float) -> str:
    """1234567 → '1.23M', 54321 → '54.3k', 12 → '12'."""
    for size, suffix in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(number) >= 0.9995 * size:
            return f"{number / size:.3g}{suffix}" if abs(number) < 999.5 * size else f"{number / size:.0f}{suffix}"
    return f"{number:.0f}"


def sparkline(values: list[float]) -> str:
    """A curve in one line of text; values that are not finite leave a blank."""
    finite = [value for value in values if math.isfinite(value)]
    low, high = min(finite, default=0.0), max(finite, default=0.0)
    scale = (len(BARS) - 1) / (high - low) if high > low else 0.0
    return "".join(BARS[round((value - low) * scale)] if math.isfinite(value) else " " for value in values)


def _numbers(record: Mapping[str, float]) -> list[tuple[Quantity, str]]:
    found = []
    for quantity in QUANTITIES:
        value = next((float(record[key]) for key in quantity.keys if key in record), math.nan)
        if math.isfinite(value):
            found.append((quantity, f"{quantity.size * value:.{quantity.digits}f} {quantity.unit}".rstrip()))
    return found
