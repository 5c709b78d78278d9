# SPDX-License-Identifier: Apache-2.0
"""`make setup`: which Python and which torch it takes, and one clear line where something is missing."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
CHOOSE, START, TORCH = (ROOT / ".ci" / name for name in ("choose-python", "start-venv", "install-torch"))

pytestmark = pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")


def _python(path: Path, version: tuple[int, int], missing: str = "") -> Path:
    """A program that is this Python under another version, without the module `missing`; its venvs hold it itself."""
    change = f"import sys; sys.version_info = ({version[0]}, {version[1]}, 0); sys.modules['{missing}'] = None"
    change += f"; sys._base_executable = '{path}'"
    path.parent.mkdir(exist_ok=True)
    path.write_text(
        '#!/bin/sh\nif [ "$1 $2" = "-m venv" ]; then mkdir -p "$3/bin"; exec cp "$0" "$3/bin/python"; fi\n'
        f'exec {sys.executable} -c "{change}; exec(sys.argv[1])" "$2"\n'
    )
    path.chmod(0o755)
    return path


def _shim(path: Path) -> Path:
    """What pyenv puts before the programs in PATH: it does not run if no such version is chosen."""
    path.parent.mkdir(exist_ok=True)
    path.write_text(f'#!/bin/sh\necho "pyenv: {path.name}: command not found" >&2\nexit 127\n')
    path.chmod(0o755)
    return path


def _choose(*folders: Path) -> subprocess.CompletedProcess[str]:
    variables = {"PATH": ":".join(map(str, folders))}
    return subprocess.run([CHOOSE], env=variables, capture_output=True, text=True, check=False)


def _chosen(*folders: Path) -> str:
    done = _choose(*folders)
    assert done.stderr == ""
    return done.stdout.strip()


def _refused(*folders: Path) -> str:
    done = _choose(*folders)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1)
    assert len(done.stderr) < 200
    return done.stderr


def test_newest_supported_python_is_taken(tmp_path: Path) -> None:
    for minor in (9, 10, 12, 13, 15):
        _python(tmp_path / f"python3.{minor}", (3, minor))
    _python(tmp_path / "python3", (3, 15))
    assert _chosen(tmp_path) == f"{tmp_path}/python3.13"


def test_python3_alone_is_taken(tmp_path: Path) -> None:
    _python(tmp_path / "python3", (3, 13))
    assert _chosen(tmp_path) == f"{tmp_path}/python3"


def test_shims_that_do_not_run_are_passed_over(tmp_path: Path) -> None:
    shims, programs = tmp_path / "shims", tmp_path / "programs"
    for name in ("python3.14", "python3.12", "python3.11", "python3"):
        _shim(shims / name)
    _python(programs / "python3.12", (3, 12))
    assert _chosen(shims, programs) == f"{programs}/python3.12"


def test_python_without_venv_is_passed_over_for_an_older_one(tmp_path: Path) -> None:
    _python(tmp_path / "python3.13", (3, 13), missing="ensurepip")
    _python(tmp_path / "python3.10", (3, 10))
    assert _chosen(tmp_path) == f"{tmp_path}/python3.10"


def test_no_python_at_all(tmp_path: Path) -> None:
    _shim(tmp_path / "python3")
    assert "no working python3. Debian: apt-get install python3 python3-venv make" in _refused(tmp_path)


def test_old_python_only(tmp_path: Path) -> None:
    _python(tmp_path / "python3.9", (3, 9))
    _python(tmp_path / "python3", (3, 9))
    assert "python3' is Python 3.9, older than Python 3.10" in _refused(tmp_path)


def test_python_2(tmp_path: Path) -> None:
    _python(tmp_path / "python3", (2, 7))
    assert "is Python 2.7, older than Python 3.10" in _refused(tmp_path)


def test_new_python_only(tmp_path: Path) -> None:
    _python(tmp_path / "python3.15", (3, 15))
    _python(tmp_path / "python3", (3, 15))
    assert "is Python 3.15; torch and the runtime exist up to Python 3.14" in _refused(tmp_path)


def test_no_venv(tmp_path: Path) -> None:
    _python(tmp_path / "python3", (3, 13), missing="ensurepip")
    assert "(Python 3.13) has no venv or no pip. Debian: apt-get install python3-venv" in _refused(tmp_path)


def _make_setup(tmp_path: Path, python: str | Path) -> str:
    """What a failing `make setup PYTHON=...` says on stderr, make's own lines left out."""
    checkout = tmp_path / "checkout"
    checkout.mkdir()
    for name in ("Makefile", "pyproject.toml"):
        shutil.copy(ROOT / name, checkout)
    shutil.copytree(ROOT / ".ci", checkout / ".ci")
    # A make that runs the tests hands its flags down.
    variables = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
    command = ["make", "--no-print-directory", "setup", f"PYTHON={python}"]
    done = subprocess.run(command, cwd=checkout, env=variables, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert not (checkout / ".venv").exists()
    return "\n".join(line for line in done.stderr.splitlines() if not line.startswith("make"))


@pytest.mark.parametrize(
    ("version", "missing", "said"),
    [((3, 9), "", "older than Python 3.10"), ((3, 15), "", "up to Python 3.14"), ((3, 13), "venv", "python3-venv")],
)
def test_named_python_that_cannot_be_taken(tmp_path: Path, version: tuple[int, int], missing: str, said: str) -> None:
    line = _make_setup(tmp_path, _python(tmp_path / "named", version, missing))
    assert line.count("\n") == 0
    assert said in line


def test_named_python_that_is_not_there(tmp_path: Path) -> None:
    line = _make_setup(tmp_path, "python3.99")
    assert line.count("\n") == 0
    assert "no working 'python3.99'" in line


def test_environment_is_kept_if_whole_and_of_the_same_python(tmp_path: Path) -> None:
    python, newer = (_python(tmp_path / f"python3.{minor}", (3, minor)) for minor in (12, 13))
    venv, package = tmp_path / "venv", tmp_path / "venv" / "package"

    def start(python: Path) -> bool:
        """Whether what is installed in a whole environment is still there afterwards."""
        package.touch()
        (venv / ".started").rename(venv / ".ready")
        subprocess.run([START, venv, python], check=True)
        return package.exists()

    subprocess.run([START, venv, python], check=True)
    assert start(python)
    assert not start(newer)
    (venv / "bin/python").unlink()
    assert not start(newer), "a Python that is gone"
    package.touch()
    subprocess.run([START, venv, newer], check=True)
    assert not package.exists(), "one that was interrupted"
    package.touch()
    subprocess.run([START, venv, venv / "bin/python"], check=True)
    assert not package.exists(), "interrupted, and activated: its own Python comes first in PATH"


Install = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def venv(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A real environment with the real pip."""
    path = tmp_path_factory.mktemp("torch") / "venv"
    subprocess.run([sys.executable, "-m", "venv", path], check=True)
    return path


def _packages(venv: Path) -> Path:
    return next((venv / "lib").glob("python3*")) / "site-packages"


@pytest.fixture
def install(venv: Path, tmp_path: Path) -> Install:
    """`install(**variables)`: runs install-torch with pip's only sources in `tmp_path`, without an older torch."""
    if Path("/dev/nvidia0").exists():
        pytest.skip("a GPU is here: the default torch is taken")
    for old in _packages(venv).glob("torch*"):
        shutil.rmtree(old)
    (tmp_path / "index" / "torch").mkdir(parents=True)
    (tmp_path / "index" / "torch" / "index.html").touch()

    def run(variables: Mapping[str, str] = {}) -> subprocess.CompletedProcess[str]:
        index = {"PIP_CONFIG_FILE": os.devnull, "PIP_INDEX_URL": (tmp_path / "index").as_uri()}
        index["CONSTRAINTS"] = ".ci/constraints.txt"  # as make setup says
        given = {**os.environ, **index, "PIP_FIND_LINKS": str(tmp_path), "TORCH_INDEX": "", **variables}
        return subprocess.run([TORCH, venv], cwd=ROOT, env=given, capture_output=True, text=True, check=False)

    return run


def _wheel(folder: Path, version: str, cuda: str | None = None, unpack: bool = False) -> None:
    """A torch of `version`, as a file or, without what it depends on, installed in `folder`."""
    wants = "Requires-Dist: setuptools-of-nowhere\n" if unpack else ""
    info = f"torch-{version}.dist-info"
    files = {
        "torch/__init__.py": "from torch import version\n",
        "torch/version.py": f"cuda = {cuda!r}\n",
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: torch\nVersion: {version}\n{wants}",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = "".join(f"{name},,\n" for name in [*files, f"{info}/RECORD"])
    folder.mkdir(parents=True, exist_ok=True)
    wheel = folder / f"torch-{version}-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as opened:
        for name, text in {**files, f"{info}/RECORD": record}.items():
            opened.writestr(name, text)
        if unpack:
            opened.extractall(folder)
    if unpack:
        wheel.unlink()


def _installed(venv: Path) -> str:
    """The version of the torch in the environment, "" if there is none."""
    return "".join(path.stem.removeprefix("torch-") for path in _packages(venv).glob("torch-*.dist-info"))


def _systems_torch() -> bool:
    base = getattr(sys, "_base_executable", sys.executable)
    code = "import importlib.util, sys; sys.exit(importlib.util.find_spec('torch') is None)"
    return subprocess.run([base, "-c", code], check=False).returncode == 0


def test_cpu_build_is_taken_where_pip_finds_one(install: Install, venv: Path, tmp_path: Path) -> None:
    _wheel(tmp_path, "2.13.0+cpu")
    _wheel(tmp_path, "2.13.0+cu130", cuda="13.0")  # what "torch==2.13.0" would take
    done = install()
    assert (done.returncode, done.stderr) == (0, "")
    assert _installed(venv) == "2.13.0+cpu"


def test_default_build_says_how_to_avoid_it(install: Install, venv: Path, tmp_path: Path) -> None:
    if _systems_torch():
        pytest.skip("the system's torch is taken here")
    _wheel(tmp_path, "2.13.0", cuda="13.0")
    done = install()
    assert done.returncode == 0
    assert _installed(venv) == "2.13.0"
    if sys.platform == "linux":
        first, second = done.stderr.splitlines()
        assert "GB" in first
        assert "TORCH_INDEX=URL" in second or "apt-get install" in second
    assert install().stderr == "", "it is there, nothing is loaded"


def test_index_that_the_user_names(install: Install, venv: Path, tmp_path: Path) -> None:
    _wheel(tmp_path / "named" / "torch", "2.13.0+cpu")
    done = install({"PIP_FIND_LINKS": "", "TORCH_INDEX": (tmp_path / "named").as_uri()})
    assert (done.returncode, _installed(venv)) == (1, ""), "a folder is no index"
    assert "no torch 2.13.0 from TORCH_INDEX=file:" in done.stderr.splitlines()[-1]
    (wheel,) = (tmp_path / "named" / "torch").iterdir()
    (wheel.parent / "index.html").write_text(f'<a href="{wheel.name.replace("+", "%2B")}">{wheel.name}</a>')
    assert install({"PIP_FIND_LINKS": "", "TORCH_INDEX": (tmp_path / "named").as_uri()}).returncode == 0
    assert _installed(venv) == "2.13.0+cpu"


def test_default_build_where_a_gpu_is(install: Install, venv: Path, tmp_path: Path) -> None:
    _wheel(tmp_path, "2.13.0+cpu")
    _wheel(tmp_path, "2.13.0+cu130", cuda="13.0")
    smi = tmp_path / "bin" / "nvidia-smi"
    smi.parent.mkdir()
    smi.write_text("#!/bin/sh\nexit 0\n")
    smi.chmod(0o755)
    done = install({"PATH": f"{smi.parent}:{os.environ['PATH']}"})
    assert (done.returncode, done.stderr) == (0, "")
    assert _installed(venv) == "2.13.0+cu130"


@pytest.mark.parametrize(
    ("version", "cuda", "taken"), [("2.6.0+debian", None, True), ("1.13.0", None, False), ("2.6.0", "12.4", False)]
)
def test_the_systems_torch_is_taken_if_it_fits(
    install: Install, venv: Path, tmp_path: Path, version: str, cuda: str | None, taken: bool
) -> None:
    _wheel(tmp_path / "system", version, cuda, unpack=True)
    _wheel(tmp_path, "2.13.0", cuda="13.0")
    done = install({"PYTHONPATH": str(tmp_path / "system")})
    assert done.returncode == 0
    assert (f"setup: torch {version} of " in done.stderr) == taken
    assert ("GB" in done.stderr) != taken or sys.platform != "linux"
    assert _installed(venv) == ("" if taken else "2.13.0")
    assert (f"include-system-site-packages = {str(taken).lower()}" in (venv / "pyvenv.cfg").read_text()) or not taken
