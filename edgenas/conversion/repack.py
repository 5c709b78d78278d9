# SPDX-License-Identifier: Apache-2.0
"""Rewrites a TFLite file so that every runtime reads the same model from it."""

from __future__ import annotations

from typing import Any

_ALIGNMENT = 16


def repack(tflite: bytes) -> bytes:
    """The same model with its weights inline and aligned, and without metadata.

    - Inline: the quantiser puts buffers behind the flatbuffer once they sum to 256 KB; microcontroller runtimes then
      read garbage without an error.
    - Aligned to 16 bytes, as the schema demands; the Python writers align to 4 at most.
    - Metadata dropped: the converter marks every model as fit for float16, and a runtime on an ARM board with
      half-precision arithmetic then computes a float32 model in float16, which no check on the host would show.

    Repacking twice gives the same bytes as once.
    """
    import numpy as np
    from ai_edge_litert import schema_py_generated as schema

    model = schema.ModelT.InitFromPackedBuf(tflite)
    for buffer in model.buffers:
        if buffer.offset > 1:
            buffer.data = np.frombuffer(tflite, np.uint8, buffer.size, buffer.offset)
        buffer.offset = buffer.size = 0
    for entry in model.metadata or []:
        model.buffers[entry.buffer].data = None
    model.metadata = None
    return pack(model, len(tflite))


def pack(model: Any, size: int) -> bytes:
    """The file of `model`, a schema's ModelT of about `size` bytes: constants inline, aligned as the schema demands."""
    import flatbuffers

    class AlignedBuilder(flatbuffers.Builder):  # type: ignore[misc]  # flatbuffers has no type hints
        def StartVector(self, size: int, count: int, alignment: int) -> Any:  # noqa: N802 - flatbuffers' name
            return super().StartVector(size, count, _ALIGNMENT if size == 1 else alignment)

    builder = AlignedBuilder(size + 4096)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())
