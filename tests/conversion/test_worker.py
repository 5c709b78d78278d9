# SPDX-License-Identifier: Apache-2.0
"""The worker process: it is a real one, killed, stopped and orphaned."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from helpers.conversion import conversion_nets as nets

from edgenas.conversion.export import to_onnx
from edgenas.conversion.process import OnnxWorker
from edgenas.errors import ConversionError

pytestmark = pytest.mark.skipif(os.name != "posix", reason="signals and sessions are those of POSIX")


@pytest.fixture(scope="module")
def onnx() -> bytes:
    return to_onnx(nets.plain(), (1, 28, 28))


@pytest.fixture
def worker(python: Path) -> Iterator[OnnxWorker]:
    with OnnxWorker(python) as worker:
        yield worker


def pid_of(worker: OnnxWorker) -> int:
    assert worker.pid is not None
    return worker.pid


def gone(pid: int, within_s: float = 60.0) -> bool:
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            return True
        if state == "Z":  # ended; whoever adopted it has not looked yet
            return True
        time.sleep(0.05)
    return False


def test_one_process_converts_many(worker: OnnxWorker, onnx: bytes) -> None:
    assert worker.pid is None
    first = worker.convert(onnx)
    pid = pid_of(worker)
    assert worker.convert(onnx) == first
    assert worker.pid == pid
    assert first[4:8] == b"TFL3"


def test_a_refused_model_does_not_end_the_worker(worker: OnnxWorker, onnx: bytes) -> None:
    worker.convert(onnx)
    pid = worker.pid
    with pytest.raises(ConversionError, match="refuses this model") as caught:
        worker.convert(b"this is no ONNX")
    assert caught.value.fields["check"] == "conversion"
    assert "\n" not in caught.value.message
    assert worker.convert(onnx)
    assert worker.pid == pid


def test_killed_in_mid_conversion_it_recovers(worker: OnnxWorker, onnx: bytes) -> None:
    expected = worker.convert(onnx)
    pid = pid_of(worker)
    os.kill(pid, signal.SIGSTOP)  # so that the conversion cannot be over before the kill
    results: list[bytes] = []
    thread = threading.Thread(target=lambda: results.append(worker.convert(onnx)))
    thread.start()
    time.sleep(0.2)
    os.kill(pid, signal.SIGKILL)
    thread.join(60)
    assert results == [expected]
    assert worker.pid != pid


def test_it_gives_up_after_dying_twice(onnx: bytes, tmp_path: Path) -> None:
    dying = tmp_path / "python"
    dying.write_text("#!/bin/sh\necho 'out of luck' >&2\nexit 3\n")
    dying.chmod(0o755)
    with OnnxWorker(dying) as worker, pytest.raises(ConversionError, match="died on this model twice: out of luck"):
        worker.convert(onnx)


def test_missing_interpreter(onnx: bytes, tmp_path: Path) -> None:
    with OnnxWorker(tmp_path / "nowhere") as worker, pytest.raises(ConversionError, match="does not start") as caught:
        worker.convert(onnx)
    assert caught.value.fields["check"] == "environment"


def test_time_out_then_the_next_model(worker: OnnxWorker, onnx: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = worker.convert(onnx)
    pid = pid_of(worker)
    os.kill(pid, signal.SIGSTOP)
    with monkeypatch.context() as patch:
        patch.setattr(worker, "_timeout_s", 0.5)
        with pytest.raises(ConversionError, match=r"more than 0\.5 s"):
            worker.convert(onnx)
    assert gone(pid)
    assert worker.convert(onnx) == expected


def test_close_ends_a_waiting_conversion_and_leaves_nothing(python: Path, onnx: bytes) -> None:
    worker = OnnxWorker(python)
    worker.convert(onnx)
    pid = pid_of(worker)
    scratch = Path(Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")[3].decode())
    assert scratch.is_dir()
    os.kill(pid, signal.SIGSTOP)
    errors: list[BaseException] = []

    def convert() -> None:
        try:
            worker.convert(onnx)
        except (ValueError, ConversionError) as error:
            errors.append(error)

    thread = threading.Thread(target=convert)
    thread.start()
    time.sleep(0.2)
    worker.close()
    thread.join(60)
    assert len(errors) == 1
    assert gone(pid)
    assert not scratch.exists()
    with pytest.raises(ValueError, match="closed"):
        worker.convert(onnx)


def test_ctrl_c_in_the_terminal_does_not_reach_it(worker: OnnxWorker, onnx: bytes) -> None:
    worker.convert(onnx)
    assert os.getsid(pid_of(worker)) != os.getsid(0)


def test_interrupted_host_takes_no_late_answer(
    worker: OnnxWorker, onnx: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = worker.convert(onnx)
    pid = pid_of(worker)

    def interrupt(_self: object, _timeout_s: float, _what: str) -> dict[str, object]:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("edgenas.conversion.process._Running._answer", interrupt)
        with pytest.raises(KeyboardInterrupt):
            worker.convert(to_onnx(nets.plain(1, 12), (1, 28, 28)))
    assert gone(pid)
    assert worker.convert(onnx) == expected


def test_it_dies_with_the_host(python: Path) -> None:
    code = (
        "import sys, time; from pathlib import Path; from edgenas.conversion.process import OnnxWorker\n"
        "worker = OnnxWorker(Path(sys.argv[1])); worker.start()\n"
        "print(worker.pid, worker._running.scratch, flush=True); time.sleep(60)\n"
    )
    host = subprocess.Popen([sys.executable, "-c", code, str(python)], stdout=subprocess.PIPE, text=True)
    with host:
        assert host.stdout is not None
        pid, scratch = host.stdout.readline().split()
        host.kill()
    assert gone(int(pid))
    assert not Path(scratch).exists()
