# SPDX-License-Identifier: Apache-2.0
"""Interrupt every long command on every kind of device at random moments, and print how it ended.

python benchmarks/signals.py [CASE ..] [--moments N] [--seed N] [--signals NAME ..]

A case is COMMAND/DEVICE. Each attempt begins in a copy of the same home, with another model active on the device. The
signal comes at a random moment between the program's first handler and its end: every other time to the process group,
as a terminal sends it, else to the program alone. Right is: exit 128 + the signal's number (0 if it was over), no
traceback, the device's active model as before or the new one, whole; no process left, here or on the device.
A line for each command, device and signal is printed as it is done; exit code 1 if anything was wrong.
"""

from __future__ import annotations

import argparse
import os
import platform
import random
import shutil
import signal
import subprocess
import sys
import time
import tty
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from report import ROOT, commit, machine

sys.path.insert(0, str(ROOT / "tests"))  # the boards are the tests', too

from helpers.cli.cli_program import DEPLOY, Done, Program, Running
from helpers.firmware import core_build
from helpers.mcu import mcu_boards
from helpers.short_deploys import SMALL, make_home
from helpers.ssh.ssh_models import fully_connected
from helpers.ssh_server import SshServer, at_home
from helpers.tflite_builder import Op, T, constant, model

from firmware_tools.connect import connect

_LIMIT_S = 120.0
_GONE_S = 2.0  # a process at the other end of a connection sees its end a moment later
_NET = "stem-8s2/plain-16x1"
_LINUX = f"linux-{platform.machine()}"
_CLOCKED = """
id = "clocked"
name = "this computer as a microcontroller"
kind = "mcu"
device_url = "serial:"
precision = "int8"
threads = 1
statistic = "p50"
processes = 2
[facts]
firmware = "host"
clock_mhz = 1000
kernels = "portable"
[prior]
cycles_per_instruction = 1.0
counted_on = "mps2-an385"
source = "none"
[flash]
address = 0x0800_0000
[flash.openocd]
configs = ["board/mine.cfg"]
hint = "plug it in"
"""
_OPENOCD = "#!/bin/sh\necho erasing; sleep 1 & wait; echo writing; sleep 1 & wait\n"
_SEARCH = ("--data", "digits", "--space", SMALL, "--epochs", "4")
_PROFILE = ("profile", "--minutes", "0.08", "--input-shape", "1x8x8", "--space", SMALL)


@dataclass(frozen=True)
class Case:
    """A command on a device; `arguments` without what names the device, "" for a command without one."""

    arguments: tuple[str, ...]
    device: str = ""

    @property
    def name(self) -> str:
        """COMMAND/DEVICE."""
        words = [word for word in self.arguments[:2] if word.isalpha() and self.arguments[0] in ("board", word)]
        return "-".join(words) + (f"/{self.device}" if self.device else "")


@dataclass(frozen=True)
class Attempt:
    """How one attempt ended."""

    code: int
    seconds: float
    active: str  # "old", "new" or what is wrong
    left: tuple[str, ...]
    stderr: str


class World:
    """The homes and devices of all cases, in `folder`."""

    def __init__(self, folder: Path, server: SshServer | None, port: str | None) -> None:
        self.folder, self.template, self.work = folder, folder / "template", folder / "work"
        make_home(self.template)
        self.root = folder / "work" / "board"
        self.urls = {
            "local": "local:",
            "unicorn": "unicorn:",
            "qemu": "qemu:",
            **({"ssh": server.url(str(self.root), python=sys.executable)} if server else {}),
            **({"serial": f"serial://{port}"} if port else {}),
        }
        boards = {"local": "host", "unicorn": "mps2-an386", "qemu": "mps2-an386", "ssh": _LINUX}
        self.boards = {**boards, "serial": str(folder / "clocked.toml")}
        (folder / "clocked.toml").write_text(_CLOCKED)
        (folder / "bin").mkdir()
        (folder / "bin" / "openocd").write_text(_OPENOCD)
        (folder / "bin" / "openocd").chmod(0o755)
        (folder / "image.bin").write_bytes(bytes(1000))
        (folder / "large.tflite").write_bytes(large())
        (folder / "small.tflite").write_bytes(fully_connected(1))
        self.before: dict[str, str] = {}  # what is active on a device when an attempt begins

    def device(self, case: Case) -> tuple[str, ...]:
        """The options that name the case's device."""
        return ("--board", self.boards[case.device], "--device", self.urls[case.device]) if case.device else ()

    def fresh(self, case: Case) -> Program:
        """A program in a home of its own, with an active model on the device."""
        shutil.rmtree(self.work, ignore_errors=True)
        kind = f"template-{case.device or 'none'}"
        if case.device not in self.before:
            self._prepare(case, self.folder / kind)
            self.before[case.device] = self.active(case, self.work / "home")
            shutil.rmtree(self.work)
        shutil.copytree(self.folder / kind, self.work, symlinks=True)
        return Program(self.work / "home", self.work / "folder")

    def _prepare(self, case: Case, kept: Path) -> None:
        shutil.copytree(self.template, self.work / "home", symlinks=True)
        (self.work / "folder").mkdir()
        program = Program(self.work / "home", self.work / "folder")
        if case.device:
            program.run(*_PROFILE, *self.device(case), "--json").json()
            old = mcu_boards.net(1) if case.device in ("unicorn", "qemu", "serial") else fully_connected(0)
            with connect(self.urls[case.device], home=program.home) as device:
                device.stage(old, {"task": "old"})
                device.commit()
        else:
            program.run("train", _NET, *_SEARCH, "--out", "net.pt", "--json").json()
        shutil.copytree(self.work, kept, symlinks=True)

    def active(self, case: Case, home: Path) -> str:
        """The sha256 of the device's active model, or what is wrong with it."""
        if not case.device:
            return "none"
        with connect(self.urls[case.device], home=home) as device:
            status = device.status()
        if status.active is None or not status.active.valid or not status.confirmed:
            return "half"
        return status.active.sha256


def large() -> bytes:
    """Eight convolutions, 19 million multiplications: an emulator takes seconds for them."""
    strides = {"StrideH": 1, "StrideW": 1, "Padding": 0, "DilationHFactor": 1, "DilationWFactor": 1}
    tensors, ops = [T((1, 32, 32, 16), 0.05)], []
    for _ in range(8):
        at = len(tensors)
        tensors += [constant(np.ones((16, 3, 3, 16)), [0.01] * 16), constant(np.zeros(16), [0.0005] * 16, "int32")]
        tensors.append(T((1, 32, 32, 16), 0.05))
        ops.append(Op("CONV_2D", [at - 1, at, at + 1], [at + 2], strides))
    return model(tensors, ops, [0], [len(tensors) - 1])


def cases(folder: Path) -> list[Case]:
    """All of them, short ones first."""
    devices = ("unicorn", "qemu", "serial", "local", "ssh")
    small, big = str(folder / "small.tflite"), str(folder / "large.tflite")
    found = [Case(("measure", big if name in ("unicorn", "qemu") else small), name) for name in devices]
    found += [Case(("plan", big, "--board", "mps2-an386"))]
    found += [Case(("flash", "--with", "openocd", "--image", str(folder / "image.bin")), "serial")]
    found += [Case(("train", _NET, *_SEARCH, "--out", "other.pt"))]
    found += [Case(("convert", "net.pt", "--data", "digits", "--space", SMALL, "--out", "converted"))]
    found += [Case(_PROFILE, name) for name in devices]
    found += [Case(("search", *_SEARCH, "--latency", "50%"), name) for name in devices]
    deploy = tuple("90%" if word == "1ms" else word for word in DEPLOY)
    found += [Case(deploy, name) for name in devices]
    found += [Case(("board", "prepare", "--runtime", "litert"), "ssh"), Case(("doctor", "--mend"))]
    return found


def arguments(world: World, case: Case) -> tuple[str, ...]:
    """The whole command line."""
    device = world.device(case)
    return (*case.arguments, *(device[2:] if case.name.startswith("board") else device))


def attempt(world: World, case: Case, number: int, moment: float | None, group: bool) -> tuple[Attempt, float]:
    """Run the case and send the signal `moment` seconds after it listens; None: not at all. Its length comes along."""
    program = world.fresh(case)
    if case.name == "doctor":
        (program.home / "converter").unlink()
    if case.name.startswith("board"):
        shutil.rmtree(world.root / "venv", ignore_errors=True)
    path = f"{world.folder / 'bin'}:{os.environ['PATH']}"
    running = program.start(*arguments(world, case), PATH=path).until_it_listens()
    started = time.monotonic()
    if moment is not None:
        time.sleep(moment)
        sent = time.monotonic()
        if running.process.poll() is None:
            send(running, number, group)
    done = running.wait(_LIMIT_S if moment is not None else 900)
    seconds = time.monotonic() - (sent if moment is not None else started)
    left = survivors(world, program)
    before, after = world.before[case.device], world.active(case, program.home)
    if case.device == "serial":  # the others are copied anew
        world.before["serial"] = after
    active = after if after in ("half", "none") else "old" if after == before else "new"
    return Attempt(done.code, seconds, active, left, trouble(done)), time.monotonic() - started


def send(running: Running, number: int, group: bool) -> None:
    """The signal, to the whole process group or to the program alone."""
    if group:
        running.signal(number)
    else:
        os.kill(running.process.pid, number)


def survivors(world: World, program: Program) -> tuple[str, ...]:
    """Processes that still run `_GONE_S` after the program has ended."""
    end = time.monotonic() + _GONE_S
    while left := {**program.processes(), **on_device(world.root)}:
        if time.monotonic() > end:
            break
        time.sleep(0.02)
    for pid in left:
        os.kill(pid, signal.SIGKILL)
    return tuple(left.values())


def on_device(root: Path) -> dict[int, str]:
    """Agents and their like at the other end of SSH: they have no environment of ours, but name the board's folder."""
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if str(root) in command and int(folder.name) != os.getpid():
            found[int(folder.name)] = command
    return found


def trouble(done: Done) -> str:
    """What must not be on stderr."""
    if "Traceback" in done.stderr or "Exception ignored" in done.stderr:
        return done.stderr
    said = done.stderr.splitlines()[-1:] == ["edgenas: interrupted: run the same command again to go on"]
    return done.stderr or "silent" if done.code > 128 and not said else ""


def row(world: World, case: Case, number: int, moments: int, whole: float, draw: random.Random) -> bool:
    """Print a line for one signal; whether all was right."""
    name, found = signal.Signals(number).name, []
    for index in range(moments):
        moment = draw.uniform(0, whole)
        got, _ = attempt(world, case, number, moment, index % 2 == 0)
        found.append(got)
        if wrong := problem(got, number):
            print(f"  {case.name} {name} after {moment:.2f} s: {wrong}", flush=True)
    codes = " ".join(f"{code}:{count}" for code, count in sorted(Counter(each.code for each in found).items()))
    active = " ".join(f"{what}:{count}" for what, count in sorted(Counter(each.active for each in found).items()))
    slowest = max((each.seconds for each in found if each.code), default=0.0)
    left, load = sum(len(each.left) for each in found), os.getloadavg()[0]
    print(
        f"{case.name:18}{name:9}{moments:3}  {codes:16}{slowest:6.2f} s  {active:14}{left:3}  load {load:.1f}",
        flush=True,
    )
    return not any(problem(each, number) for each in found)


def problem(got: Attempt, number: int) -> str:
    """What was wrong with an attempt, "" if nothing."""
    if got.code not in (0, 128 + number):
        return f"exit {got.code}: {got.stderr[-2000:]}"
    if got.active == "half" or got.left or got.stderr:
        return f"active {got.active}; left {got.left}; {got.stderr[-2000:]}"
    return f"{got.seconds:.2f} s" if got.code and got.seconds > 2 else ""


@contextmanager
def serial_board(folder: Path) -> Iterator[str]:
    """A pty at whose other end edgenas' firmware runs, built for this computer."""
    program = core_build.build("host-board", folder / "build")
    near, far = os.openpty()
    tty.setraw(far)
    with subprocess.Popen([program, folder / "flash.bin"], stdin=near, stdout=near) as board:
        try:
            yield os.ttyname(far)
        finally:
            board.kill()


def main() -> None:
    """Go through the cases, one after the other."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cases", nargs="*", metavar="CASE", help="such as measure/unicorn, or deploy for all devices")
    parser.add_argument("--moments", type=int, default=20, help="of each signal (20)")
    parser.add_argument("--seed", type=int, default=0, help="of the moments (0)")
    parser.add_argument("--signals", nargs="*", default=["SIGINT", "SIGTERM", "SIGHUP"])
    options = parser.parse_args()
    for number, handler in ((signal.SIGINT, signal.default_int_handler), (signal.SIGHUP, signal.SIG_DFL)):
        signal.signal(number, handler)  # a job in the background ignores them, and so would all that it starts
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="edgenas-signals-")))
        server = stack.enter_context(SshServer(folder / "server"))
        stack.enter_context(at_home(server))
        world = World(folder, server, stack.enter_context(serial_board(folder)))
        every = cases(folder)
        chosen = [c for c in every if not options.cases or {c.name, c.name.split("/")[0]} & set(options.cases)]
        print(f"signals  commit {commit()}  {machine()['cpu']}, {machine()['cores']} cores, seed {options.seed}")
        print("command/device    signal    n  exit:times      slowest  active         left", flush=True)
        good = [run(world, case, options) for case in chosen]
    sys.exit(not all(good))


def run(world: World, case: Case, options: argparse.Namespace) -> bool:
    """All signals of one case, after one run without any."""
    uninterrupted, whole = attempt(world, case, 0, None, False)
    if uninterrupted.code:
        print(f"{case.name:18}fails without a signal: exit {uninterrupted.code} {uninterrupted.stderr}", flush=True)
        return False
    draw = random.Random(f"{options.seed} {case.name}")
    numbers = [int(getattr(signal, name)) for name in options.signals]
    good = [row(world, case, number, options.moments, whole, draw) for number in numbers]
    return all(good)


if __name__ == "__main__":
    main()
