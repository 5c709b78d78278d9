# SPDX-License-Identifier: Apache-2.0
"""What is offered to an SSH server: nothing that rests on SHA-1 or unpacks what it sends, unless the user says so."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fnmatch import fnmatch

import asyncssh

_CIPHER = b"aes128-gcm@openssh.com"  # before the others: in Python half the time of the default one
# RSA and DSA sign by SHA-1 under the names that their keys have.
_BY_SHA1 = ("*sha1*", "ssh-rsa", "ssh-dss", "x509v3-ssh-rsa", "x509v3-ssh-dss")
# asyncssh does not read OpenSSH's PubkeyAcceptedAlgorithms. Who believes ssh-rsa of a host may sign by it as well.
_SETTINGS = {
    "kex_algs": ("KexAlgorithms",),
    "mac_algs": ("MACs",),
    "signature_algs": ("HostKeyAlgorithms", "CASignatureAlgorithms"),
}


def offered(options: asyncssh.SSHClientConnectionOptions) -> Mapping[str, Sequence[str]]:
    """asyncssh's lists of algorithms, the best first, by its names for them."""
    lists = {name: _names(getattr(options, name)) for name in _SETTINGS}
    for name, settings in _SETTINGS.items():
        named = [pattern for setting in settings for pattern in _named(str(options.config.get(setting, "")))]
        lists[name] = [each for each in lists[name] if not _matches(each, _BY_SHA1) or _matches(each, named)]
    ciphers = list(options.encryption_algs)
    if options.config.get("Ciphers") is None:
        ciphers.sort(key=lambda cipher: cipher != _CIPHER)
    lists["encryption_algs"] = _names(ciphers)
    if options.config.get("Compression") is None:  # 256 KiB of it can stand for 256 MiB
        lists["compression_algs"] = ["none"]
    return lists


def only_by_sha1(options: asyncssh.SSHClientConnectionOptions, connection: asyncssh.SSHClientConnection | None) -> bool:
    """Whether the user has RSA keys and the server of `connection` takes those by SHA-1 alone."""
    # asyncssh keeps the list to itself; an old server sends none.
    taken = [each.decode("ascii", "replace") for each in getattr(connection, "_server_sig_algs", ())]
    rsa = any(key.algorithm == b"ssh-rsa" for key in options.client_keys or ())
    return rsa and not any(each.startswith("rsa-sha2-") for each in taken)


def _named(configured: str) -> Sequence[str]:
    """The patterns of a setting that asks for algorithms; "-" takes some away."""
    return () if configured.startswith("-") else configured.lstrip("+^").split(",")


def _matches(name: str, patterns: Sequence[str]) -> bool:
    return any(fnmatch(name, pattern) for pattern in patterns)


def _names(algorithms: Sequence[bytes]) -> list[str]:
    return [each.decode("ascii") for each in algorithms]
