# SPDX-License-Identifier: Apache-2.0
"""Profiles that somebody has edited, imported, merged, shown and forgotten, and planted in a home: what came of it.

python benchmarks/hostile_profiles.py [--minutes N] [--seed N] [--again NUMBER]

Every file is a true export with a few changes, signed anew, or a few changed bytes. Anything but an error of edgenas'
own, a message that cannot be printed, a file outside the home and more than 512 MiB end it; --again NUMBER repeats one.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import shutil
import sys
import tempfile
import time
import warnings
from collections import Counter
from pathlib import Path

from report import ROOT, commit

sys.path.insert(0, str(ROOT / "tests"))  # the adversary is the tests', too

from helpers.profiles import profile_adversary

_MAX_MIB = 512


def attempt(number: int, seed: int, folder: Path, table: dict[str, object], profile: dict[str, object]) -> str:
    """One try; what it was and what came of it."""
    rng = random.Random(f"{seed} {number}")
    if number % 4 == 3:
        try:
            changed = profile_adversary.changed({"profile": profile}, rng)["profile"]
        except KeyError:  # all of it was removed
            return "planted nothing"
        return f"planted {profile_adversary.planted(changed, rng)}"
    content = json.dumps(profile_adversary.changed(table, rng)).encode()
    kind = "signed"
    if number % 4 == 2:
        kind, content = "bytes", _damaged(content, rng)
    home = Path(os.environ["EDGENAS_HOME"])
    shutil.rmtree(home, ignore_errors=True)
    if rng.random() < 0.5:
        shutil.copytree(folder / "own", home)
    before = {path for path in folder.rglob("*") if home not in path.parents}
    came = profile_adversary.tried(content, folder / "work", rng)
    left = (
        {path for path in folder.rglob("*") if home not in path.parents} - before - {folder / "work" / "hostile.json"}
    )
    if left - {home}:
        raise AssertionError(f"files outside the home: {sorted(map(str, left))}")
    return f"{kind} {came}"


def _damaged(content: bytes, rng: random.Random) -> bytes:
    data = bytearray(content)
    for _ in range(rng.choice((1, 4, 40))):
        place = rng.randrange(len(data))
        data[place : place + rng.choice((0, 1, 9))] = rng.randbytes(rng.choice((0, 1, 3)))
    return bytes(data)


def main() -> None:
    """Try until the time is up, and print what was tried."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--again", type=int, metavar="NUMBER")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    counts: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        (folder / "work").mkdir()
        os.environ["EDGENAS_HOME"] = str(folder / "own")
        file, table = profile_adversary.made(folder / "work")
        file.unlink()
        profile = next(entry["profile"] for entry in table["keys"] if entry["profile"])
        os.environ["EDGENAS_HOME"] = str(folder / "home")
        end, number = time.monotonic() + 60 * arguments.minutes, arguments.again or 0
        while time.monotonic() < end:
            try:
                counts[attempt(number, arguments.seed, folder, table, profile)] += 1
            except BaseException:
                print(f"try {number} of seed {arguments.seed} failed: --seed {arguments.seed} --again {number}")
                raise
            used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
            if used > _MAX_MIB:
                raise SystemExit(f"try {number} of seed {arguments.seed} has used {used} MiB")
            number += 1
            if arguments.again is not None:
                break
    tries = ", ".join(f"{count} {name}" for name, count in sorted(counts.items()))
    print(f"{commit()}: {sum(counts.values())} profiles in {arguments.minutes:g} min, seed {arguments.seed}: {tries}")
    print(f"nothing found; {used} MiB at most, nothing outside the home")


if __name__ == "__main__":
    main()
