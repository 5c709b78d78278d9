# SPDX-License-Identifier: Apache-2.0
"""TensorRT: not a package but NVIDIA's program trtexec, which takes ONNX models."""

from __future__ import annotations

import array
import base64
import functools
import glob
import hashlib
import json
import math
import os
import platform
import re
import shutil
import signal
import subprocess
import sys
from typing import Any, Iterator

from ..files import remove, sha256_of, sync_folder
from ..onnx_files import require_onnx
from ..processes import TOOL_PATHS, program, start, tool
from ..refusal import Refusal
from ..system import first_line
from ..timing import MIN_INVOCATIONS
from .runtime import Runtime

NAME = "tensorrt"
ENGINES_KEPT = 32
TYPED = 11  # TensorRT from this version on: the types of the ONNX model hold, options for others are refused
TRTEXEC_S = 20.0  # for its help: a cold start reads its libraries, a gigabyte, from a memory card


def find() -> tuple[list[list[str]], list[str]]:
    """Its [name, version], if it is there; nothing is worth a note."""
    version = tensorrt_version()
    return [[NAME, version]] if version is not None else [], []


def missing(wanted: str | None, notes: list[str]) -> Refusal:
    """The refusal where it is not there."""
    command = "sudo apt-get install tensorrt"
    message = f"no trtexec on PATH or in {TOOL_PATHS[-1]} that says its version: on a Jetson run {command}"
    return Refusal("runtime", message, runtime=wanted, command=command)


def tensorrt_version() -> str | None:
    """The version of trtexec, from the line that it begins with; None if it is not there or says none."""
    path = trtexec_path()
    return None if path is None else version_said_by(path)


@functools.lru_cache(maxsize=None)
def version_said_by(path: str) -> str | None:
    """Asked once: it takes seconds."""
    found = re.search(r"TensorRT v([0-9.]+)", tool([path, "--help"], most_lines=3, limit_s=TRTEXEC_S) or "")
    if found is None:
        return None
    if "." in found.group(1):  # from 11 on
        return found.group(1)
    number = int(found.group(1))  # 8502 is 8.5.2, 100300 is 10.3.0
    thousands = 1000 if number < 10000 else 10000
    return f"{number // thousands}.{number % thousands // 100}.{number % 100}"


def trtexec_path() -> str | None:
    """Where TensorRT's program is."""
    return program("trtexec")


def gpu_name() -> str:
    """Name and compute capability, or what a Jetson's device tree calls the board and its chip."""
    asked = tool(["nvidia-smi", "--query-gpu=name,compute_cap", "--format=csv,noheader"])
    return asked or (first_line("/proc/device-tree/compatible") or platform.machine()).replace("\0", ",")


def engine_answers(job: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """What TensorRT answers to a job; its engines stay in job["engines"]."""
    work = os.path.join(job["engines"], "work")
    shutil.rmtree(work, ignore_errors=True)  # of a worker that was killed
    os.makedirs(work)
    if job["do"] == "time":
        for model in job["order"]:
            yield time_engine(job, work, model)
    elif job["do"] == "operators":
        yield engine_operators(engine_of(job["model"], job["engines"], work), work)
    else:
        yield infer_engine(job, work)


def trtexec(work: str, *arguments: str) -> None:
    """Run trtexec in the folder `work` to its end; refuses with its own words if it fails."""
    path, libc = trtexec_path(), None
    if sys.platform == "linux":
        import ctypes

        libc = ctypes.CDLL(None)

    def end_with_worker() -> None:
        if libc is not None:
            libc.prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG: it may be busy for minutes when the host goes away

    assert path is not None
    process = start(
        [path, *arguments],
        cwd=work,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        preexec_fn=end_with_worker,
    )
    lines = process.communicate()[0].decode("utf-8", "replace").splitlines()
    if process.returncode != 0:
        errors = [line.strip() for line in lines if "[E]" in line] or [line.strip() for line in lines if line.strip()]
        why = " | ".join(errors[-3:]) or "it printed nothing"
        int8 = "hardware with Int8 support" in why
        hint = ": this GPU computes no int8: leave --precision out for half precision" if int8 else ""
        code = process.returncode
        how = f"of signal {-code}" if code < 0 else f"with status {code}"
        reason = "crashed" if code < 0 else "refused"
        option = arguments[0].partition("=")[0]  # without the path
        message = f"trtexec {option} ended {how}: {why}{hint}"
        raise Refusal("inference", message, reason=reason, code=code, said=why)


def engine_of(model: str, engines: str, work: str) -> str:
    """The engine of a model, built here if there is none: it runs on this GPU with this TensorRT only."""
    onnx = require_onnx(model, "TensorRT", NAME)
    flags = engine_flags(onnx)
    identity = json.dumps([sha256_of(onnx), tensorrt_version(), gpu_name(), flags])
    engine = os.path.join(engines, hashlib.sha256(identity.encode()).hexdigest() + ".plan")
    if not os.path.exists(engine):
        part = os.path.join(work, "engine.part")
        # One inference: versions differ in how they are told to make none.
        few = ("--warmUp=0", "--duration=0", "--iterations=1")
        trtexec(work, "--onnx=" + onnx, *flags, "--saveEngine=" + part, *few)
        with open(part, "rb+") as file:
            os.fsync(file.fileno())
        os.replace(part, engine)
        sync_folder(engines)
    os.utime(engine)
    kept = sorted(glob.glob(os.path.join(glob.escape(engines), "*.plan")), key=os.path.getmtime, reverse=True)
    for old in kept[ENGINES_KEPT:]:
        remove(old)
    return engine


def engine_flags(onnx: str) -> list[str]:
    """What trtexec is told of precision: half, and int8 where the model says by its own nodes what is rounded how."""
    version = tensorrt_version()
    if version is None or int(version.partition(".")[0]) >= TYPED:
        return []
    with open(onnx, "rb") as file:
        return ["--fp16", "--int8"] if b"DequantizeLinear" in file.read() else ["--fp16"]


def run_engine(engine: str, work: str, option: str, *arguments: str) -> Any:
    """What trtexec writes, by `option`, when it runs `engine`."""
    result = os.path.join(work, "result.json")
    remove(result)
    try:
        trtexec(work, "--loadEngine=" + engine, *arguments, f"{option}={result}")
        with open(result, encoding="utf-8") as file:
            return json.load(file)
    except (OSError, ValueError) as error:
        message = f"trtexec {option} wrote nothing that can be read ({error}): this version is not supported"
        raise Refusal("inference", message, reason="refused") from error
    except Refusal:
        remove(engine)  # damaged perhaps: the next time it is built anew
        raise


def time_engine(job: dict[str, Any], work: str, model: int) -> dict[str, Any]:
    """A run of one model, by the times of trtexec: transfers to and from the GPU included; `compute` without them."""
    engine = engine_of(job["models"][model], job["engines"], work)
    warmup_ms = round(1000 * job["warmup_s"])
    # Whole seconds: older versions take no others.
    length = (f"--warmUp={warmup_ms}", f"--duration={math.ceil(job['timed_s'])}", f"--iterations={MIN_INVOCATIONS}")
    trace = run_engine(engine, work, "--exportTimes", *length)
    # Older versions write the warm-up as well.
    timed = [one for one in trace if one["startComputeMs"] >= warmup_ms] or trace
    taken = sorted(1e6 * one["latencyMs"] for one in timed)
    levels = (("min", 0.0), ("p10", 0.1), ("p50", 0.5), ("p95", 0.95), ("max", 1.0))
    run: dict[str, Any] = {name: quantile(taken, level) for name, level in levels}
    run["compute"] = quantile(sorted(1e6 * one["computeMs"] for one in timed), 0.5)
    # What other programs do to the processor says little of the GPU.
    return dict(run, model=model, n=len(taken), ram_bytes=None, waited=None, others=None, clock_mhz=None, pace=None)


def quantile(ordered: list[float], level: float) -> float:
    """As numpy's: between the two nearest values, linearly. This machine may have no numpy."""
    at = level * (len(ordered) - 1)
    low = int(at)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (at - low) * (ordered[high] - ordered[low])


def engine_operators(engine: str, work: str) -> dict[str, Any]:
    """[name, milliseconds] of each layer of an engine, in a run of its own: the profiler slows it down."""
    first, *layers = run_engine(engine, work, "--exportProfile", f"--iterations={MIN_INVOCATIONS}", "--duration=1")
    assert "count" in first
    return {"operators": [[layer["name"], layer["averageMs"]] for layer in layers]}


def infer_engine(job: dict[str, Any], work: str) -> dict[str, Any]:
    """The outputs for each of the job's images, which are NHWC as a .tflite file's; the ONNX model takes NCHW."""
    engine = engine_of(job["model"], job["engines"], work)
    if job["dtype"] not in ("<f4", "=f4") or len(job["shape"]) != 4:
        message = f"inputs are {job['dtype']} {job['shape']}, TensorRT takes float32 images: convert to float32"
        raise Refusal("inference", message, reason="inputs")
    count, height, width, channels = job["shape"]
    values = array.array("f")
    with open(job["inputs"], "rb") as file:
        values.frombytes(file.read())
    size, outputs = height * width * channels, array.array("f")
    for first in range(0, size * count, size):
        with open(os.path.join(work, "input.bin"), "wb") as file:
            for channel in range(channels):
                file.write(values[first + channel : first + size : channels].tobytes())
        once = ("--loadInputs=input:input.bin", "--warmUp=0", "--duration=0", "--iterations=1")
        outputs.extend(run_engine(engine, work, "--exportOutput", *once)[0]["values"])
    data = base64.b64encode(outputs.tobytes()).decode("ascii")
    return {"dtype": "<f4", "shape": [count, len(outputs) // count], "data": data}


TENSORRT = Runtime((NAME,), find, missing, engine_answers, times_operators=True)
