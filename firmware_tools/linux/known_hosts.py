# SPDX-License-Identifier: Apache-2.0
"""The keys by which SSH hosts are known: what OpenSSH's known_hosts files say of one host, and what it then shows."""

from __future__ import annotations

import os
import shlex
from collections.abc import Sequence
from contextlib import suppress
from fnmatch import fnmatch
from pathlib import Path

import asyncssh

from firmware_tools.errors import HostKeyError

_DEFAULT_FILES = ("~/.ssh/known_hosts", "~/.ssh/known_hosts2", "/etc/ssh/ssh_known_hosts")
_DEFAULT_PORT = 22
# What OpenSSH's client asks for, in its order; the names of RSA's signatures are not that of the key.
_ALGORITHMS = (
    *("ssh-ed25519", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521"),
    *("rsa-sha2-512", "rsa-sha2-256"),
)
_OF_AUTHORITIES = tuple(f"{name}-cert-v01@openssh.com" for name in _ALGORITHMS)


class HostKeys:
    """The known keys of one host, looked up as OpenSSH does: by its name and port, else by its name alone.

    An instance is what asyncssh takes for `known_hosts`. A key that is not known is kept in `shown`. It passes only
    with `accept_new`, and only if no other key of the host is known: one that changed never passes. `way_to_know` is
    the command that makes a host known that is on the way to the board; its key never passes unknown.
    """

    def __init__(
        self, options: asyncssh.SSHClientConnectionOptions, accept_new: bool, way_to_know: str | None = None
    ) -> None:
        files = options.known_hosts
        # None is what asyncssh makes of `UserKnownHostsFile none`, and would take for "any key will do".
        named = [] if files is None else [str(file) for file in files] if isinstance(files, list) else []
        self._files = [Path(file).expanduser() for file in (named or ([] if files is None else _DEFAULT_FILES))]
        self._alias = options.host_key_alias
        self._accept_new, self._way_to_know = accept_new and way_to_know is None, way_to_know
        self._name = ""
        self._known: list[asyncssh.SSHKey] = []
        self.shown: asyncssh.SSHKey | None = None

    def __call__(self, host: str, _address: str, port: int | None) -> Sequence[Sequence[object]]:
        """Every known key of the host, as asyncssh wants it: trusted keys, those of authorities, revoked ones, ..."""
        known = _read(self._files)
        host = host.lower()
        with_port = f"[{host}]:{port}" if port not in (None, _DEFAULT_PORT) else host
        self._name = self._alias or with_port
        # By name only. Addresses move from board to board, and asyncssh would also look for them.
        found = known.match(self._name, "", None)
        self._known = list(found[0])
        if not any(found) and self._name != (self._alias or host):
            found = known.match(host, "", None)
        return found

    def algorithms(self, host: str, port: int | None, configured: str) -> list[str]:
        """What to ask a host's key for, the best first: as OpenSSH does, the types of the keys that are known.

        A server that is asked for a type that it has no key of may hang up, although it offers it (dropbear 2022.83).
        `configured` is the user's HostKeyAlgorithms, or empty; the result may hold its patterns.
        """
        how, named = configured[:1], configured.lstrip("+-^").split(",")
        if how and how not in "+-^":
            return named
        keys, authorities, *_ = self(host, "", port)
        types = {key.get_algorithm() for key in keys if isinstance(key, asyncssh.SSHKey)}
        ours = sorted(_ALGORITHMS, key=lambda name: _type(name) not in types)
        asked = [*(_OF_AUTHORITIES if authorities else ()), *ours]
        if how == "-":
            return [name for name in asked if not any(fnmatch(name, pattern) for pattern in named)]
        return {"": asked, "+": [*asked, *named], "^": [*named, *asked]}[how]

    @property
    def forget(self) -> str | None:
        """The command that forgets the host's known keys; None if there are none."""
        if not self._known:
            return None
        own = self._files[0] == _home() / ".ssh" / "known_hosts"
        file = () if own else ("-f", str(self._files[0]))
        return shlex.join(("ssh-keygen", *file, "-R", self._name))

    def passes(self, key: asyncssh.SSHKey) -> bool:
        """Whether to go on with a host that shows `key`, which is none of the known ones."""
        self.shown = key
        return self._accept_new and not self._known

    def remember(self) -> str | None:
        """Write the new key that passed into the first of the files, once the host has proved that it is its own.

        A line that says which key it is and where it was written; None if no key was new. Raises HostKeyError if that
        cannot be done.
        """
        if self.shown is None:
            return None
        kept = (
            f"{self._name}: its new host key, {self.shown.get_algorithm()} {self.shown.get_fingerprint()}, is kept in"
        )
        if not self._files:
            return f"{kept} no file, as ~/.ssh/config says"
        line = f"{self._name} {self.shown.export_public_key().decode().strip()}\n"
        path = self._files[0]
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            whole = not path.exists() or path.read_bytes()[-1:] in (b"", b"\n")
            with path.open("a", encoding="utf-8") as file:
                file.write(line if whole else "\n" + line)
        except OSError as error:
            message = f"{path}: the host key of {self._name} cannot be written ({error.strerror}): mend the file"
            raise HostKeyError(message, host=self._name, file=str(path)) from error
        return f"{kept} {path}"

    def refusal(self, reason: str, version: str) -> HostKeyError:
        """What to tell the user; `reason` is what asyncssh said, `version` what the server calls itself."""
        key = self.shown
        if key is None:
            message = f"{self._name}: {reason}: ask whoever looks after the board for its present key"
            return HostKeyError(message, host=self._name)
        shown, kind = key.get_fingerprint(), key.get_algorithm().removeprefix("ssh-").partition("-")[0]
        if not self._known and self._way_to_know is not None:
            return HostKeyError(
                f"{self._name}: unknown host key {shown} on the way to the board: run `{self._way_to_know}` once, "
                "which asks about it, then this again",
                host=self._name,
                fingerprint=shown,
            )
        if not self._known:
            show = f"ssh-keygen -lf /etc/ssh/ssh_host_{kind}_key.pub"
            if "dropbear" in version:
                show = f"dropbearkey -y -f /etc/dropbear/dropbear_{kind}_host_key"
            return HostKeyError(
                f"{self._name}: unknown host key {shown}: if `{show}` there says the same, add --accept-new-host-key",
                host=self._name,
                fingerprint=shown,
            )
        known = ", ".join(each.get_fingerprint() for each in self._known)
        return HostKeyError(
            f"{self._name}: THE HOST KEY HAS CHANGED to {shown}: somebody may listen. If you know why, "
            f"forget the old one: {self.forget}",
            host=self._name,
            fingerprint=shown,
            known=known,
        )


def _home() -> Path:
    """Where ssh-keygen looks for the user's files, whatever $HOME says."""
    try:
        import pwd  # not on Windows
    except ModuleNotFoundError:
        return Path.home()
    try:
        return Path(pwd.getpwuid(os.getuid()).pw_dir)
    except KeyError:  # a user whom no one knows, as in containers
        return Path.home()


def _type(algorithm: str) -> str:
    return "ssh-rsa" if algorithm.startswith("rsa-") else algorithm


def _read(files: Sequence[Path]) -> asyncssh.SSHKnownHosts:
    """All lines of `files` that can be understood; OpenSSH, too, passes over the others, and over absent files."""
    known = asyncssh.SSHKnownHosts()
    for path in files:
        with suppress(OSError):
            for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
                with suppress(ValueError):
                    known.load(line)
    return known
