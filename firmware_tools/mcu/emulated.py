# SPDX-License-Identifier: Apache-2.0
"""`qemu:` and `unicorn:` as devices: the firmware in an emulator, its flash in a file that stays."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from difflib import get_close_matches
from functools import cache
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

from firmware_tools import children
from firmware_tools.errors import DeviceUrlError, EmulatorError
from firmware_tools.host_folder import way_out
from firmware_tools.link.pipes import ProcessPipe
from firmware_tools.link.session import Link
from firmware_tools.mcu import images, qemu
from firmware_tools.mcu.board_folder import BoardFolder
from firmware_tools.mcu.device import McuDevice
from firmware_tools.mcu.emulator import MACHINES, Machine
from firmware_tools.mcu.manifests import Manifests
from firmware_tools.mcu.timings import Emulation

DEFAULT_MACHINE = "mps2-an386"
# The emulator, and beside it a process that hands it what this one writes. When this one ends, however it does, there
# is nothing more to hand on, and both are killed; so they are when the emulator ends by itself.
_TOGETHER = '{ cat; kill -9 0; } | { "$@"; kill -9 0; }'


def open_emulated(url: str, options: Mapping[str, str], home: Path, runtime: str | None) -> McuDevice:
    """Start the emulator that the URL's scheme names, and make sure that the board in it answers.

    `options`: `machine` is a key of MACHINES (mps2-an386), `root` the folder with its flash and the manifests
    (`home/devices/<machine>`). Raises DeviceUrlError for a machine that is unknown or not in Unicorn, EmulatorError if
    emulator or image are missing, DeviceBusyError if another process uses the folder, DeviceLostError if the board does
    not answer.
    """
    scheme, name = url.partition(":")[0], url.rstrip(":")
    machine = _machine(url, options.get("machine", DEFAULT_MACHINE))
    if scheme == "unicorn" and not machine.in_unicorn:
        message = f"{url}: unicorn has no {machine.core}, the processor of {machine.name}: say qemu:{machine.name}"
        raise DeviceUrlError(message, url=url, value=machine.name)
    emulation = Emulation(scheme, _EMULATORS[scheme].version(), machine)
    image = images.firmware(machine)
    root = Path(options.get("root", home / "devices" / machine.name)).expanduser().absolute()
    stack = ExitStack()
    try:
        folder = BoardFolder(name, root, machine.flash.bytes, way_out(root, home.absolute()))
        stack.callback(folder.close)
        pipe = ProcessPipe(board_command(scheme, machine, image, folder.flash), name, (folder.lock_fd,))
        stack.callback(pipe.close)
        return McuDevice(url, Link(pipe, name), Manifests(root / "plans"), stack.close, emulation)
    except BaseException:
        stack.close()
        raise


def board_command(emulator: str, machine: Machine, image: Path, flash: Path) -> list[str]:
    """What runs `image` with its UART at stdin and stdout, until stdin ends. Raises EmulatorError if it is missing."""
    return ["sh", "-c", _TOGETHER, "sh", *emulator_command(emulator, machine, image, flash)]


def emulator_command(emulator: str, machine: Machine, image: Path, flash: Path) -> list[str]:
    """The same, but QEMU goes on when stdin ends."""
    return _EMULATORS[emulator].command(machine, image, flash)


def _machine(url: str, name: str) -> Machine:
    if name in MACHINES:
        return MACHINES[name]
    near = get_close_matches(name, MACHINES, n=1, cutoff=0.5)
    hint = f", did you mean {near[0]}?" if near else "."
    message = f"{url}: unknown machine {name!r}{hint} Known: {', '.join(MACHINES)}"
    raise DeviceUrlError(message, url=url, value=name, known=tuple(MACHINES), near=tuple(near))


def _qemu(machine: Machine, image: Path, flash: Path) -> list[str]:
    """With the flash in the file. Resets restart the board."""
    if machine.flash_file == "semihosting":
        command = qemu.command(machine, image, "-M", machine.name)
        return ["sh", "-c", 'cd "$0" && exec "$@"', str(flash.parent), *command]
    backend = f"memory-backend-file,id=flash,size={machine.flash.bytes},share=on,mem-path={qemu.escaped(flash)}"
    return qemu.command(machine, image, "-M", f"{machine.name},memory-backend=flash", "-object", backend)


def _unicorn(machine: Machine, image: Path, flash: Path) -> list[str]:
    if find_spec("unicorn") is None:
        raise EmulatorError("the emulator unicorn is not installed: pip install unicorn", module="unicorn")
    return children.own_module("firmware_tools.mcu.unicorn_firmware", machine.name, str(image), str(flash))


@cache
def _qemu_version() -> str:
    said = children.run([qemu.program(), "--version"], text=True, errors="replace").stdout
    words = said.split("version ", 1)[-1].split()
    return words[0] if words else "of unknown version"


def _unicorn_version() -> str:
    try:
        return metadata.version("unicorn")
    except metadata.PackageNotFoundError:
        return "of unknown version"


class _Emulator(NamedTuple):
    command: Callable[[Machine, Path, Path], list[str]]
    version: Callable[[], str]


_EMULATORS = {"qemu": _Emulator(_qemu, _qemu_version), "unicorn": _Emulator(_unicorn, _unicorn_version)}
