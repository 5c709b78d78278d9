# SPDX-License-Identifier: Apache-2.0
"""The conversion worker: runs inside the converter's environment, ONNX files in, float32 TFLite files out.

Started by `process.OnnxWorker` as `python -I worker.py SCRATCH`. One JSON object a line:

    in   {"id": 1, "onnx": "SCRATCH/1.onnx", "tflite": "SCRATCH/1.tflite"}
    out  {"ready": true}                                   once, when the imports are done
    out  {"id": 1}   or   {"id": 1, "error": "one line"}

It imports nothing of edgenas. The end of its input means that the host has gone: it removes SCRATCH and ends at once,
even in the middle of a conversion.
"""

from __future__ import annotations

import gc
import json
import os
import queue
import shutil
import sys
import threading
from pathlib import Path


def main(scratch: str) -> None:
    """Serve requests until the input ends; never returns."""
    replies = os.fdopen(os.dup(1), "w", encoding="utf-8", buffering=1)
    os.dup2(2, 1)  # whatever the libraries print goes to the log, not between the replies
    requests: queue.Queue[str] = queue.Queue()
    threading.Thread(target=_listen, args=(requests, scratch), daemon=True).start()

    import onnx
    import onnx2tf
    import onnx2tf.onnx2tf

    # onnx2tf collects garbage several times per model; what the imports left never becomes garbage.
    gc.collect()
    gc.freeze()
    # One output folder for all models: the schema that onnx2tf puts beside its output is parsed once per folder.
    output = Path(scratch, "output")
    print(json.dumps({"ready": True}), file=replies)
    while True:
        request = json.loads(requests.get())
        answer = {"id": request["id"]}
        try:
            graph = onnx.load(request["onnx"])
            onnx2tf.convert(onnx_graph=graph, output_folder_path=str(output), not_use_onnxsim=True, verbosity="error")
            Path(output, "model_float32.tflite").replace(request["tflite"])
        except (Exception, SystemExit) as error:  # noqa: BLE001 - whatever this model does, the next one is served
            cause = error.__cause__ or error
            answer["error"] = " ".join(f"{type(cause).__name__}: {cause}".split())[:500]
        print(json.dumps(answer), file=replies)


def _listen(requests: queue.Queue[str], scratch: str) -> None:
    for line in sys.stdin:
        requests.put(line)
    shutil.rmtree(scratch, ignore_errors=True)
    os._exit(0)


if __name__ == "__main__":
    main(sys.argv[1])
