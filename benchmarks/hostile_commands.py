# SPDX-License-Identifier: Apache-2.0
"""Give the program files of strangers, and print what was tried: board files, spaces, inventories, artifacts, data.

python benchmarks/hostile_commands.py [SUBJECT ..] [--minutes M] [--seed N] [--again "SUBJECT SEED NUMBER"]

Each try changes a true file at random and runs a command on it, in a process that goes on to the next one. A finding is
a traceback, an exit code that is none of the documented, 512 MB of memory more than at the start, a program that was
started, a file outside the program's own folders, a character that acts on a terminal, or a command that does not end.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import io
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
from hostile_values import changed, changed_bytes, placed, to_toml
from report import ROOT, commit

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

_CODES = (0, 1, 2, 3, 4)
_MOST_BYTES = 512 << 20
_LIMIT_S = 120


@dataclass(frozen=True)
class World:
    """Where the tries take place: what the program may write to is `home`, `folder` and `temporary`."""

    root: Path

    @property
    def home(self) -> Path:
        """$EDGENAS_HOME."""
        return self.root / "home"

    @property
    def folder(self) -> Path:
        """Where commands are typed; the stranger's file is here."""
        return self.root / "folder"

    @property
    def temporary(self) -> Path:
        """$TMPDIR."""
        return self.root / "tmp"

    @property
    def outside(self) -> Path:
        """Where nothing may be written."""
        return self.root / "outside"

    @property
    def payload(self) -> Path:
        """A program that must not be started."""
        return self.outside / "payload"

    def make(self) -> None:
        """Make the folders, the program, and what commands need besides the stranger's file."""
        for folder in (self.home, self.folder, self.temporary, self.outside):
            folder.mkdir(mode=0o700)
        self.payload.write_text(f"#!/bin/sh\necho started >> {self.outside}/STARTED\n")
        self.payload.chmod(0o755)
        for name in ("openocd", "x.cfg"):
            (self.folder / name).symlink_to(self.payload)

    def strange(self) -> list[str]:
        """Files where none may be."""
        allowed = {self.payload.name}
        beside = {"home", "folder", "tmp", "outside"}
        found = [str(path) for path in self.outside.rglob("*") if path.name not in allowed]
        return found + [str(path) for path in self.root.iterdir() if path.name not in beside]

    def tidy(self) -> None:
        """Make `outside` as it was, so that a finding is told once."""
        for path in self.outside.iterdir():
            if path.is_dir():
                shutil.rmtree(path)
            elif path != self.payload:
                path.unlink()

    def placed(self, text: str) -> str:
        """`text` with the true paths."""
        return placed(text, str(self.outside), str(self.payload))


# What starts a program or writes a file elsewhere, where a board's file may say it.
_URLS = (
    "local:?python=PAYLOAD",
    "local:?python=./x.cfg",
    "local:?root=OUTSIDE/root",
    "qemu:mps2-an386?root=OUTSIDE/root",
    "unicorn:mps2-an386?root=OUTSIDE/root",
    "ssh://-oProxyCommand=PAYLOAD@host",
)
Try = Callable[[World, random.Random], list[str]]


def _toml_of(world: World, source: Path, rng: random.Random) -> bytes:
    if rng.random() < 0.25:
        return changed_bytes(source.read_bytes(), rng)
    table = changed(tomllib.loads(source.read_text(encoding="utf-8")), rng, rng.choice((1, 1, 2, 5)))
    if isinstance(table, dict) and "device_url" in table and rng.random() < 0.3:
        table["device_url"] = rng.choice(_URLS)
    text = to_toml(table) if isinstance(table, dict) else json.dumps(table)
    return world.placed(text).encode("utf-8", "replace")


def board(world: World, rng: random.Random) -> list[str]:
    """A command on a stranger's board file, by its path or put where `profile import` says."""
    source = ROOT / "boards" / rng.choice(("host", "mps2-an386", "nucleo-l4r5zi", "rpi-4b")) / "board.toml"
    data = _toml_of(world, source, rng)
    file = world.folder / "board.toml"
    mine = world.home / "boards" / "stranger" / "board.toml"
    mine.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(data)
    mine.write_bytes(data if rng.random() < 0.3 else source.read_bytes())
    name = rng.choice((str(file), "stranger"))
    commands = [
        ["boards"],
        ["boards", "--json"],
        ["profile", "show", "--board", name],
        ["plan", str(world.root / "folder" / "artifact"), "--board", name],
        ["flash", "--board", name, "--dry-run", "--image", str(world.folder / "image.bin"), "--with", "openocd"],
        ["flash", "--board", name, "--dry-run", "--image", str(world.folder / "image.bin"), *_with(rng)],
        *[["rollback", "--board", name]] * 3,
    ]
    return rng.choice(commands)


def _with(rng: random.Random) -> list[str]:
    return ["--with", rng.choice(("pyocd", "stm32flash", "esptool", "uf2")), "--device", "serial:///dev/null"]


def space(world: World, rng: random.Random) -> list[str]:
    """Training one network of a stranger's space, refused before it begins; or a stranger's architecture."""
    file = world.folder / "space.toml"
    file.write_bytes(_toml_of(world, ROOT / "models" / "tiny.toml", rng))
    words = ["profile", "--space", str(file), "--device", "serial:///dev/null", "--board", "nucleo-l4r5zi"]
    return [*words, "--minutes", "0.01"]


def inventory(world: World, rng: random.Random) -> list[str]:
    """A command that reads devices.toml; its URLs are the user's own, so none of them is connected to here."""
    source = world.folder / "true.toml"
    source.write_text(
        '[[device]]\nname = "kitchen"\nurl = "serial:///dev/null"\nboard = "nucleo-l4r5zi"\ntags = ["ground floor"]\n'
    )
    (world.home / "devices.toml").write_bytes(_toml_of(world, source, rng))
    if rng.random() < 0.5:
        return ["devices", "--tag", "no such tag"]
    return ["rollback", "--device", "nowhere"]


def _arrays(world: World, rng: random.Random) -> dict[str, Any]:
    inputs = np.zeros((3, 4, 4, 1), np.int8)
    found = {"inputs": inputs, "outputs": np.zeros((3, 3), np.int8)}
    if rng.random() < 0.6:
        name = rng.choice(("inputs", "outputs"))
        shapes: tuple[tuple[int, ...], ...] = ((0,), (3,), (3, 0), (3, 4, 4), (3, 3, 1, 1, 1), (1, 4, 4, 1), ())
        kinds = (np.int8, np.float64, np.bool_, np.complex64, "U8", "S3", "M8[s]", [("a", "i4")])
        found[name] = np.zeros(rng.choice(shapes), rng.choice(kinds))
    return found


def artifact(world: World, rng: random.Random) -> list[str]:
    """A command on a stranger's artifact, whose sums are right more often than not."""
    from edgenas.artifacts.artifact import GOLDEN, MANIFEST, MODEL, Artifact

    base = Artifact.load(world.root / "folder" / "artifact")
    folder = world.folder / "stranger"
    folder.mkdir(exist_ok=True)
    tflite = base.tflite if rng.random() < 0.5 else changed_bytes(base.tflite, rng)
    golden, manifest = base.golden, dict(base.manifest)
    if rng.random() < 0.5:
        file = io.BytesIO()
        np.savez(file, **_arrays(world, rng))
        golden = file.getvalue() if rng.random() < 0.7 else changed_bytes(base.golden, rng)
    if rng.random() < 0.8:
        manifest = changed(manifest, rng, rng.choice((1, 1, 2, 4)))
    if isinstance(manifest, dict) and rng.random() < 0.8:
        manifest |= {"sha256": hashlib.sha256(tflite).hexdigest(), "bytes": len(tflite)}
        if isinstance(manifest.get("golden"), dict):
            manifest["golden"]["sha256"] = hashlib.sha256(golden).hexdigest()
    (folder / MODEL).write_bytes(tflite)
    (folder / GOLDEN).write_bytes(golden)
    text = world.placed(json.dumps(manifest))
    (folder / MANIFEST).write_bytes(text.encode() if rng.random() < 0.85 else changed_bytes(text.encode(), rng))
    name = str(folder if rng.random() < 0.7 else folder / MODEL)
    return [*rng.choice((["plan", name, "--board", "mps2-an386"], ["measure", name, "--board", "host"])), *_json(rng)]


def _json(rng: random.Random) -> list[str]:
    return ["--json"] if rng.random() < 0.3 else []


def _data(rng: random.Random) -> bytes:
    """An .npz of 40 images of 4 classes no network of the digits can be judged by."""
    images = np.random.default_rng(0).integers(0, 256, (40, 8, 8), np.uint8)
    arrays: dict[str, Any] = {"x": images, "y": np.arange(40) % 4}
    if rng.random() < 0.7:
        name = rng.choice(list(arrays))
        kinds = (np.uint8, np.float32, np.int64, np.bool_, np.complex64, "U8", "S3", "M8[s]", [("a", "i4")])
        shapes: tuple[tuple[int, ...], ...] = ((0,), (40,), (40, 0), (40, 8, 8, 3), (40, 1, 1), (7, 8, 8), ())
        arrays[name] = np.zeros(rng.choice(shapes), rng.choice(kinds))
    file = io.BytesIO()
    np.savez_compressed(file, **arrays)
    return file.getvalue() if rng.random() < 0.6 else changed_bytes(file.getvalue(), rng)


def data(world: World, rng: random.Random) -> list[str]:
    """Judging a true network by a stranger's data: they are read, and refused for their classes at the latest."""
    (world.folder / "data.npz").write_bytes(_data(rng))
    return _convert(world, world.folder / "true.pt", str(world.folder / "data.npz"))


def checkpoint(world: World, rng: random.Random) -> list[str]:
    """Converting a stranger's checkpoint, as far as the data, which are of other classes."""
    (world.folder / "strange.pt").write_bytes(changed_bytes((world.folder / "true.pt").read_bytes(), rng))
    (world.folder / "data.npz").write_bytes(_data(random.Random(0)))
    return _convert(world, world.folder / "strange.pt", str(world.folder / "data.npz"))


def _convert(world: World, file: Path, labelled: str) -> list[str]:
    return ["convert", str(file), "--data", labelled, "--out", str(world.folder / "out")]


SUBJECTS: dict[str, Try] = {
    "boards": board,
    "spaces": space,
    "inventory": inventory,
    "artifacts": artifact,
    "checkpoints": checkpoint,
    "data": data,
}


def prepare(world: World) -> None:
    """What commands need besides: a true artifact and an image."""
    sys.path.insert(0, str(ROOT / "tests"))
    from helpers.ssh.ssh_models import fully_connected  # a small model, which the tests share

    from edgenas import train
    from edgenas.artifacts.artifact import Artifact, Tensor

    world.make()
    (world.folder / "image.bin").write_bytes(b"\0\0\1\x20" * 64)
    model = fully_connected(0)
    made = Artifact.build(
        name="true",
        tflite=model,
        precision="int8",
        input=Tensor((1, 16), "int8", 1 / 255, -128),
        output=Tensor((1, 8), "int8", 0.1, 5),
        golden_inputs=np.zeros((2, 16), np.int8),
        golden_outputs=np.zeros((2, 8), np.int8),
        operators=["FULLY_CONNECTED"],
        labels=[f"class {i}" for i in range(8)],
        macs=128,
    )
    made.save(world.folder / "artifact")
    train("stem-8s1/plain-8x1/plain-16x1/plain-32x1", data="digits", out=world.folder / "true.pt", epochs=1)


@dataclass
class Tally:
    """What a subject's tries came to: exit codes and the most memory over the start's."""

    codes: dict[int, int]
    most_bytes: int = 0


def _acts(text: str) -> set[str]:
    """Characters of a text that act on a terminal."""
    return {c for c in text if c not in "\n\t" and (unicodedata.category(c) in ("Cc", "Cs", "Zl", "Zp") or _turns(c))}


def _turns(character: str) -> bool:
    return unicodedata.category(character) == "Cf" and character not in "\u00ad\u200c\u200d"


def _high_water() -> int:
    """The most memory so far, in bytes; not `getrusage`'s, which begins with that of the parent."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) << 10 for line in lines if line.startswith("VmHWM:"))


def _serve(subject: str, seed: int, root: Path, pipe: Connection) -> None:
    """Do the tries that are asked for by number; each answer is (exit code or None, what is wrong, bytes)."""
    from edgenas.cli import main

    world = World(root)
    os.chdir(world.folder)
    os.environ.update(EDGENAS_HOME=str(world.home), TMPDIR=str(world.temporary), NO_COLOR="1", COLUMNS="200")
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        main(["boards", "--json"])  # so that what it takes to start is not counted
    base = _high_water()
    while (number := pipe.recv()) is not None:
        rng = random.Random(f"{subject} {seed} {number}")
        arguments = SUBJECTS[subject](world, rng)
        out, err = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = main(arguments)
        printed = out.getvalue() + err.getvalue()
        wrong = []
        if code not in _CODES or "Traceback" in printed:
            wrong.append(f"exit {code}: {printed[-2000:]}")
        if acting := _acts(printed):
            wrong.append(f"characters that act: {sorted(map(ascii, acting))} in {printed[-500:]!a}")
        if strange := world.strange():
            wrong.append(f"written or started: {strange}")
            world.tidy()
        if (more := _high_water() - base) > _MOST_BYTES:
            wrong.append(f"{more >> 20} MB more memory")
        pipe.send((code, [f"{' '.join(arguments)}: {each}" for each in wrong], more))


class _Worker:
    """The process that does the tries of a subject; started anew after a finding."""

    def __init__(self, subject: str, seed: int, root: Path) -> None:
        self._arguments = (subject, seed, root)
        self._start()

    def _start(self) -> None:
        context = get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(*self._arguments, theirs), daemon=False)
        self._process.start()
        theirs.close()

    def attempt(self, number: int) -> tuple[int | None, list[str], int]:
        self._pipe.send(number)
        try:
            if self._pipe.poll(_LIMIT_S):
                answer: tuple[int | None, list[str], int] = self._pipe.recv()
                return answer
            problem = f"no end in {_LIMIT_S} s"
        except EOFError:
            problem = "the process died"
        self.stop()
        self._start()
        return None, [problem], 0

    def stop(self) -> None:
        self._process.kill()
        self._process.join()


def attack(subject: str, seed: int, seconds: float, root: Path, only: int | None = None) -> int:
    """Print a line about a subject's tries; how many findings there were."""
    worker, tally, findings = _Worker(subject, seed, root), Tally({}), 0
    number, end = only or 0, time.monotonic() + seconds
    while time.monotonic() < end:
        code, wrong, more = worker.attempt(number)
        for each in wrong:
            findings += 1
            print(f"{subject} {seed} {number}: {each}", flush=True)
        if code is not None:
            tally.codes[code] = tally.codes.get(code, 0) + 1
        tally.most_bytes = max(tally.most_bytes, more)
        if only is not None:
            break
        number += 1
    worker.stop()
    codes = ", ".join(f"exit {code} {count:,}" for code, count in sorted(tally.codes.items()))
    found = f"{findings} FOUND" if findings else "nothing found"
    print(
        f"{subject:10}{seconds:6.0f} s {sum(tally.codes.values()):8,} tries, seed {seed} ({codes}), at most "
        f"{tally.most_bytes >> 20} MB more: {found}",
        flush=True,
    )
    return findings


def main() -> None:
    """All subjects, one after the other."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("subjects", nargs="*", metavar="SUBJECT", help=f"{', '.join(SUBJECTS)} (all)")
    parser.add_argument("--minutes", type=float, default=10.0, help="for each (10)")
    parser.add_argument("--seed", type=int, default=0, help="(0)")
    parser.add_argument("--again", metavar="'SUBJECT SEED NUMBER'", help="only this try")
    arguments = parser.parse_args()
    unknown = sorted(set(arguments.subjects) - set(SUBJECTS))
    if unknown:
        parser.error(f"no subject {unknown[0]}; there are {', '.join(SUBJECTS)}")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    with tempfile.TemporaryDirectory(prefix="hostile-") as root:
        prepare(World(Path(root)))
        if arguments.again:
            subject, seed, number = arguments.again.split()
            sys.exit(1 if attack(subject, int(seed), 1e9, Path(root), int(number)) else 0)
        print(f"hostile commands  commit {commit()}", flush=True)
        names = arguments.subjects or list(SUBJECTS)
        findings = sum(attack(name, arguments.seed, 60 * arguments.minutes, Path(root)) for name in names)
    sys.exit(1 if findings else 0)


if __name__ == "__main__":
    main()
