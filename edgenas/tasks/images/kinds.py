# SPDX-License-Identifier: Apache-2.0
"""Files that may be pictures but are none that Pillow reads: their kinds, and what to do about them."""

from __future__ import annotations

from collections import Counter

from edgenas.tasks.raw import cut

# Pictures (and what holds some) that Pillow does not read.
_PICTURE_KINDS = """
.heic .heif .hif .avif .jxl .jxr .mpo .webp .svg .eps .ai .pdf .djvu .xcf .kra .exr .hdr .dcm
.nii .npy .npz .mat .raw .dng .cr2 .cr3 .crw .nef .nrw .arw .srf .sr2 .orf .rw2 .raf .pef
.srw .x3f .3fr .iiq .mp4 .m4v .mov .avi .mkv .webm .mpg .mpeg .wmv .3gp
"""
_HEIF = {".heic", ".heif", ".hif"}
_PICTURES = frozenset(_PICTURE_KINDS.split())


def kinds(others: Counter[str], *, pictures: bool) -> str:
    """Counts by suffix, as in `10 .heic, 2 without a suffix`, of the kinds that may be pictures or of the rest."""
    chosen = [
        (kind, count) for kind, count in others.most_common() if (kind in _PICTURES or not kind) == pictures and count
    ]
    texts = [f"{count} {cut(kind, 12) or 'without a suffix'}" for kind, count in chosen[:6]]
    more = sum(count for _, count in chosen[6:])
    return ", ".join(texts) + (f" and {more} others" if more else "")


def way_out(others: Counter[str]) -> str:
    """What to do about the kinds that `kinds(others, pictures=True)` names."""
    if _PICTURES.isdisjoint(others):
        return "give them their suffix (.jpg, .png)"
    return "convert them to .jpg or .png" + (", or pip install pillow-heif" if others.keys() & _HEIF else "")
