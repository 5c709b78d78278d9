# SPDX-License-Identifier: Apache-2.0
"""Plans run by the engine itself, compiled for this computer: exactly what a microcontroller computes."""

from __future__ import annotations

import ctypes
import hashlib
import os
import shlex
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from firmware_tools import children
from firmware_tools.errors import PlanError

STATUSES = (
    *("EN_OK", "EN_BAD_ALIGNMENT", "EN_BAD_SIZE", "EN_BAD_MAGIC", "EN_BAD_VERSION", "EN_BAD_CRC"),
    *("EN_ARENA_TOO_SMALL", "EN_BAD_OPERATOR", "EN_BAD_SHAPE", "EN_BAD_OFFSET", "EN_BAD_OVERLAP", "EN_BAD_VALUE"),
)
_FIRMWARE = Path(__file__).resolve().parent.parent / "firmware"
_ENGINE = _FIRMWARE / "engine"
_REPLAY = _FIRMWARE / "host" / "replay.c"
_FLAGS = ("-std=c11", "-O2", "-g", f"-I{_ENGINE}")
_SANITIZE = ("-fsanitize=address,undefined", "-fno-sanitize-recover=all")
_REFUSED = 3  # replay's exit status
_MAX_ARENA = 1 << 26  # bytes; more than any microcontroller has
_HEADER = np.dtype(
    {"names": ["arena", "input", "output"], "formats": ["<u4"] * 3, "offsets": [16, 36, 52], "itemsize": 64}
)


class _Model(ctypes.Structure):
    """en_model."""

    _fields_ = (
        ("plan", ctypes.c_void_p),
        ("arena", ctypes.c_void_p),
        ("header", ctypes.c_void_p),
        ("failed_op", ctypes.c_uint32),
    )


class _Loaded:
    """A plan that en_load has seen, with memory that it may use."""

    def __init__(self, library: ctypes.CDLL, plan: bytes) -> None:
        self.library = library
        self.arena_bytes, self.input_bytes, self.output_bytes = _sizes(plan)
        self._plan = _aligned(plan, len(plan))
        offered = min(self.arena_bytes, _MAX_ARENA)
        self._arena = _aligned(b"", offered)
        self.model = _Model()
        self.status: int = library.en_load(
            *(ctypes.byref(self.model), self._plan, ctypes.c_uint32(len(plan))),
            *(self._arena, ctypes.c_uint32(offered)),
        )

    def run(self, input_: npt.NDArray[np.int8]) -> npt.NDArray[np.int8]:
        """One inference: [input_bytes] to [output_bytes]."""
        ctypes.memmove(self.library.en_input(ctypes.byref(self.model)), input_.tobytes(), self.input_bytes)
        self.library.en_run(ctypes.byref(self.model), None, None)
        output = self.library.en_output(ctypes.byref(self.model))
        return np.frombuffer(ctypes.string_at(output, self.output_bytes), np.int8)


def check(plan: bytes, folder: Path | None = None) -> str:
    """What en_load says of a plan: a name of STATUSES. `folder` and errors as of simulate."""
    return STATUSES[_Loaded(_library(folder or _cache()), plan).status]


def simulate(
    plan: bytes, inputs: npt.NDArray[np.int8], folder: Path | None = None, sanitize: bool = False
) -> npt.NDArray[np.int8]:
    """The outputs [n, output bytes] of a plan for the inputs [n, ...], each of as many bytes as the plan's input.

    The engine is compiled by this computer's C compiler ($CC, cc, gcc or clang) when it is needed first, and kept in
    `folder` (the user's cache). With `sanitize` it runs in a process of its own under the address and undefined
    behaviour sanitizers. Raises PlanError if the plan is refused, if there is no compiler, or if a sanitizer finds
    something; ValueError if the inputs have another type or size than the plan's.
    """
    folder = folder or _cache()
    loaded = _Loaded(_library(folder), plan)
    if loaded.status:
        raise _refused(loaded.status, loaded.model.failed_op, plan)
    if inputs.dtype != np.int8 or inputs.ndim == 0 or inputs.size != len(inputs) * loaded.input_bytes:
        raise ValueError(
            f"inputs are {inputs.dtype} {inputs.shape}: int8 [n, {loaded.input_bytes}] is what the plan takes"
        )
    rows = inputs.reshape(len(inputs), loaded.input_bytes)
    if sanitize:
        return _replay(plan, rows, loaded.output_bytes, folder)
    outputs = [loaded.run(row) for row in rows]
    return np.array(outputs, np.int8).reshape(len(rows), loaded.output_bytes)


def _sizes(plan: bytes) -> tuple[int, int, int]:
    """Of arena, input and output, in bytes, as the header says; zeros if there is none."""
    if len(plan) < _HEADER.itemsize:
        return 0, 0, 0
    header = np.frombuffer(plan, _HEADER, 1)[0]
    return int(header["arena"]), int(header["input"]), int(header["output"])


def _aligned(data: bytes, size: int) -> ctypes.Array[ctypes.c_uint64]:
    """Memory of at least `size` bytes at a multiple of 8 that begins with `data`."""
    memory = (ctypes.c_uint64 * (size // 8 + 1))()
    ctypes.memmove(memory, data, len(data))
    return memory


def _refused(status: int, operator: int, plan: bytes) -> PlanError:
    """`operator` is en_model.failed_op: the number of operators where none of them is at fault."""
    count = int.from_bytes(plan[20:24], "little")
    where = f"operator {operator}" if operator < count else "the header"
    message = f"the engine refuses the plan: {STATUSES[status]} in {where}; make the plan again from its model"
    return PlanError(message, status=STATUSES[status], operator=operator if operator < count else None)


def _replay(plan: bytes, rows: npt.NDArray[np.int8], output_bytes: int, folder: Path) -> npt.NDArray[np.int8]:
    program = _built(folder, "replay", (_REPLAY,), _SANITIZE)
    with tempfile.TemporaryDirectory() as name:
        plan_path, inputs, outputs = (Path(name, part) for part in ("plan", "inputs", "outputs"))
        plan_path.write_bytes(plan)
        inputs.write_bytes(rows.tobytes())
        command = [str(program), str(plan_path), str(inputs), str(outputs)]
        done = children.run(command, text=True, errors="replace")
        if done.returncode == _REFUSED:
            status, operator = done.stdout.split()
            raise _refused(int(status), int(operator), plan)
        if done.returncode:
            found = next((line for line in done.stderr.splitlines() if "rror" in line), f"exit {done.returncode}")
            raise PlanError(f"the engine fails under the sanitizers: {found.strip()[-120:]}", output=done.stderr)
        return np.frombuffer(outputs.read_bytes(), np.int8).reshape(len(rows), output_bytes)


def _cache() -> Path:
    named = os.environ.get("XDG_CACHE_HOME", "")  # its specification: a relative path is to be ignored
    return Path(named if Path(named).is_absolute() else Path.home() / ".cache") / "edgenas" / "engine"


def _library(folder: Path) -> ctypes.CDLL:
    library = ctypes.CDLL(str(_built(folder, "libengine.so", (), ("-shared", "-fPIC"))))
    for name in ("en_input", "en_output"):
        getattr(library, name).restype = ctypes.c_void_p
    library.en_run.restype = None
    return library


def _built(folder: Path, name: str, more: Sequence[Path], flags: Sequence[str]) -> Path:
    """The engine, compiled with `more` sources; compiled now unless the folder has it for these sources already."""
    compiler, folder = _compiler(), folder.absolute()
    sources = [*sorted(_ENGINE.rglob("*.c")), *more]
    digest = hashlib.sha256(repr((compiler, flags)).encode())
    for path in (*sources, *sorted(_ENGINE.rglob("*.h"))):
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
    built = folder / f"{digest.hexdigest()[:20]}-{name}"
    if not built.exists():
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=folder) as scratch:
                _compile(compiler, [*_FLAGS, *flags, "-o", str(Path(scratch, name)), *map(str, sources)])
                Path(scratch, name).replace(built)  # whole, or not there: other processes may build at the same time
        except OSError as error:
            message = f"cannot build the engine in {folder} ({error.strerror}): set XDG_CACHE_HOME to a writable folder"
            raise PlanError(message, folder=str(folder)) from error
    return built


def available() -> bool:
    """Whether there is a C compiler, without which nothing can be simulated."""
    try:
        return bool(_compiler())
    except PlanError:
        return False


def _compiler() -> list[str]:
    """The command of a C compiler. Raises PlanError if there is none."""
    named = os.environ.get("CC", "")
    for command in [named] if named else ["cc", "gcc", "clang"]:
        words = shlex.split(command)
        if words and (program := children.which(words[0])):
            return [program, *words[1:]]
    missing = f"CC={named} is not a program" if named else "there is neither cc nor gcc nor clang"
    raise PlanError(f"running a plan on this computer takes a C compiler, but {missing}: install one, or set CC")


def _compile(compiler: Sequence[str], arguments: Sequence[str]) -> None:
    done = children.run([*compiler, *arguments], text=True, errors="replace")
    if done.returncode:
        found = next((line for line in done.stderr.splitlines() if "error" in line), f"exit {done.returncode}")
        message = f"{shlex.join(compiler)} cannot compile the engine ({found.strip()[-80:]}): set CC to a C11 compiler"
        raise PlanError(message, output=done.stderr)
