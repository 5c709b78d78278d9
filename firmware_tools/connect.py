# SPDX-License-Identifier: Apache-2.0
"""From a URL to a Device: one back end for each scheme, in a plain dict."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from urllib.parse import unquote

from firmware_tools.device import Device
from firmware_tools.errors import DeviceUrlError
from firmware_tools.linux.local import open_local
from firmware_tools.meant import meant
from firmware_tools.passwords import holds_password

RUNTIMES = ("litert", "tflite", "tensorflow", "tensorrt", "onnxruntime")
# What a board's file, which a stranger may have written, may say in a URL: see `refused_in_data`.
_WORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]*")
_DIGITS = re.compile(r"[0-9]{1,8}")
_PORT = re.compile(r"(?://)?(?:/dev/(?:tty|cu\.)[\w.-]+|/dev/serial/by-(?:id|path)/[\w.:+-]+|COM[0-9]{1,3})?")
_ADDRESS = re.compile(r"//(?:\w[\w.-]*@)?(?:\w[\w.-]*|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?")


@dataclass(frozen=True)
class Access:
    """How to get into a board that asks who comes.

    `ask(prompt)` returns a password or a passphrase, or None if nobody can be asked; it is called in the thread that
    connects. With `accept_new_host_key` the key of a board that was never met before is believed and kept; a host on
    the way to it must be known. `tell` is called with a line that says which key was kept where.
    """

    ask: Callable[[str], str | None] | None = None
    accept_new_host_key: bool = False
    tell: Callable[[str], None] = lambda _: None


@dataclass(frozen=True)
class _Backend:
    # url, options, home, runtime, access
    open: Callable[[str, Mapping[str, str], Path, str | None, Access], Device]
    options: tuple[str, ...]
    example: str
    harmless: Mapping[str, re.Pattern[str]]  # the options that are data, and what they may be
    path: str | None = None  # the option that stands before the question mark


def _open_local(url: str, options: Mapping[str, str], home: Path, runtime: str | None, _: Access) -> Device:
    return open_local(url, options, home, runtime)


def _open_serial(url: str, options: Mapping[str, str], home: Path, runtime: str | None, _: Access) -> Device:
    from firmware_tools.mcu.serial_board import open_serial

    return open_serial(url, options, home, runtime)


def _open_emulated(url: str, options: Mapping[str, str], home: Path, runtime: str | None, _: Access) -> Device:
    from firmware_tools.mcu.emulated import open_emulated

    return open_emulated(url, options, home, runtime)


def _open_ssh(url: str, options: Mapping[str, str], _: Path, runtime: str | None, access: Access) -> Device:
    from firmware_tools.linux.ssh import open_ssh

    return open_ssh(url, options, runtime, access.ask, access.accept_new_host_key, access.tell)


_BACKENDS: dict[str, _Backend] = {
    "local": _Backend(
        *(_open_local, ("python", "root", "runtime"), "local:?python=PATH&root=DIR&runtime=litert"),
        harmless={"runtime": _WORD},
    ),
    "qemu": _Backend(
        *(_open_emulated, ("machine", "root"), "qemu:mps2-an386?root=DIR"),
        harmless={"machine": _WORD},
        path="machine",
    ),
    "serial": _Backend(
        *(_open_serial, ("port", "baud"), "serial:///dev/ttyACM0?baud=115200"),
        harmless={"port": _PORT, "baud": _DIGITS},
        path="port",
    ),
    "ssh": _Backend(
        *(_open_ssh, ("address", "python", "root", "runtime"), "ssh://user@host:22?root=DIR&runtime=litert"),
        harmless={"address": _ADDRESS, "runtime": _WORD},
        path="address",
    ),
    "unicorn": _Backend(
        *(_open_emulated, ("machine", "root"), "unicorn:mps2-an386?root=DIR"),
        harmless={"machine": _WORD},
        path="machine",
    ),
}

SCHEMES = tuple(_BACKENDS)


def connect(url: str, *, home: Path, runtime: str | None = None, access: Access | None = None) -> Device:
    """Connect to the device at `url`, for example "local:" or "ssh://pi@raspberrypi.local?root=DIR&runtime=tflite".

    `home` is the folder under which a device without a root of its own keeps its slots. `runtime`, one of
    RUNTIMES, holds if the URL names none; without either the device's first is used. A microcontroller has its engine
    and no choice. Values may be percent-encoded. Only ssh: asks for `access`.
    Raises DeviceUrlError if the URL is not understood, else as the back end: DeviceBusyError, RuntimeMissingError,
    UnreachableError, HostKeyError, LoginError, DeviceLostError, DeviceFullError, DeviceError.
    """
    scheme, options = parse(url)
    runtime = options.pop("runtime", runtime)
    backend = _BACKENDS[scheme]
    if runtime is not None and runtime not in RUNTIMES:
        raise _unknown("runtime", runtime, RUNTIMES, url, backend.example)
    return backend.open(url, options, home, runtime, access or Access())


def lives_in_home(url: str) -> bool:
    """Whether the device at `url` keeps its slots in `connect`'s `home`. Raises DeviceUrlError."""
    scheme, options = parse(url)
    return "root" in _BACKENDS[scheme].options and scheme != "ssh" and "root" not in options


def refused_in_data(url: str) -> str | None:
    """What in `url` is not for a file that a stranger may have written to say, as in "python=./x"; None if nothing is.

    Such a file may not name a program, a folder, a file that is no serial port, or a host's name with characters that
    mean something to a ProxyCommand. What is no URL is not refused here: whoever connects says what is wrong with it.
    """
    try:
        scheme, options = parse(url)
    except DeviceUrlError:
        return None
    harmless = _BACKENDS[scheme].harmless
    for name, value in options.items():
        if name not in harmless or harmless[name].fullmatch(value) is None:
            return f"{name}={value}"
    return None


def parse(url: str) -> tuple[str, dict[str, str]]:
    """The scheme of a device's URL and its options, decoded. Raises DeviceUrlError."""
    scheme, colon, rest = url.partition(":")
    backend = _BACKENDS.get(scheme)
    if holds_password(url):  # before anything repeats the URL
        name = "ssh" if backend is None else scheme
        raise DeviceUrlError(f"{name}: a password in a URL can be read by others: leave it out, it is asked for")
    if backend is not None and not colon:
        raise DeviceUrlError(
            f"{url.rstrip(':')}: no device URL, write {scheme}: or {backend.example}", url=url, value=url
        )
    if (backend is None or (scheme == "ssh" and not rest.startswith("//"))) and (near := meant(url)) is not None:
        raise DeviceUrlError(f"{url}: no URL of a device, did you mean {near}?", url=url, value=url, near=(near,))
    if backend is None:
        raise _unknown("device scheme", scheme, _BACKENDS, url, "ssh://pi@raspberrypi.local")
    path, _, query = rest.partition("?")
    if path and backend.path is None:
        raise DeviceUrlError(
            f"{url.rstrip(':')}: {scheme}: takes no {path!r}, write {backend.example}", url=url, value=path
        )
    options: dict[str, str] = {backend.path: unquote(path)} if backend.path and path else {}
    for part in filter(None, query.split("&")):
        name, equals, value = part.partition("=")
        if name not in backend.options:
            raise _unknown("option", name, backend.options, url, backend.example)
        if not equals or not value:
            raise DeviceUrlError(
                f"{url.rstrip(':')}: option {name} has no value, write {backend.example}", url=url, value=name
            )
        options[name] = unquote(value)
    return scheme, options


def _unknown(what: str, value: str, known: Iterable[str], url: str, example: str) -> DeviceUrlError:
    names = sorted(known)
    near = get_close_matches(value, names, n=2, cutoff=0.5)
    hint = f", did you mean {' or '.join(near)}?" if near else "."
    message = f"{url.rstrip(':')}: unknown {what} {value!r}{hint} Known: {', '.join(names)}; for example {example}"
    return DeviceUrlError(message, url=url, value=value, known=tuple(names), near=tuple(near))
