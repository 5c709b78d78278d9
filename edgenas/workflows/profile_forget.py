# SPDX-License-Identifier: Apache-2.0
"""`edgenas profile forget`: take back what a file or a session has taught a board's profiles."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from edgenas import resources
from edgenas.boards.board import Board
from edgenas.checks import printable
from edgenas.errors import EdgenasError, UsageError
from edgenas.profiles import exchange
from edgenas.profiles.measurement import Measurement, Origin, blocks_of
from edgenas.profiles.profile import BoardProfile, ProfileKey, list_profiles
from edgenas.profiles.refine import refreshed
from edgenas.profiles.store import Source, Store
from edgenas.spaces.architecture import Block

_SHOWN = 5  # of files with one name
_SHORTEST = 8  # hexadecimal digits of a sha256


@dataclass(frozen=True)
class KeyForgotten:
    """What was forgotten of a key. left: measurements that its profile rests on now; 0: the profile was removed."""

    key: ProfileKey
    forgotten: int
    left: int


@dataclass(frozen=True)
class Forgotten:
    """What was taken back. file, sha256: of what was imported, None for a session. session: None for a file.

    keys: those that something of was forgotten, and those of which the profiles had learnt from theirs (of these 0).
    """

    file: str | None
    sha256: str | None
    session: str | None
    measurements: int
    keys: tuple[KeyForgotten, ...]

    def to_json(self) -> dict[str, Any]:
        """The object that `--json` prints."""
        return asdict(self)


def forget_profile(what: str | Path) -> Forgotten:
    """Let the measurements of an imported file, or of a session of one's own, count no more, and refit the profiles.

    what: the file, its name when it was imported, the first 8 or more digits of its sha256, or a session as
    `edgenas profile show` names it. Profiles are fitted anew on what is left, as if the rest had never been there, and
    removed where nothing is. The measurements stay in the store, marked; importing the file again brings them back.
    After an interruption the same call goes on.

    Raises UsageError if nothing of that name is known, or several files are, and names them.
    """
    resources.require_package("scipy")  # before anything is changed
    with Store() as store:
        source = _source(store, str(what))
        gone = store.read_from(source)
        profiles = _profile_alone(source)
        if not gone and not profiles:
            raise _unknown(store, source, str(what))
        touched = {m.key for m in gone} | set(profiles)
        affected = _with_learners(touched)
        # Profiles first: whatever stops this, the same command finds the same measurements again and goes on.
        fitted = {key: _refitted(store, key, source, affected) for key in sorted(affected)}
        fitted = {key: profile for key, profile in fitted.items() if profile is not None or key in touched}
        for key, profile in fitted.items():
            _replace(key, profile)
        store.forget(source)
    counts = Counter(m.key for m in gone)
    keys = [KeyForgotten(key, counts[key], 0 if p is None else p.measurements) for key, p in fitted.items()]
    if isinstance(source, str):
        return Forgotten(None, None, source, len(gone), tuple(keys))
    return Forgotten(source.file, source.sha256 or None, None, len(gone), tuple(keys))


def _source(store: Store, what: str) -> Source:
    """What is meant: a file by its content, its name or its sha256, else a session."""
    known = {origin.id: origin for origin in (*store.origins(), *_bare_profiles().values())}
    sha256 = exchange.sha256_of(Path(what))
    if sha256 in known:
        return known[sha256]
    named = [origin for origin in known.values() if _is_called(origin, what)]
    if len(named) == 1:
        return named[0]
    if named:
        shown = [f"{one.sha256[:12] or repr(one.id)} ({one.imported_utc[:16]})" for one in named[:_SHOWN]]
        more = f" and {len(named) - _SHOWN} more" if len(named) > _SHOWN else ""
        raise UsageError(f"{what} is the name of {len(named)} files: say which by {', '.join(shown)}{more}", value=what)
    return what.encode("utf-8", "replace").decode()  # the command line may hold bytes that no session's name has


def _is_called(origin: Origin, what: str) -> bool:
    is_sha256 = len(what) >= _SHORTEST and origin.sha256.startswith(what.lower())
    return is_sha256 or origin.file == printable(Path(what).name) or origin.id == what


def _unknown(store: Store, source: Source, what: str) -> UsageError:
    if isinstance(source, str) and (count := store.forgotten(source)):
        return UsageError(f"session {what}: its {count} measurements are forgotten already", value=what)
    step = "`edgenas profile show --board NAME` names sessions and files that count"
    return UsageError(f"{what!r:.80} is no imported file and no session that counts: {step}", value=what)


def _bare_profiles() -> dict[ProfileKey, Origin]:
    """Profiles that were imported without a measurement, and the files that they came with."""
    found = {}
    for key, profile in _profiles().items():
        mark = profile.provenance.get("imported")
        if isinstance(mark, Mapping) and set(mark) == {"sha256", "file", "by", "imported_utc"}:
            by = None if mark["by"] is None else str(mark["by"])
            found[key] = Origin(str(mark["sha256"]), str(mark["file"]), by, str(mark["imported_utc"]))
    return found


def _profile_alone(source: Source) -> list[ProfileKey]:
    """The keys of profiles that came with a file and without a measurement."""
    if isinstance(source, str):
        return []
    return [key for key, origin in _bare_profiles().items() if origin.id == source.id]


def _profiles() -> dict[ProfileKey, BoardProfile]:
    """The user's profiles but those that are damaged."""
    found = {}
    for entry in list_profiles():
        if entry["key"] is not None:
            key = ProfileKey(**entry["key"])
            if (profile := BoardProfile.load(key)) is not None:
                found[key] = profile
    return found


def _with_learners(keys: set[ProfileKey]) -> set[ProfileKey]:
    """`keys` and those of which the profiles were drawn towards theirs, at first or second hand."""
    profiles, found = _profiles(), set(keys)
    while True:
        names = {str(key) for key in found}
        new = {key for key, profile in profiles.items() if names & _teachers(profile)} - found
        if not new:
            return found
        found |= new


def _teachers(profile: BoardProfile) -> set[str]:
    """The keys, as texts, of the profiles that a profile has learnt from."""
    seeded, others = profile.provenance.get("seeded_by"), profile.provenance.get("other_boards")
    boards = others.get("boards") if isinstance(others, Mapping) else None
    learnt = [seeded, *(boards if isinstance(boards, Mapping) else ())]
    return {name for name in learnt if isinstance(name, str)}


def _refitted(store: Store, key: ProfileKey, source: Source, without: set[ProfileKey]) -> BoardProfile | None:
    """The profile of `key` as if nothing of a source had ever been measured; None if nothing is left."""
    left = [m for m in store.read(key) if not _is_from(m, source) and blocks_of(m) is not None]
    if not left:
        return None
    return refreshed(Board.load(key.board), key, left, _blocks, without=without)


def _is_from(m: Measurement, source: Source) -> bool:
    if isinstance(source, str):
        return m.origin is None and m.session == source
    return m.origin is not None and m.origin.id == source.id


def _blocks(m: Measurement) -> Sequence[Block]:
    return blocks_of(m) or ()


def _replace(key: ProfileKey, profile: BoardProfile | None) -> None:
    """Save the profile of a key, or remove what there is."""
    if profile is not None:
        profile.save()
        return
    path = BoardProfile.path(key)
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise EdgenasError(
            f"{path} cannot be removed ({resources.reason(error)}): delete it", file=str(path)
        ) from error
