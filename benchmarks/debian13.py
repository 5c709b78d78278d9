# SPDX-License-Identifier: Apache-2.0
"""README's commands in a Debian 13 made from nothing, as root: what they take, what they load, what the tests say.

    python benchmarks/debian13.py [COMMAND ..] [--without-torch]    needs root, mmdebstrap, git and a network

The root folder holds Debian 13's smallest system and README's packages. The committed HEAD is cloned into it, and each
COMMAND (`make demo` and `make test` if none is named) runs there with no variable of this computer but those that lead
to the package index. "loaded" is what pip's log says; apt-get prints what it loads.
`--without-torch` leaves Debian's torch out and shows what the default index's brings.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

from report import ROOT, commit, machine

_SUITE = "trixie"  # from the mirror that mmdebstrap knows
_PACKAGES = "apt-get install git make python3 python3-venv"  # README's
_TORCH = "apt-get install --no-install-recommends python3-torch"
_NETWORK = ("PIP_INDEX_URL", "PIP_DEFAULT_TIMEOUT", "http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY")
_CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")
_HOME = "root"
_PIP_LOG = f"/{_HOME}/pip.log"
_ENTER = """
mount --bind "$0" "$0" && cd "$0" && mount -t proc proc proc && mount --rbind /sys sys && mount --rbind /dev dev || exit
exec chroot . sh -c "cd ~ && $1"
"""


def main() -> None:
    """Build the root folder, run the commands in it, print a line for each; exits with 1 if one failed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("commands", nargs="*", default=["make demo", "make test"], metavar="COMMAND")
    parser.add_argument("--without-torch", action="store_true")
    arguments = parser.parse_args()
    if os.geteuid() != 0 or not shutil.which("mmdebstrap"):
        raise SystemExit("debian13: needs root and mmdebstrap (apt-get install mmdebstrap): a root folder is built")
    print(f"debian13  commit {commit()}  {machine()['cpu']}, {machine()['cores']} cores, load {os.getloadavg()[0]:.1f}")
    with TemporaryDirectory() as folder:
        root = Path(folder) / "root"
        _build(root)
        _run(root, "apt-get update", "apt-get -qq update")
        for command in [_PACKAGES] if arguments.without_torch else [_PACKAGES, _TORCH]:
            _run(root, command, f"{command} --yes")
        subprocess.run(["git", "clone", "--quiet", str(ROOT), str(root / _HOME / "edgenas")], check=True)
        codes = [_run(root, command, f"cd edgenas && {command}") for command in arguments.commands]
    sys.exit(any(codes))


def _build(root: Path) -> None:
    options = ["--quiet", "--mode=root", "--variant=minbase", "--include=ca-certificates"]
    subprocess.run(["mmdebstrap", *options, _SUITE, str(root)], check=True)
    shutil.copy("/etc/resolv.conf", root / "etc/resolv.conf")
    if _CERTIFICATES.exists():  # this computer's: a proxy's own may be among them
        shutil.copy(_CERTIFICATES, root / str(_CERTIFICATES).lstrip("/"))


def _run(root: Path, name: str, command: str) -> int:
    """Run `command` in the home folder of `root`, print what it took as `name`, and return its exit code."""
    variables = {"HOME": f"/{_HOME}", "PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8", "TERM": "dumb"}
    variables |= {"DEBIAN_FRONTEND": "noninteractive", "PIP_LOG": _PIP_LOG}
    variables |= {key: os.environ[key] for key in _NETWORK if key in os.environ}
    enter = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "sh", "-c", _ENTER, str(root), command]
    before, started = _loaded_mb(root), time.monotonic()
    done = subprocess.run(
        enter, env=variables, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    seconds, loaded = time.monotonic() - started, _loaded_mb(root) - before
    print(f"{name}: exit code {done.returncode}, {seconds:.0f} s, pip loaded {loaded:.0f} MB; {_sizes(root)}")
    for line in _summary(done.stdout) + done.stdout.splitlines()[-40:] * bool(done.returncode):
        print(f"    {line}")
    sys.stdout.flush()
    return done.returncode


def _summary(output: str) -> list[str]:
    """Lines that say what was loaded, chosen, installed and tested."""
    wanted = (
        r"Need to get|setup: |budget  |measured  |accuracy  |committed  |time  |SKIPPED|=+ .*\d (passed|failed).*=+$"
    )
    return [line for line in output.splitlines() if re.match(wanted, line)]


def _loaded_mb(root: Path) -> float:
    """All files that pip took from an index so far."""
    log = root / _PIP_LOG.lstrip("/")
    found = re.findall(r"Downloading \S+ \(([\d.]+) (bytes|kB|MB|GB)\)", log.read_text() if log.exists() else "")
    return sum(float(number) * {"bytes": 1e-6, "kB": 1e-3, "MB": 1, "GB": 1e3}[unit] for number, unit in found)


def _sizes(root: Path) -> str:
    home = root / _HOME
    folders = {".venv": home / "edgenas/.venv", "~/.edgenas": home / ".edgenas", "/usr": root / "usr"}
    return ", ".join(f"{name} {_bytes(path) / 1e6:.0f} MB" for name, path in folders.items() if path.exists())


def _bytes(folder: Path) -> int:
    return sum(path.lstat().st_size for path in folder.rglob("*") if path.is_file() and not path.is_symlink())


if __name__ == "__main__":
    main()
