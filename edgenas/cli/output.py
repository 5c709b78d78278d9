# SPDX-License-Identifier: Apache-2.0
"""What people see: progress on stderr, results on stdout. The only module that imports rich.

Names and messages may come from boards, files and servers: every text is made plain here, whoever passes it.
"""

from __future__ import annotations

import codecs
import json
import os
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout, suppress
from getpass import getpass
from types import TracebackType
from typing import TYPE_CHECKING, Any, TextIO

from rich.console import Console, ConsoleOptions, RenderableType
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

from edgenas.cli import streams
from edgenas.units import Unit
from firmware_tools.device import Conditions
from firmware_tools.plain_text import begun, colourless, plain

if TYPE_CHECKING:
    from edgenas.tasks.recalls import Recalls

_WIDTH = 100  # of tables that go into a file or a pipe
_BAR = 30
_CLASSES = 5  # of which the recall is shown


class PlainConsole(Console):
    """A console whose texts are drawn as they are: without markup or emoji codes, and nothing in them acts.

    Line ends stay: callers whose texts are lines of their own make those plain first.
    """

    def __init__(self, stream: TextIO, width: int | None = None) -> None:
        super().__init__(file=streams.unguarded(stream), width=width, highlight=False, markup=False, emoji=False)

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """Everything that is drawn passes here, also what libraries print while a bar is shown."""
        for segment in super().render(renderable, options):
            yield segment if segment.control else segment._replace(text=plain(segment.text, "\n"))


class LiveReporter:
    """On a terminal: the running stage with a bar and its time; finished stages and notes stay as lines above it."""

    def __init__(self, stream: TextIO) -> None:
        self._console = PlainConsole(stream)
        self._progress = Progress(
            SpinnerColumn("line"),
            TextColumn("{task.description}", markup=False),
            BarColumn(_BAR),
            TextColumn("{task.fields[count]}", markup=False),
            TimeElapsedColumn(),
            TextColumn("{task.fields[status]}", style="dim", markup=False),
            console=self._console,
            refresh_per_second=4,  # on the host the bar shares the cores with what is being measured
            transient=True,
        )
        self._task: TaskID | None = None

    def stage(self, name: str) -> None:
        """Let the stage before become a line, and start the bar of this one."""
        self._end("done")
        self._task = self._progress.add_task(plain(name), total=None, count="", status="")

    def progress(self, done: int, total: int, unit: str) -> None:
        """Move the bar."""
        # Training tells from threads of its own, whose last word may come after the stage has ended.
        if (task := self._task) is not None:
            with suppress(KeyError):
                self._progress.update(task, completed=done, total=total, count=plain(f"{done} of {total} {unit}"))

    def say(self, line: str) -> None:
        """Print a line above the bar."""
        self._console.print(f"  {plain(line)}", style="dim", soft_wrap=True)

    def status(self, text: str) -> None:
        """Let it stand beside the bar."""
        if (task := self._task) is not None:
            self._progress.update(task, status=plain(text))

    def ask(self, prompt: str) -> str | None:
        """A secret from the terminal, while the bar stands still; None if there is no terminal."""
        self._progress.stop()
        try:
            return _ask(prompt)
        finally:
            self._progress.start()

    def __enter__(self) -> LiveReporter:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end("done" if kind is None else "stopped")
        self._progress.stop()

    def _end(self, word: str) -> None:
        task, self._task = self._task, None
        if task is None:
            return
        ended = self._progress.tasks[self._progress.task_ids.index(task)]
        self._console.print(f"{ended.description}: {word}, {duration(ended.elapsed or 0.0)}")
        self._progress.remove_task(task)


class PlainReporter:
    """Without a terminal: one line for each stage and note, with the seconds since the start; `quiet`: notes alone."""

    def __init__(self, stream: TextIO, *, quiet: bool = False) -> None:
        self._stream, self._quiet = stream, quiet
        self._started, self._lock = time.monotonic(), threading.Lock()

    def stage(self, name: str) -> None:
        """Print the stage."""
        if not self._quiet:
            self._print(name)

    def progress(self, done: int, total: int, unit: str) -> None:
        """Nothing: a log does not need it."""

    def say(self, line: str) -> None:
        """Print a line below its stage."""
        self._print(f"  {line}")

    def status(self, text: str) -> None:
        """Print it like a note: a log keeps what was."""
        self.say(text)

    def ask(self, prompt: str) -> str | None:
        """A secret from the terminal; None if there is none."""
        return _ask(prompt)

    def __enter__(self) -> PlainReporter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None

    def _print(self, line: str) -> None:
        # Nobody may read stderr any more: that is no reason to stop.
        with self._lock, suppress(OSError, ValueError):
            print(f"[{time.monotonic() - self._started:6.1f} s] {plain(line)}", file=self._stream, flush=True)


def _ask(prompt: str) -> str | None:
    # getpass would otherwise read, and show, what is typed from any stdin.
    if os.name == "posix":
        try:
            os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY))
        except OSError:
            return None
    elif not sys.stdin.isatty():
        return None
    try:
        return getpass(plain(prompt))
    except EOFError:  # Ctrl-D
        return None


@contextmanager
def working(*, quiet: bool = False) -> Iterator[LiveReporter | PlainReporter]:
    """A Reporter on stderr; whatever a library prints on stdout meanwhile goes to stderr, too."""
    stream = sys.stderr
    live = stream.isatty() and not quiet
    reporter = LiveReporter(stream) if live else PlainReporter(stream, quiet=quiet)
    with redirect_stdout(stream), reporter:
        yield reporter


def show(result: Mapping[str, Any], as_json: bool, present: Callable[[Console], None]) -> None:
    """Print `result` as one JSON object, or let `present` print it for people."""
    with streams.printing():
        if as_json:
            print(json.dumps(result, indent=2, allow_nan=False))
        else:
            present(console())


def console() -> Console:
    """stdout; a pipe gets lines of 100 columns and no colours."""
    width = None if sys.stdout.isatty() else _WIDTH
    return PlainConsole(sys.stdout, width)


def facts(to: Console, pairs: Sequence[tuple[str, str | None]]) -> None:
    """Print names and values in two columns; a value of None is left out."""
    width = max(len(name) for name, _ in pairs)
    for name, value in pairs:
        if value is not None:
            to.print(Text.assemble((f"{name:<{width}}  ", "bold"), plain(value)), soft_wrap=True)


def conditions(met: Conditions) -> list[tuple[str, str | None]]:
    """Facts of a timing's conditions: what the board was set to, and what disturbed the timing, if anything did."""
    clock, warmth = met.clock_mhz_after, met.temperature_c
    known = [
        f"cores {ranges(met.affinity)}" if met.affinity else None,
        f"governor {met.governor}" if met.governor else None,
        f"{clock:.0f} MHz" if clock is not None else None,
        f"{warmth:.0f} C" if warmth is not None else None,
        f"load {met.load_before:.1f}" if met.load_before is not None else None,
        f"emulated by {met.emulator}" if met.emulator else None,
    ]
    return [
        ("conditions", ", ".join(filter(None, known)) or None),
        ("marked", "; ".join(met.marked) or None),
    ]


def ranges(numbers: Sequence[int]) -> str:
    """Ascending numbers in short: 0-3, 6."""
    text: list[str] = []
    for i, number in enumerate(numbers):
        if i == 0 or number != numbers[i - 1] + 1:
            text.append(str(number))
        elif i + 1 == len(numbers) or numbers[i + 1] != number + 1:
            text[-1] += f"-{number}"
    return ", ".join(text)


def table(
    to: Console, columns: Sequence[str], rows: Sequence[Sequence[str]], *, left: int = 1, strong: int | None = None
) -> None:
    """Print a table: the first `left` columns are text, the others numbers; row `strong` stands out."""
    shown = Table(box=None, padding=(0, 2, 0, 0), header_style="bold", pad_edge=False)
    for index, column in enumerate(columns):
        shown.add_column(column, justify="left" if index < left else "right", overflow="fold")
    for index, row in enumerate(rows):
        shown.add_row(*(Text(plain(cell)) for cell in row), style="bold green" if index == strong else None)
    to.print(shown)


class Relay:
    """Shows on stderr what another program prints, as it comes: lines, and the returns with which it overwrites them.

    Colours are left out, all else that would act on the terminal is made visible.
    """

    def __init__(self) -> None:
        self._stream = streams.unguarded(sys.stderr)
        self._decoder = codecs.getincrementaldecoder("utf-8")("backslashreplace")
        self._rest = ""

    def __call__(self, data: bytes) -> None:
        """Show `data`, the next of what it prints. Whoever reads stderr may be gone: that stops nothing."""
        text = self._rest + self._decoder.decode(data)
        held = begun(text)  # a colour's sequence may be cut in two
        self._rest = text[len(text) - held :]
        with suppress(OSError, ValueError):
            self._stream.write(plain(colourless(text[: len(text) - held]), "\n\r\t"))
            self._stream.flush()


def lines(to: Console, texts: Sequence[str]) -> None:
    """Print lines as they are: the terminal wraps them, so that they can be copied."""
    for text in texts:
        to.print(plain(text), soft_wrap=True)


def duration(seconds: float) -> str:
    """As in `3.2 s` or `4 min 05 s`."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s"


def latency(unit: Unit, value: float | None) -> str:
    """A latency in `unit` for people, "-" if there is none."""
    return unit.format(value) if value is not None and value == value else "-"


def percent(fraction: float | None) -> str:
    """As in `97.4 %`, "-" if there is none."""
    return f"{100 * fraction:.1f} %" if fraction is not None and fraction == fraction else "-"


def by_class(labels: Sequence[str], recalls: Recalls) -> tuple[str, str]:
    """The fact of what is recognised of the classes: the mean of all, and each, or the worst if there are many."""
    known = [(recall, label) for recall, label in zip(recalls.by_class, labels, strict=True) if recall is not None]
    images = dict(zip(labels, recalls.images, strict=True))
    worst = sorted(known, key=lambda pair: pair[0])[:_CLASSES]
    shown = ", ".join(f"{label}: {percent(recall)} of {images[label]}" for recall, label in worst)
    more = f", none of the other {len(known) - len(worst)} is below" if len(known) > len(worst) else ""
    return "by class", f"balanced {percent(recalls.balanced)}; {shown}{more}"


def size(count: int | None) -> str:
    """Bytes for people, as in `248 KiB`; "-" if unknown."""
    if count is None:
        return "-"
    for limit, divisor, unit in ((1 << 10, 1, "B"), (1 << 20, 1 << 10, "KiB"), (1 << 30, 1 << 20, "MiB")):
        if count < limit:
            return f"{count / divisor:.3g} {unit}" if count / divisor < 1000 else f"{count / divisor:.0f} {unit}"
    return f"{count / (1 << 30):.3g} GiB"
