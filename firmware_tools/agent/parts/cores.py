# SPDX-License-Identifier: Apache-2.0
"""The processor's cores: how fast they may be and are, what slows them down, who uses them."""

from __future__ import annotations

import glob
import os
import re
from typing import Any

from .processes import tool
from .system import first_line

CPUS = "/sys/devices/system/cpu"
FAST = 0.9  # of the fastest core: cores of one kind differ by less, the little ones of big.LITTLE by far more
THROTTLED_BITS = ("under-voltage", "clock capped", "throttled", "soft temperature limit")  # of vcgencmd get_throttled


def clock_mhz(cores: list[int] | None) -> float | None:
    """The highest present clock of `cores`; of all if there is none to name."""
    names = ["[0-9]*"] if cores is None else [str(core) for core in cores]
    files = [path for name in names for path in glob.glob(f"{CPUS}/cpu{name}/cpufreq/scaling_cur_freq")]
    clocks = [int(text) / 1000 for text in map(first_line, files) if text and text.isdigit()]
    if not clocks:
        try:
            with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as file:
                clocks = [float(mhz) for mhz in re.findall(r"^cpu MHz\s*:\s*([0-9.]+)$", file.read(), re.M)]
        except OSError:
            return None
    return max(clocks) if clocks else None


def fast_cores(least: int) -> list[int] | None:
    """The cores of the fastest kind that this process may use, more kinds until they are `least`; None: not Linux."""
    if not hasattr(os, "sched_getaffinity"):
        return None

    def speed(core: int, name: str) -> int:
        text = first_line(f"{CPUS}/cpu{core}/{name}") or ""
        return int(text) if text.isdigit() else 0

    allowed = sorted(os.sched_getaffinity(0))
    # Capacity counts the core's design as well; x86 and old kernels only say clocks.
    speeds = {core: speed(core, "cpu_capacity") for core in allowed}
    if len(set(speeds.values())) == 1:
        speeds = {core: speed(core, "cpufreq/cpuinfo_max_freq") for core in allowed}
    chosen: list[int] = []
    while len(chosen) < min(least, len(allowed)):
        rest = [core for core in allowed if core not in chosen]
        fastest = max(speeds[core] for core in rest)
        chosen += [core for core in rest if speeds[core] >= FAST * fastest]
    return sorted(chosen)


def governor_files(cores: list[int] | None) -> list[str]:
    """What sets the governor of `cores`, of all if there are none to name; cores of one clock share one."""
    names = ["[0-9]*"] if cores is None else [str(core) for core in cores]
    paths = [path for name in names for path in glob.glob(f"{CPUS}/cpu{name}/cpufreq/scaling_governor")]
    return sorted({os.path.realpath(path) for path in paths})


def offered_by(path: str) -> list[str]:
    """The governors that the file `path` takes."""
    return (first_line(os.path.join(os.path.dirname(path), "scaling_available_governors")) or "").split()


def governors(cores: list[int] | None) -> list[str]:
    """The governors that this process may set for `cores`."""
    files = [] if cores is None else governor_files(cores)
    if not files or not all(os.access(path, os.W_OK) for path in files):
        return []
    return offered_by(files[0])


def governor_of(cores: list[int] | None) -> str | None:
    """The governor that the first of `cores` has now; of the first core of all if there are none to name."""
    return first_line(f"{CPUS}/cpu{cores[0] if cores else 0}/cpufreq/scaling_governor")


def power_setting() -> dict[str, Any]:
    """What one may change of the clock: the governor and the highest clock of the fast cores, and a Jetson's mode."""
    cores = fast_cores(1)
    folder = f"{CPUS}/cpu{cores[0] if cores else 0}/cpufreq"
    # Heat lowers scaling_max_freq for a while, which is no setting.
    clock = first_line(folder + ("/cpuinfo_max_freq" if clock_limited() else "/scaling_max_freq")) or ""
    mode = re.search(r"NV Power Mode:\s*([\w.-]+)", tool(["nvpmodel", "-q"]) or "")
    return {
        "governor": governor_of(cores),
        "max_clock_mhz": int(clock) / 1000 if clock.isdigit() else None,
        "power_mode": mode.group(1) if mode else None,
    }


def tools() -> dict[str, str]:
    """What the programs that only some boards have say of power and clocks, by their command line."""
    commands = (["vcgencmd", "get_throttled"], ["nvpmodel", "-q"], ["jetson_clocks", "--show"])
    said = {" ".join(command): tool(command) for command in commands}
    said["tegrastats"] = tool(["tegrastats", "--interval", "200"], most_lines=1)
    return {command: text for command, text in said.items() if text}


def clock_limited() -> bool:
    """Whether the kernel limits the processor's clock because of its heat."""
    for device in glob.glob("/sys/class/thermal/cooling_device[0-9]*"):
        kind, state = first_line(device + "/type") or "", first_line(device + "/cur_state") or ""
        if re.search("cpufreq|^Processor$", kind) and state.isdigit() and int(state):
            return True
    return False


def throttling(cores: list[int] | None) -> tuple[list[str], dict[str, int]]:
    """What slows the processor down now, and counts that grow whenever it was."""
    now, counts = [], {}
    found = re.search("0x[0-9a-fA-F]+", tool(["vcgencmd", "get_throttled"]) or "")
    bits = int(found.group(), 16) if found else 0
    for bit, name in enumerate(THROTTLED_BITS):
        counts[name] = bits >> (16 + bit) & 1  # since the board was switched on
        if bits >> bit & 1:
            now.append(name)
    if clock_limited():
        now.append("thermal limit of the clock")
    events = [first_line(f"{CPUS}/cpu{core}/thermal_throttle/core_throttle_count") or "" for core in cores or []]
    counts["throttled by heat"] = sum(int(text) for text in events if text.isdigit())
    return now, counts


def processor_use() -> tuple[float, float] | None:
    """The seconds of all cores together since the start, those in which one worked and all; None: not Linux."""
    times = [int(text) for text in (first_line("/proc/stat") or "").split()[1:9]]
    if len(times) < 5:
        return None
    every = sum(times)
    ticks = os.sysconf("SC_CLK_TCK")
    return (every - times[3] - times[4]) / ticks, every / ticks  # less idle and iowait
