# SPDX-License-Identifier: Apache-2.0
"""Stands in for NVIDIA's trtexec: takes its options, writes the files that it documents.

An engine is the ONNX file with a word before it. Every call is a line in the file $TRTEXEC_LOG.
"""

import json
import os
import re
import struct
import sys
import time
from pathlib import Path

WORD = b"engine of "
OPTIONS = dict(argument.lstrip("-").partition("=")[::2] for argument in sys.argv[1:])
VERSION = os.environ.get("TRTEXEC_VERSION", "8502")


def main() -> int:
    print(f"&&&& RUNNING TensorRT.trtexec [TensorRT v{VERSION}] # trtexec {' '.join(sys.argv[1:])}", flush=True)
    if "help" in OPTIONS:
        print("\n".join(f"  --option{number}" for number in range(500)))
        return 0
    with Path(os.environ["TRTEXEC_LOG"]).open("a", encoding="utf-8") as log:
        log.write(f"{os.getpid()} {' '.join(sys.argv[1:])}\n")
    if "onnx" in OPTIONS:
        with Path(OPTIONS["onnx"]).open("rb") as file:
            model = file.read()
        if b"slow" in model:
            time.sleep(600)
        if b"bad" in model:
            return fail("[06/21/2026-10:00:00] [E] ModelImporter.cpp:720: no importer registered for op: Bad")
        if reason := refusal(model):
            return fail("[E] " + reason)
        with Path(OPTIONS["saveEngine"]).open("wb") as file:
            file.write(WORD + model)
    else:
        with Path(OPTIONS["loadEngine"]).open("rb") as file:
            model = file.read()
        if not model.startswith(WORD):
            return fail("[E] Error Code 1: Serialization (Serialization assertion magicTagRead == kMAGIC_TAG failed.)")
    run(model.removeprefix(WORD))
    print("&&&& PASSED TensorRT.trtexec")
    return 0


def refusal(model: bytes) -> str | None:
    """What the real one has against options and model, by its version."""
    typed, quantised = "." in VERSION, b"DequantizeLinear" in model
    precisions = [option for option in OPTIONS if option in ("fp16", "int8", "best")]
    if typed and precisions:
        return f"Unknown option: --{precisions[0]}"
    if "int8" in OPTIONS and not quantised and "calib" not in OPTIONS:
        return "Calibrator is not being used and no scales are in the network: int8 would be nonsense"
    if quantised and os.environ.get("TRTEXEC_GPU") == "maxwell":
        return "Networks with QuantizeLayer/DequantizeLayer layers require hardware with Int8 support."
    if quantised and "int8" not in OPTIONS and not typed:
        return "Int8 precision has been set for a layer or layer output, but int8 is not configured in the builder"
    return nodes_refused(model) if quantised else None


def nodes_refused(model: bytes) -> str | None:
    """What TensorRT 8 asks of quantised models: symmetric, scales that are tensors of the file, operators of 8.2."""
    import onnx
    from onnx import numpy_helper

    network = onnx.load_from_string(model)
    tensors = {tensor.name: numpy_helper.to_array(tensor) for tensor in network.graph.initializer}
    if network.opset_import[0].version > 13:
        return f"opset {network.opset_import[0].version} is newer than what is supported"
    for node in network.graph.node:
        if node.op_type in ("QuantizeLinear", "DequantizeLinear"):
            if not all(name in tensors for name in node.input[1:]):
                return f"{node.name}: invalid weights type of Int8"
            if tensors[node.input[2]].any():
                return "TRT only supports symmetric quantization - zeroPt must be all zeros"
            if not (tensors[node.input[1]] > 0).all():
                return "scale coefficients must all be positive"
    return None


def run(model: bytes) -> None:
    match = re.search(rb"takes ([0-9.]+)", model)
    milliseconds = float(match.group(1)) if match else 0.1 + len(model) / 1e5
    if "exportTimes" in OPTIONS:
        with Path(OPTIONS["exportTimes"]).open("w", encoding="utf-8") as file:
            file.write("[\n" + ", ".join(trace(milliseconds)) + "]\n")
    if "exportProfile" in OPTIONS:
        layers = [{"name": "conv1 + relu1", "timeMs": 90.0, "averageMs": 0.6 * milliseconds, "percentage": 60.0}]
        layers.append({"name": "dense", "timeMs": 60.0, "averageMs": 0.4 * milliseconds, "percentage": 40.0})
        with Path(OPTIONS["exportProfile"]).open("w", encoding="utf-8") as file:
            json.dump([{"count": 150}, *layers], file)
    if "exportOutput" in OPTIONS:
        with Path(OPTIONS["loadInputs"].removeprefix("input:")).open("rb") as file:
            values = infer(model, file.read())
        output = [{"name": "output", "dimensions": f"1x{len(values)}", "values": [round(value, 6) for value in values]}]
        with Path(OPTIONS["exportOutput"]).open("w", encoding="utf-8") as file:
            json.dump(output, file)


def infer(model: bytes, data: bytes) -> list[float]:
    """What a real ONNX model computes; of anything else, the first four values of the input."""
    if b"pytorch" not in model:
        return list(struct.unpack("<4f", data[:16]))
    import numpy as np
    import onnx
    from onnx.reference import ReferenceEvaluator

    network = onnx.load_from_string(model)
    if b"DequantizeLinear" in model:
        network.opset_import[0].version = 19  # the evaluator has no older ones; they say the same
    shape = [size.dim_value for size in network.graph.input[0].type.tensor_type.shape.dim]
    (output,) = ReferenceEvaluator(network).run(None, {"input": np.frombuffer(data, np.float32).reshape(shape)})
    return [float(value) for value in output.reshape(-1).astype(np.float16)]  # as --fp16 might


def trace(milliseconds: float) -> list[str]:
    """One object for each inference, as trtexec formats them; those of the warm-up are slow."""
    found = []
    now, warm = 0.0, float(OPTIONS["warmUp"])
    for _ in range(2 + int(OPTIONS["iterations"])):
        taken = 100.0 if now < warm else milliseconds
        times = {"startComputeMs": now, "h2dMs": 0.1 * taken, "computeMs": 0.8 * taken, "d2hMs": 0.1 * taken}
        found.append("{ " + ", ".join(f'"{key}" : {value:.6g}' for key, value in times.items()))
        found[-1] += f', "latencyMs" : {taken:.6g} }}\n'
        now += max(taken, warm)
    return found


def fail(line: str) -> int:
    print(line)
    print("&&&& FAILED TensorRT.trtexec")
    return 1


sys.exit(main())
