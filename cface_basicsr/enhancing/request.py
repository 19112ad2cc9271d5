"""What `cface enhance` is asked for, as far as it can be refused without torch, whose import takes seconds."""

from collections.abc import Sequence
from pathlib import Path

from cface_basicsr.errors import UserError
from cface_basicsr.zoo.catalogue import SHIPPED_NETWORKS, present_network, zoo

AUTO = 'auto'
SAVED = ('image', 'faces', 'compare', 'json')
"""Kinds of results: <name>.png, <name>.face1.png …, <name>.compare.png, <name>.json."""
VIDEOS = ('.mp4', '.m4v', '.mov', '.mkv', '.webm', '.avi')
"""Endings of files that are taken for videos."""
_LARGEST_SCALE = 8
"""Of a copy."""


def saved_kinds(text: str) -> tuple[str, ...]:
    """The kinds in a list such as 'image,faces'.

    Raises:
        UserError: one is unknown, or none is given.

    >>> saved_kinds('json, image')
    ('image', 'json')
    """
    asked = [word.strip() for word in text.split(',') if word.strip()]
    if not asked or not set(asked) <= set(SAVED):
        raise UserError(f"--save: expected some of {', '.join(SAVED)}, separated by commas, got '{text}'.")
    return tuple(kind for kind in SAVED if kind in asked)


def is_video(path: Path) -> bool:
    """Whether a file is taken for a video, by its ending."""
    return path.suffix.lower() in VIDEOS


def check_heights(least: float, most: float) -> None:
    """Check the heights of faces that are to be enhanced, in pixels.

    Raises:
        UserError: the least is not above 0, or above the most.
    """
    if not 0 < least <= most:
        raise UserError(f'expected 0 < --min-face <= --max-face, got {least:g} and {most:g}.')


def check_scales(scales: Sequence[float] | None) -> None:
    """Check the sizes of the copies in which faces are looked for, relative to their photograph.

    Raises:
        UserError: there is none, or one is neither a share below 1 nor a whole number up to 8.
    """
    if scales is not None and not (scales and all(0 < scale <= 1 or scale in range(2, _LARGEST_SCALE + 1)
                                                  for scale in scales)):
        raise UserError(f'--detect-scale: expected whole numbers up to {_LARGEST_SCALE} or shares below 1, such as 1 2 '
                        f'4, or auto, got {" ".join(f"{scale:g}" for scale in scales) or "none"}.')


def network_files(weights: str | Path) -> dict[str, Path]:
    """Name -> file of the networks that are named so; a file's name is the text itself.

    Args:
        weights: a file or a name, see `zoo.open.open_network`; or 'auto': of each scale the network of the zoo that is
            here, one that a user has added before one of the package, then by name. They are sorted by scale.

    Raises:
        UserError: the network is unknown, or none is installed; its file is missing, or that of the zoo another one; or
            a card of the zoo is damaged.
    """
    if str(weights) != AUTO:
        return {str(weights): present_network(weights)}
    here = sorted((each for each in zoo().values() if each.here),
                  key=lambda each: (each.folder == SHIPPED_NETWORKS, each.card.name))
    chosen = {each.card.scale: each for each in reversed(here)}
    if not chosen:
        raise UserError('a network is missing: none is installed. Get one: cface models get NAME --from DIR; or name '
                        'its file: --weights net_g_latest.pth.')
    return {each.card.name: each.verified_path() for _, each in sorted(chosen.items())}
