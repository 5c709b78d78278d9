# SPDX-License-Identifier: Apache-2.0
"""Whether others may change what is in a folder.

The host has a board run these functions before anything in the board's folder is: they use what is imported here and
one another, no more (firmware_tools/linux/folder_check.py).
"""

from __future__ import annotations

import functools
import os
import stat


def trusted_users() -> set[int]:
    """This user, root and, for root, who became root by sudo."""
    users = {0, os.geteuid()}
    behind = os.environ.get("SUDO_UID", "") if os.geteuid() == 0 else ""
    return users | {int(behind)} if behind.isdigit() else users


def is_private(gid: int) -> bool:
    """Whether nobody but trusted users is known to be in a group: many systems give each user a group of their own."""
    import grp
    import pwd

    names = set()
    for user in trusted_users():
        try:
            names.add(pwd.getpwuid(user).pw_name)
        except KeyError:  # an account of a container
            pass
    try:
        group = grp.getgrgid(gid)
        # A directory service does not tell who has a group as their first one: another name than the user's says that
        # it is meant for several. Those below 100 are the system's own (staff of Debian's /usr/local).
        if gid != 0 and ((gid >= 100 and group.gr_name not in names) or not names.issuperset(group.gr_mem)):
            return False
    except KeyError:
        pass
    return gid == 0 or not any(group == gid and user not in trusted_users() for group, user in first_groups())


@functools.lru_cache(maxsize=None)
def first_groups() -> frozenset[tuple[int, int]]:
    """The (group, user) of all accounts, of which a network may have many."""
    import pwd

    return frozenset((one.pw_gid, one.pw_uid) for one in pwd.getpwall())


def keeps_modes(folder: str) -> bool:
    """Whether the file system of `folder` says who may write: that of a Windows disk shows one mode for all."""
    probe = os.path.join(folder, ".edgenas-%d-%s" % (os.getpid(), os.urandom(4).hex()))
    try:
        os.mkdir(probe, 0o700)
    except OSError:
        return True
    try:
        return not os.lstat(probe).st_mode & 0o022
    finally:
        os.rmdir(probe)


def way_to(path: str) -> list[str]:
    """The absolute `path` and the folders above it, the topmost first: from the user's home, if it is in there."""
    way = [path]
    homes = {os.path.abspath(os.path.expanduser("~")), os.path.realpath(os.path.expanduser("~"))}
    while way[0] not in homes and os.path.dirname(way[0]) != way[0]:
        way.insert(0, os.path.dirname(way[0]))
    return way


def folder_fault(path: str, team: bool = False) -> str | None:
    """Why others may change what is in the folder `path`, which need not be there yet; None if they may not.

    As OpenSSH's StrictModes: it and the folders above it, up to the user's home, belong to the user or to root, and no
    one else may write them; a group of the user's own may, and all may write a sticky folder (/tmp) above it. What is
    below a folder that the user or root has closed to others is out of their reach whatever its mode. `team`: several
    work there, and what is read back is authenticated, so a group may write, all a sticky folder, and it is anybody's.
    """
    if os.name != "posix":
        return None
    me, trusted = os.geteuid(), trusted_users()
    for name in sorted({os.path.abspath(path), os.path.realpath(path)}):
        fault, shared = None, False  # shared: all may put something beside it, as in /tmp
        for folder in way_to(name):
            try:
                owner, facts = os.lstat(folder).st_uid, os.stat(folder)
            except OSError:  # it is to be made, or the system will say what is wrong with it
                break
            last, mode = folder == name, facts.st_mode
            what = "it" if last else folder
            # Above it, root takes what it is given (a container's working folder), and a container may not know whose
            # a folder is (65534).
            lenient = not shared and (team or ((me == 0 or owner == 65534) and not last))
            for user in (owner, facts.st_uid):
                if user not in trusted and not lenient:
                    fault = fault or "%s belongs to user %d" % (what, user)
            closed = not mode & 0o001 and (not mode & 0o010 or is_private(facts.st_gid))
            if closed and facts.st_uid in trusted:
                break
            writable = mode & 0o002 or (mode & 0o020 and not team and not is_private(facts.st_gid))
            if writable and ((last and not team) or not mode & stat.S_ISVTX) and keeps_modes(folder):
                mend = "chmod -R go-w" if last else "chmod go-w"
                fault = fault or "%s has mode %04o, so others may write: %s" % (what, stat.S_IMODE(mode), mend)
            shared = bool(mode & 0o022)
        if fault is not None:
            return fault
    return None
