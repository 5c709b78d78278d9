# SPDX-License-Identifier: Apache-2.0
"""What a Linux board over SSH costs: an installation beside plain scp, the first measurement, twenty devices at once.

    python benchmarks/ssh_link.py [--json] [--mebibytes 50] [--repeats 5] [--devices 20] [--limit 8]

The board is this computer: an OpenSSH server on loopback, unprivileged, with keys and folders of its own; its agent
runs in this interpreter, which has a TFLite runtime. Installing is from the first packet until the model is staged: on
the board's disk, synced and read back; scp, in turn with it, writes the same bytes and syncs nothing. The first
measurement is the first of the host board's five processes, whose five make the latency. At several devices at once
each is logged in to, given a model and committed; then `edgenas.devices` asks them all.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from report import ROOT, publish, spread

sys.path.insert(0, str(ROOT / "tests"))  # the SSH server is the tests' ...

import numpy as np
from helpers.firmware_tools.raw_agent import fully_connected
from helpers.ssh_server import SshServer, at_home

import edgenas
from edgenas.boards import inventory
from edgenas.parallel import in_parallel
from firmware_tools.connect import connect
from firmware_tools.device import TimingPlan

_INPUTS = 4096  # of the large model, whose weights are float32
_TIMEOUT_S = 300.0
Figures = dict[str, dict[str, Any]]


class Stopwatch:
    """Seconds since it was made."""

    def __init__(self) -> None:
        self._started = time.perf_counter()

    def seconds(self) -> float:
        """Until now."""
        return time.perf_counter() - self._started


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--mebibytes", type=int, default=50)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--devices", type=int, default=20)
    parser.add_argument("--limit", type=int, default=8)
    arguments = parser.parse_args()
    asked = {**vars(arguments), "load_before": os.getloadavg()[0]}  # a busy computer makes all of it slower
    with TemporaryDirectory() as scratch, SshServer(Path(scratch) / "board") as server, at_home(server):
        folder = Path(scratch)
        os.environ["EDGENAS_HOME"] = str(folder / "edgenas")
        (folder / "edgenas").mkdir()
        figures = {
            **installations(server, folder, arguments.mebibytes, arguments.repeats),
            **first_measurements(server, arguments.repeats),
            **many(server, arguments.devices, arguments.limit, arguments.repeats),
        }
    table: list[tuple[object, ...]] = [("what", "n", "median", "min", "max")]
    for what, figure in figures.items():
        unit = "" if "over scp" in what else " s"
        table.append((what, figure["n"], *(f"{figure[key]:.2f}{unit}" for key in ("median", "min", "max"))))
    publish("ssh_link", {**asked, "figures": figures}, table, as_json=arguments.json)


def installations(server: SshServer, folder: Path, mebibytes: int, repeats: int) -> Figures:
    """Install and scp in turn, each pair other bytes, so that nothing is there already."""
    whole, staged, peer = [], [], []
    url = server.url(str(server.home / "install"), python=sys.executable)
    connect(url, home=folder).close()  # the agent's file is pushed once, and is there from then on
    for repeat in range(repeats):
        model = fully_connected(repeat, _INPUTS, mebibytes * (1 << 20) // (4 * _INPUTS))
        clock = Stopwatch()
        with connect(url, home=folder) as device:
            opened_s = clock.seconds()
            device.stage(model, {})
            whole.append(clock.seconds())
            staged.append(whole[-1] - opened_s)
        source = folder / "model.tflite"
        source.write_bytes(model)
        peer.append(scp(server, source))
    name = f"{mebibytes} MiB"
    return {
        f"{name} by scp": spread(peer),
        f"{name}, connect and install": spread(whole),
        f"{name}, install": spread(staged),
        "connect and install over scp": spread([mine / other for mine, other in zip(whole, peer, strict=True)]),
        "install over scp": spread([mine / other for mine, other in zip(staged, peer, strict=True)]),
    }


def scp(server: SshServer, source: Path) -> float:
    """Seconds of `scp source board:`."""
    target = server.home / "by-scp.tflite"
    target.unlink(missing_ok=True)
    known, key = f"UserKnownHostsFile={server.known_hosts}", ("-o", "IdentitiesOnly=yes", "-i", str(server.key))
    where = f"{server.user}@127.0.0.1:{target}"
    command = ["scp", "-q", "-F", "none", "-P", str(server.port), "-o", known, *key, str(source), where]
    clock = Stopwatch()
    subprocess.run(command, check=True)
    seconds = clock.seconds()
    assert target.stat().st_size == source.stat().st_size
    return seconds


def first_measurements(server: SshServer, repeats: int) -> Figures:
    """From connecting to an answer, to the first process's timing and to the latency, on a board that is prepared."""
    model, url = fully_connected(0), server.url(str(server.home / "measure"), python=sys.executable)
    pushed, opened, first, latency = [], [], [], []
    for repeat in range(repeats + 1):
        clock, timed = Stopwatch(), list[float]()
        with connect(url, home=server.folder) as device:
            answered_s = clock.seconds()
            if repeat == 0:  # the agent's file had to be brought
                pushed.append(answered_s)
                continue
            device.time([model], TimingPlan(), lambda done, total, to=timed, by=clock: to.append(by.seconds()))
            latency.append(clock.seconds())
        opened.append(answered_s)
        first.append(timed[0])
    return {
        "connect for the first time": spread(pushed),
        "connect": spread(opened),
        "connect to first measurement": spread(first),
        "connect to latency of 5 processes": spread(latency),
    }


def many(server: SshServer, count: int, limit: int, repeats: int) -> Figures:
    """Deploy to `count` devices, `limit` at a time, then list them."""
    urls = [server.url(str(server.home / f"fleet-{number}"), python=sys.executable) for number in range(count)]
    entries = (f'[[device]]\nname = "device-{number}"\nurl = "{url}"\n' for number, url in enumerate(urls))
    inventory.file().write_text("\n".join(f'{entry}tags = ["fleet"]\n' for entry in entries), encoding="utf-8")
    deployed, listed = [], []
    for repeat in range(repeats):
        model = fully_connected(repeat, 256, 256)
        clock = Stopwatch()
        done = in_parallel([partial(deploy, url, model) for url in urls], limit=limit, timeout_s=_TIMEOUT_S)
        deployed.append(clock.seconds())
        clock = Stopwatch()
        found = edgenas.devices("fleet", limit=limit, timeout_s=_TIMEOUT_S)
        listed.append(clock.seconds())
        served = {device.active.sha256 for device in found if device.active is not None}
        assert all(done), "a device took too long"
        assert served == set(done), f"not every device serves the model: {[device.note for device in found]}"
    return {
        f"install on {count} devices, {limit} at once": spread(deployed),
        f"list {count} devices, {limit} at once": spread(listed),
    }


def deploy(url: str, model: bytes) -> str:
    """Install `model`, see it answer, commit it; its sha256."""
    with connect(url, home=Path(os.environ["EDGENAS_HOME"])) as device:
        sha256 = device.stage(model, {"name": "fleet"}).sha256
        device.infer_staged(np.zeros((1, 256), np.float32))
        device.commit()
    return sha256


if __name__ == "__main__":
    main()
