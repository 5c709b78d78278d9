# SPDX-License-Identifier: Apache-2.0
"""PyPI `bakenn`, an ahead-of-time compiler from int8 TFLite to C with CMSIS-NN's kernels, in the same runner.

Its generated C and the CMSIS-NN sources that it brings take the engine's place in the image; the counted call is its
`bknn_model_infer`. What its importer rejects is changed first, and said: see `prepare`.
"""

from __future__ import annotations

import shutil
import struct
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from firmware_tools.mcu import EMULATORS, MACHINES, Report
from firmware_tools.mcu.emulator import job, parse
from firmware_tools.mcu.images import FIRMWARE

MACHINE = "mps2-an386"
PORTS = FIRMWARE / "ports"
RUNNER_OBJECTS = ("cortex_m.c.o", "cmsdk_uart.c.o", "port.c.o", "count.c.o", "main.c.o")

# The engine's interface (engine.h) around bakenn's. Its arena lies first, then the input, then the output.
SHIM = """
#include "engine.h"
#include "bknn_model.h"
#define ALIGNED(bytes) (((bytes) + 15u) & ~15u)
#define INPUT ALIGNED(BKNN_MODEL_ARENA_SIZE)
#define OUTPUT (INPUT + ALIGNED(BKNN_MODEL_INPUT_BYTES))
en_status en_load(en_model *model, const void *plan, uint32_t plan_bytes, void *arena, uint32_t arena_bytes) {
    *model = (en_model){plan, arena, plan, 1};
    (void)plan_bytes;
    if (model->header->output != OUTPUT || model->header->input != INPUT) return EN_BAD_VALUE;
    return model->header->arena_bytes > arena_bytes ? EN_ARENA_TOO_SMALL : EN_OK;
}
int8_t *en_input(const en_model *model) { return (int8_t *)model->arena + INPUT; }
const int8_t *en_output(const en_model *model) { return (const int8_t *)model->arena + OUTPUT; }
void en_run(const en_model *model, en_hook hook, void *context) {
    if (hook) hook(context, 0, 1);
    bknn_model_infer(model->arena, (const int8_t *)model->arena + INPUT, (int8_t *)model->arena + OUTPUT);
    if (hook) hook(context, 1, 1);
}
"""
# Processor and optimisation as the engine's; hosted, so that a memcpy of 4 bytes is a load.
FLAGS = "-mthumb -mfloat-abi=soft -O2 -std=c11 -w -ffunction-sections -fdata-sections -DBAKENN_CMSIS_NN_BUILTIN_MEMORY"


@dataclass(frozen=True)
class Peer:
    """What bakenn's code does with one model; `kernels` names what it selected for each operator."""

    version: str
    report: Report
    code_bytes: int
    constant_bytes: int
    kernels: tuple[str, ...]


def prepare(model: bytes) -> tuple[bytes, list[str]]:
    """`model` as bakenn's importer accepts it, and what was changed for that; values are not."""
    import flatbuffers
    from ai_edge_litert import schema_py_generated as schema

    tree = schema.ModelT.InitFromPackedBuf(model, 0)
    graph = tree.subgraphs[0]
    codes = [max(code.builtinCode, code.deprecatedBuiltinCode) for code in tree.operatorCodes]
    changes = []
    if codes[graph.operators[-1].opcodeIndex] == schema.BuiltinOperator.SOFTMAX:
        graph.outputs = [graph.operators.pop().inputs[0]]
        changes.append("softmax cut off")
    if any(tensor.shapeSignature is not None and -1 in tensor.shapeSignature for tensor in graph.tensors):
        changes.append("-1 in shape signatures removed")
    for tensor in graph.tensors:
        tensor.shapeSignature = None
    for operator in graph.operators:
        if codes[operator.opcodeIndex] == schema.BuiltinOperator.RESHAPE and operator.builtinOptions is None:
            operator.builtinOptionsType = schema.BuiltinOptions.ReshapeOptions
            operator.builtinOptions = schema.ReshapeOptionsT()
            operator.builtinOptions.newShape = [int(size) for size in graph.tensors[operator.outputs[0]].shape]
            changes.append("reshape given its options")
    tree.signatureDefs = None
    builder = flatbuffers.Builder(len(model) + 4096)
    builder.Finish(tree.Pack(builder), b"TFL3")
    return bytes(builder.Output()), changes


def measure_peer(model: bytes, inputs: Sequence[bytes], folder: Path, emulator: str) -> Peer:
    """Compile a prepared model with bakenn and run it. Raises ImportError, or RuntimeError with bakenn's reason."""
    import bakenn

    options = bakenn.CBackendOptions(
        kernel_policy=bakenn.KernelPolicy.STATIC_PRIORITY, enable_cmsis_nn=True, target=bakenn.CORTEX_M4
    )
    try:
        artifacts = bakenn.compile_tflite(model, folder / "bakenn", name="model", backend_options=options).artifacts
    except bakenn.BakeNNError as error:
        raise RuntimeError(f"bakenn refuses it: {error}") from error
    image = _build(artifacts, folder)
    board = MACHINES[MACHINE]
    report = parse(EMULATORS[emulator](board, image, job(board, _header(artifacts.memory_report), inputs), 120))
    kernels = tuple(selection.kernel_id for selection in artifacts.backend_plan.selections)
    constants = text_bytes(image.parent / MACHINE / "bknn_model_weights.c.o")
    return Peer(version("bakenn"), report, engine_bytes(image.parent, MACHINE) - constants, constants, kernels)


def _build(artifacts: Any, folder: Path) -> Path:
    """An image of the runner with bakenn's files in one folder in place of the engine."""
    sources = folder / "sources"
    sources.mkdir()
    own = [artifacts.model_source, artifacts.weights_source, artifacts.kernels_source, *artifacts.support_sources]
    headers = [artifacts.header, artifacts.weights_header, artifacts.kernels_header]
    headers += [header for place in artifacts.support_include_dirs for header in Path(place).rglob("*.h")]
    for path in (*own, *headers, FIRMWARE / "engine" / "engine.h", FIRMWARE / "engine" / "plan.h"):
        shutil.copy(path, sources)
    (sources / "shim.c").write_text(SHIM, encoding="utf-8")
    (sources / "math.h").write_text("", encoding="utf-8")  # CMSIS-NN includes it and uses nothing of it
    image = folder / "build" / f"{MACHINE}-runner.bin"
    places = (sources, FIRMWARE, FIRMWARE / "core", PORTS, PORTS / "include", PORTS / "mps2")
    flags = f"FLAGS={FLAGS} {' '.join(f'-I{place}' for place in places)}"
    command = ["make", "--silent", "-C", str(PORTS / "mps2"), f"BUILD={image.parent}", f"engine={sources}", flags]
    command.append(str(image))
    built = subprocess.run(command, capture_output=True, text=True)
    if built.returncode != 0:
        raise RuntimeError(f"its C does not build: {built.stderr.strip().splitlines()[:1]}")
    return image


def _header(memory: Any) -> bytes:
    """A plan's header and nothing else: the sizes that the runner asks the engine for."""
    where_input = _aligned(memory.arena_bytes)
    where_output = where_input + _aligned(memory.input_bytes)
    total = where_output + _aligned(memory.output_bytes)
    return struct.pack("<IHHIIIIII", 0, 1, 1, 64, 0, total, 1, 64, 0) + struct.pack(
        "<IIiIIIiI", where_input, memory.input_bytes, 0, 0, where_output, memory.output_bytes, 0, 0
    )


def _aligned(size: int) -> int:
    return (size + 15) // 16 * 16


def text_bytes(path: Path) -> int:
    """Code and constants of an object or an ELF file."""
    shown = subprocess.run(["arm-none-eabi-size", str(path)], capture_output=True, text=True, check=True)
    return int(shown.stdout.splitlines()[1].split()[0])


def engine_bytes(build: Path, machine: str) -> int:
    """What an image has beside the runner's own files: the engine, and what of libgcc it calls."""
    own = sum(text_bytes(build / machine / name) for name in RUNNER_OBJECTS)
    return text_bytes(build / f"{machine}-runner.elf") - own
