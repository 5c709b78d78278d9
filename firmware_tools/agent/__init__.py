"""The one-file agent that runs on the device; `PROTOCOL.md` beside it is what it speaks."""

from __future__ import annotations

from pathlib import Path

# `python -c BOOT AGENT.PY ARGUMENT...` is `python AGENT.PY ARGUMENT...`, but imports nothing from the agent's own
# folder, which holds what hosts sent, nor from the working folder: "" in sys.path. agent.py has the same words.
BOOT = "import sys; sys.path[:] = filter(None, sys.path); del sys.argv[0]; __file__ = sys.argv[0]; "
BOOT += "exec(compile(open(__file__, 'rb').read(), __file__, 'exec'))"
AGENT_PATH = Path(__file__).resolve().parent / "agent.py"
