# SPDX-License-Identifier: Apache-2.0
"""The agent's program: JSON lines on stdin and stdout, as PROTOCOL.md says.

A host starts it with `--root DIR`. It starts itself with `--worker`, a fresh process for every timing, and with
`--restore`, a process that outlives it.
"""

from __future__ import annotations

import argparse
import os
import signal
from typing import IO, Callable, NoReturn

from .files import set_umask


def program() -> Callable[[], NoReturn]:
    """What does the job of the command line. Only the parts that it needs are imported, as workers start often."""
    parser = argparse.ArgumentParser(description="edgenas agent: JSON lines on stdin and stdout")
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--root", help="the folder that holds the slots; made if it is not there")
    what.add_argument("--worker", action="store_true", help="run one timing job from stdin")
    what.add_argument("--restore", action="store_true", help="put files back when stdin ends")
    silence = "end when the host has been silent for so many seconds; 0: wait for the end of stdin"
    parser.add_argument("--silence-s", type=float, default=0.0, help=silence)
    options = parser.parse_args()
    if options.worker:
        from .worker import work

        return lambda: run(work)
    if options.restore:
        from .governor import restore

        return lambda: run(restore)
    from .serving import Agent

    def serve(answers: IO[bytes]) -> NoReturn:
        status = Agent(os.path.abspath(options.root), answers, options.silence_s).serve()
        os._exit(status)  # the thread that reads stdin may still block in it, and an orderly end would wait for it

    return lambda: run(serve)


def run(job: Callable[[IO[bytes]], NoReturn]) -> NoReturn:
    """Do `job`, which is given the stream for protocol lines; ends the process."""
    # An interrupt at the host's terminal is the host's to handle: it then closes our stdin.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # Runtimes print to stdout from C; only protocol lines may get there, so everything else goes to stderr.
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    set_umask()
    job(answers)
