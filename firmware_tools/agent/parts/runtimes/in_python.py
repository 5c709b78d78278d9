# SPDX-License-Identifier: Apache-2.0
"""Runtimes that are packages of Python: models are loaded, timed and run in the worker's process."""

from __future__ import annotations

import base64
import importlib
import importlib.util
import sys
from contextlib import contextmanager
from typing import Any, Callable, Iterator, NamedTuple

from ..cores import clock_mhz
from ..disturbance import Disturbance
from ..memory import peak_rss, reset_peak_rss
from ..refusal import Refusal
from ..timing import timed_beside, timed_slices

DECIDES = {"min": 0.0, "p10": 0.0, "p50": 0.5, "p95": 1.0, "max": 1.0}  # whose pace is a statistic's: 0 the quietest


class Package(NamedTuple):
    """A package with the runtime `name`; `newest_numpy` is the last major version of numpy that it works with."""

    name: str
    module: str
    newest_numpy: int | None = None


class Input(NamedTuple):
    """What a model takes: `dtype` is numpy's, or what numpy makes one of."""

    shape: list[int]
    dtype: Any


class Loaded(NamedTuple):
    """A model that is ready: `set_input(number, array)`, then `invoke()`, then `output()`, the first output's array."""

    inputs: list[Input]
    set_input: Callable[[int, Any], None]
    invoke: Callable[[], None]
    output: Callable[[], Any]


Load = Callable[[str, int], Loaded]  # of the file at a path, for so many threads


def find(packages: tuple[Package, ...]) -> tuple[list[list[str]], list[str]]:
    """The usable ones of `packages` as [name, version], and why others were passed over."""
    found: list[list[str]] = []
    notes: list[str] = []
    numpy = version_of("numpy") if importlib.util.find_spec("numpy") else "missing"
    for package in packages:
        if importlib.util.find_spec(package.module) is None:
            continue
        newest = package.newest_numpy
        limit = "" if newest is None else f"below {newest + 1}"
        if numpy == "missing" or (newest is not None and int(numpy.split(".")[0]) > newest):
            notes.append(f"{package.module} passed over: it needs numpy {limit}, which is {numpy}")
        else:
            found.append([package.name, version_of(package.module)])
    return found, notes


def version_of(package: str) -> str:
    """The installed version of `package`, in most cases without importing it."""
    try:
        from importlib import metadata

        return metadata.version(package.replace("_", "-"))
    except ImportError:  # Python 3.7, or a distribution of another name (PackageNotFoundError is an ImportError)
        return str(getattr(importlib.import_module(package), "__version__", "unknown"))


def missing(wanted: str | None, what: str, packages: str, notes: list[str]) -> Refusal:
    """The refusal of `wanted`, called `what`, which pip installs by `packages`."""
    command = f"{sys.executable} -m pip install {packages}"
    message = f"{sys.executable} has no usable {what}{''.join(f' ({note})' for note in notes)}: run {command}"
    return Refusal("runtime", message, runtime=wanted, command=command)


@contextmanager
def loading(runtime: str) -> Iterator[None]:
    """A context in which `runtime` is imported; refuses if that fails."""
    try:
        yield
    except ImportError as error:
        message = f"runtime {runtime} is installed in {sys.executable} but does not load ({error}): reinstall it"
        raise Refusal("runtime", message, runtime=runtime) from error


def answers(job: dict[str, Any], load: Load) -> Iterator[dict[str, Any]]:
    """What a runtime that loads models by `load` answers to a job."""
    return time_models(job, load) if job["do"] == "time" else iter([infer(job, load)])


def fill_inputs(model: Loaded) -> None:
    """The same pseudo-random inputs on every device: all-zero data would take short cuts on some processors."""
    import numpy as np

    source = np.random.RandomState(0)
    for number, one in enumerate(model.inputs):
        dtype = np.dtype(one.dtype)
        if dtype.kind in "iu":
            limits = np.iinfo(dtype)
            data = source.randint(limits.min, int(limits.max) + 1, size=one.shape, dtype=dtype)
        else:
            data = source.random_sample(tuple(one.shape)).astype(dtype)
        model.set_input(number, data)


def time_models(job: dict[str, Any], load: Load) -> Iterator[dict[str, Any]]:
    """Time each model in the job's order: nanoseconds of each statistic, the invocations, the growth of memory."""
    import numpy as np

    threads, pace, statistic = job["threads"], job["pace"], job["statistic"]
    cores = job["cores"] if threads == 1 else None  # more threads are to have them all

    def ready(path: str) -> Loaded:
        loaded = load(path, threads)
        fill_inputs(loaded)
        loaded.invoke()
        loaded.invoke()
        return loaded

    # What the runtime needs once would count as the first model's memory.
    loaded: Loaded | None = ready(job["models"][job["order"][0]])
    beside = None if job["reference"] is None else ready(job["reference"]).invoke
    for model in job["order"]:
        loaded = None
        base = reset_peak_rss()
        loaded = ready(job["models"][model])
        peak = peak_rss()
        disturbance = Disturbance()
        told: dict[str, Any] = {}
        if beside is None:
            slices, pace = timed_slices(loaded.invoke, job["warmup_s"], job["timed_s"], cores, pace)
            told["pace"] = slices[int(DECIDES[statistic] * (len(slices) - 1))][0]
            taken = np.asarray([call for _, calls in slices for call in calls], float)
        else:
            calls, relative = timed_beside(beside, loaded.invoke, job["warmup_s"], job["timed_s"])
            told.update(pace=None, relative=relative)
            taken = np.asarray(calls, float)
        met = dict(disturbance.shares(threads), clock_mhz=clock_mhz(job["cores"]), **told)
        low, p10, p50, p95, high = (float(value) for value in np.percentile(taken, (0, 10, 50, 95, 100)))
        run = {"model": model, "n": len(taken), "ram_bytes": None if base is None or peak is None else peak - base}
        yield dict(run, **met, min=low, p10=p10, p50=p50, p95=p95, max=high)


def infer(job: dict[str, Any], load: Load, arranged: Callable[[Any], Any] = lambda inputs: inputs) -> dict[str, Any]:
    """The outputs for each of the job's inputs, as base64 of the raw array; the model takes them `arranged`."""
    import numpy as np

    loaded = load(job["model"], 1)
    if len(loaded.inputs) != 1:
        raise Refusal("inference", "the model has not one input but several", reason="refused")
    (wanted, dtype), inputs = loaded.inputs[0], np.fromfile(job["inputs"], dtype=job["dtype"]).reshape(job["shape"])
    inputs = arranged(inputs)
    if inputs.dtype != dtype or list(inputs.shape[1:]) != wanted[1:] or wanted[0] != 1:
        takes = f"{np.dtype(dtype)} {wanted}"
        message = f"inputs are {inputs.dtype} {list(inputs.shape)}, the model takes {takes}, one at a time"
        raise Refusal("inference", message, reason="inputs")
    outputs = []
    for one in inputs:
        loaded.set_input(0, one[np.newaxis])
        loaded.invoke()
        outputs.append(loaded.output()[0])
    stacked = np.ascontiguousarray(np.stack(outputs))
    data = base64.b64encode(stacked.tobytes()).decode("ascii")
    return {"dtype": stacked.dtype.str, "shape": list(stacked.shape), "data": data}
