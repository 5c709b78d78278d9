# SPDX-License-Identifier: Apache-2.0
"""Why a board's SSH server hangs up before the login: what it offers in the key exchange, and how far that came."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fnmatch import fnmatch

import asyncssh

from firmware_tools.errors import DeviceError, KeyExchangeError, UnreachableError
from firmware_tools.linux.known_hosts import HostKeys

# The first lists of a server's first packet (RFC 4253, 7.1): of what, the setting in ~/.ssh/config, asyncssh's name.
_LISTS = (
    ("key exchange", "KexAlgorithms", "kex_algs"),
    ("host key", "HostKeyAlgorithms", "server_host_key_algs"),
    ("encryption", "Ciphers", "encryption_algs"),
    ("encryption", "Ciphers", "encryption_algs"),  # from the server
    ("MAC", "MACs", "mac_algs"),
)
_NO_ALGORITHMS = ("ext-info-", "kex-strict-", "kexguess2@")  # flags that stand among them
_COOKIE_END = 17  # the packet's kind and 16 random bytes
_OFFERED_CHARACTERS = 40  # in a message
_REASON_CHARACTERS = 60


def failure(
    error: Exception,
    connection: asyncssh.SSHClientConnection | None,
    options: asyncssh.SSHClientConnectionOptions,
    keys: HostKeys,
    asked: Mapping[str, Sequence[str]],
) -> DeviceError | None:
    """What to tell of the `error` that a `connection` ended with before its login; None if no SSH server spoke.

    `asked` are the algorithms, or patterns of them, that it offered, by asyncssh's names of the lists.
    """
    # A reset may overtake what the server said before.
    spoke = isinstance(error, ConnectionError) or (connection and connection.get_extra_info("server_version"))
    if connection is None or not spoke:
        return None
    name = f"{options.username}@{options.host}"
    reason = error.reason if isinstance(error, asyncssh.Error) else getattr(error, "strerror", None) or str(error)
    said = reason[:_REASON_CHARACTERS]
    if connection.get_extra_info("send_cipher") is not None:  # the key exchange is over
        hint = "does it take this user from this computer? its log says why"
        return UnreachableError(f"{name}: the server hung up in the login ({said}): {hint}", reason=reason)
    # asyncssh keeps the packet to itself.
    offered = _lists(bytes(getattr(connection, "_server_kexinit", b"")))
    for (what, option, ours), theirs in zip(_LISTS, offered, strict=False):
        if theirs and not any(fnmatch(each, pattern) for each in theirs for pattern in asked[ours]):
            return _nothing_in_common(name, what, option, theirs)
    hint = "does SSH listen there? then its log says why"
    if keys.forget is not None:
        hint = f"if the board has new keys, forget the old: {keys.forget}"
    return UnreachableError(f"{name}: the server hung up in the key exchange ({said}): {hint}", reason=reason)


def _nothing_in_common(name: str, what: str, option: str, offered: Sequence[str]) -> KeyExchangeError:
    listed = ", ".join(offered)
    if len(listed) > _OFFERED_CHARACTERS:
        listed = f"{offered[0]}, ..."
    message = (
        f"{name}: no common {what}, the board offers only {listed}: renew its SSH server, "
        f"or write {option} +{offered[0]} into ~/.ssh/config"
    )
    return KeyExchangeError(message, what=what, offered=offered)


def _lists(packet: bytes) -> list[list[str]]:
    """The algorithms of the server's first packet, a list for each of `_LISTS`; fewer if the packet did not come."""
    rest, lists = packet[_COOKIE_END:], list[list[str]]()
    while len(lists) < len(_LISTS) and len(rest) >= 4:
        size = int.from_bytes(rest[:4], "big")
        names = rest[4 : 4 + size].decode("ascii", "replace").split(",")
        lists.append([name for name in names if name and not name.startswith(_NO_ALGORITHMS)])
        rest = rest[4 + size :]
    return lists
