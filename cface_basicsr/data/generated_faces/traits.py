"""Who a synthetic face shows and how it was photographed; every number depends only on (seed, identity, image).

Each trait is declared with the law by which it is drawn, and the order of the traits is that of the draws.

Lengths are in face units: 1.0 is half the width of the centre crop, u points to the right in the picture, v points
down, and the middle of the face is (0, 0). Angles are in radians. Colours are linear RGB in [0, 1].
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from numpy.random import Generator

from cface_basicsr.errors import UserError

SKIN = np.array([[0.74, 0.48, 0.37], [0.68, 0.40, 0.27], [0.56, 0.32, 0.20], [0.46, 0.25, 0.15]])
HAIR = np.array([[0.018, 0.014, 0.012], [0.05, 0.03, 0.018], [0.13, 0.07, 0.035], [0.24, 0.09, 0.03],
                 [0.36, 0.24, 0.11], [0.30, 0.29, 0.28]])
IRIS = np.array([[0.04, 0.02, 0.01], [0.10, 0.05, 0.02], [0.09, 0.11, 0.05], [0.07, 0.13, 0.22], [0.15, 0.17, 0.18]])
LOOKS = 24
FRAMES = np.array([[0.02, 0.02, 0.024], [0.10, 0.03, 0.012], [0.40, 0.40, 0.43]])

_Law = Callable[[Generator, Mapping[str, Any]], Any]
"""Draws a trait; it may depend on the traits before it."""


def _trait(law: _Law) -> Any:
    return field(metadata={'law': law})


def _drawn(kind: type, rng: Generator) -> dict[str, Any]:
    """All traits of a class that have a law."""
    drawn: dict[str, Any] = {}
    for each in fields(kind):
        if each.metadata:
            drawn[each.name] = each.metadata['law'](rng, drawn)
    return drawn


def _uniform(low: float, high: float) -> Any:
    """A number between two limits."""
    return _trait(lambda rng, _: rng.uniform(low, high))


def _normal(mean: float, spread: float) -> Any:
    return _trait(lambda rng, _: rng.normal(mean, spread))


def _chance(share: float) -> Any:
    """True with this probability."""
    return _trait(lambda rng, _: bool(rng.random() < share))


def _some(share: float, low: float, high: float) -> Any:
    """A number between two limits with this probability, else 0."""
    return _trait(lambda rng, _: rng.uniform(low, high) if rng.random() < share else 0.0)


def _apart(low: float, high: float) -> Any:
    """A number between two limits, by the arcsine law: more often near either limit than in the middle.

    Identities then differ by whole pixels of 128x128 instead of only by shades of them.
    """
    return _trait(lambda rng, _: low + (high - low) * np.sin(rng.uniform(0, np.pi / 2)) ** 2)


def _colour(table: np.ndarray, spread: float) -> Any:
    """A colour between two neighbouring rows of a table, slightly scaled."""
    return _trait(lambda rng, _: _between(rng, table, spread))


def _between(rng: Generator, table: np.ndarray, spread: float) -> tuple[float, ...]:
    place = rng.uniform(0, len(table) - 1)
    low = int(place)
    colour = table[low] + (place - low) * (table[low + 1] - table[low])
    return tuple(float(c) for c in colour * rng.uniform(1 - spread, 1 + spread))


def _cast(spread: float) -> Any:
    """The channel gains of a colour cast, warm to cold and green to magenta, with the geometric mean 1."""
    def law(rng: Generator, _: Mapping[str, Any]) -> tuple[float, ...]:
        warmth, tint = rng.normal(0, spread), rng.normal(0, spread * 0.4)
        return tuple(np.exp([warmth + tint, -2 * tint, -warmth + tint]).tolist())
    return _trait(law)


def _lamp(rng: Generator, _: Mapping[str, Any]) -> tuple[float, ...]:
    """A unit vector towards the light, in camera coordinates: from either side, mostly from above."""
    vector = np.array([rng.normal(0, 0.3), rng.normal(-0.4, 0.25), 1.0])
    return tuple((vector / np.linalg.norm(vector)).tolist())


def _forehead_lines(rng: Generator, _: Mapping[str, Any]) -> tuple[float, ...]:
    rows = np.array([-0.32, -0.39, -0.46])[rng.random(3) < 0.35] + rng.normal(0, 0.008)
    return tuple(rows.tolist())


def _part_of_beard(rng: Generator, drawn: Mapping[str, Any]) -> float:
    """The density of a part that a full beard has, and some without one."""
    return drawn['beard_density'] * (drawn['bearded'] or rng.random() < 0.4)


@dataclass(frozen=True)
class Identity:
    """What stays the same in all images of one identity; lengths are in face units."""

    number: int
    skin: tuple[float, ...] = _colour(SKIN, 0.06)
    hair: tuple[float, ...] = _colour(HAIR[:3], 0.2)
    iris: tuple[float, ...] = _colour(IRIS, 0.2)
    head_width: float = _uniform(0.63, 0.65)
    chin: float = _uniform(0.765, 0.785)
    jaw_power: float = _uniform(2.2, 3.0)
    cheekbone: float = _uniform(-0.01, 0.03)
    ear: float = _uniform(0.5, 1.4)
    hairline: float = _uniform(-0.64, -0.60)
    widow_peak: float = _apart(-0.06, 0.14)
    eye_spacing: float = _apart(0.265, 0.295)
    eye_height: float = _uniform(-0.175, -0.165)
    eye_width: float = _apart(0.096, 0.142)
    eye_open: float = _apart(0.034, 0.064)
    eye_slant: float = _apart(-0.36, 0.36)
    eye_roundness: float = _apart(1.4, 3.2)
    iris_radius: float = _apart(0.046, 0.062)
    crease: float = _some(0.5, 0.8, 1.1)
    eye_bag: float = _some(0.45, 0.45, 0.65)
    lash: float = _apart(0.006, 0.030)
    lower_lash: float = _some(0.4, 0.6, 0.9)
    brow_thickness: float = _apart(0.014, 0.05)
    brow_gap: float = _apart(0.13, 0.175)
    brow_arch: float = _apart(-0.05, 0.115)
    brow_slope: float = _apart(-0.30, 0.26)
    brow_reach: float = _apart(0.12, 0.20)
    brow_inner: float = _apart(0.05, 0.17)
    # Thick brows are sparse: the same amount of hair in another shape, so a thumbnail does not show the difference.
    brow_density: float = _trait(lambda rng, drawn: float(
        np.clip(0.017 / drawn['brow_thickness'], 0.4, 0.95) * rng.uniform(0.85, 1.0)))
    brow_slit: float = _trait(lambda rng, _: rng.uniform(0.55, 0.7) if rng.random() < 0.35 else -1.0)
    nose_length: float = _uniform(0.335, 0.355)
    nose_width: float = _apart(0.098, 0.172)
    nose_tip: float = _apart(0.10, 0.24)
    nose_bridge: float = _uniform(0.035, 0.085)
    nostril: float = _apart(0.1, 0.95)
    mouth_gap: float = _uniform(0.155, 0.170)
    mouth_width: float = _apart(0.15, 0.28)
    upper_lip: float = _apart(0.012, 0.062)
    lower_lip: float = _apart(0.026, 0.085)
    lip_bow: float = _apart(0, 0.75)
    lip_red: float = _apart(0.1, 1.0)
    mouth_tilt: float = _uniform(-0.035, 0.035)
    forehead_lines: tuple[float, ...] = _trait(_forehead_lines)
    folds: float = _some(0.45, 0.75, 1.0)
    fold_lean: float = _apart(0.1, 0.8)
    dimple: float = _some(0.45, 0.7, 0.95)
    cheek_dimples: float = _some(0.45, 0.75, 1.0)
    frown: float = _some(0.45, 0.75, 1.0)
    crow_feet: float = _some(0.45, 0.75, 1.0)
    nose_lines: float = _some(0.45, 0.7, 0.95)
    philtrum: float = _some(0.45, 0.7, 0.95)
    chin_crease: float = _some(0.45, 0.7, 0.95)
    freckles: int = _trait(lambda rng, _: int(rng.uniform(50, 90)) if rng.random() < 0.45 else 0)
    moles: int = _trait(lambda rng, _: int(rng.integers(0, 7)))
    scars: int = _trait(lambda rng, _: int(rng.integers(1, 3) * (rng.random() < 0.5)))
    beard_density: float = _uniform(0.75, 0.95)
    bearded: bool = _chance(0.04)
    moustache: float = _trait(_part_of_beard)
    goatee: float = _trait(_part_of_beard)
    stubble: float = _some(0.5, 0.5, 1.0)
    moustache_width: float = _apart(0.7, 1.35)
    moustache_thickness: float = _apart(0.014, 0.034)
    moustache_droop: float = _apart(-0.3, 0.9)
    goatee_width: float = _apart(0.2, 0.5)
    soul_patch: float = _some(0.3, 0.7, 0.95)
    sideburn: float = _apart(-0.1, 0.3)
    glasses: bool = _chance(0.5)
    half_rim: bool = _chance(0.35)
    glasses_width: float = _apart(0.17, 0.235)
    glasses_height: float = _apart(0.10, 0.18)
    glasses_power: float = _trait(lambda rng, _: float(rng.choice([1.6, 2.0, 3.0, 6.0])))
    glasses_line: float = _apart(0.012, 0.024)
    frame: tuple[float, ...] = _trait(lambda rng, _: tuple(FRAMES[rng.integers(len(FRAMES))].tolist()))
    curl: float = _trait(lambda rng, _: float(np.sin(rng.uniform(0, np.pi / 2)) ** 2))


class Hairstyle(NamedTuple):
    """One of the LOOKS, cut and dye, that all identities share; the image decides which one a person has.

    So the hair, the largest thing in a thumbnail, does not tell people apart. Only the hairline, the curl and the
    natural colour belong to an identity; brows and beard always have that colour, hair only when it is not dyed.
    """

    number: int
    colour: tuple[float, ...]
    fringe: float
    fringe_slope: float
    volume: float
    length: float


@dataclass(frozen=True)
class Shot:
    """What changes from image to image of one identity."""

    grey: bool = _chance(0.07)
    style: int = _trait(lambda rng, _: int(rng.integers(LOOKS)))
    beard: float = _uniform(0.6, 1.0)
    tan: float = _trait(lambda rng, _: float(np.exp(rng.normal(0, 0.22))))
    stubble: float = _uniform(0, 0.45)
    lipstick: float = _some(0.3, 0.2, 0.6)
    eye_shadow: float = _some(0.4, 0.1, 0.25)
    blush: float = _uniform(-0.1, 0.25)
    dapple: float = _uniform(0.03, 0.12)
    yaw: float = _trait(lambda rng, _: float(np.clip(rng.normal(0, 0.052), -0.2, 0.2)))
    pitch: float = _trait(lambda rng, _: float(np.clip(rng.normal(0, 0.022), -0.1, 0.1)))
    roll: float = _normal(0, 0.02)
    zoom: float = _uniform(1.11, 1.17)
    shift: tuple[float, float] = _trait(lambda rng, _: (rng.normal(0, 0.01), rng.normal(0, 0.01)))
    smile: float = _trait(lambda rng, _: max(0.0, rng.normal(0.1, 0.3)))
    mouth_open: float = _trait(lambda rng, _: max(0.0, rng.normal(-0.2, 0.3)))
    eye_open: float = _uniform(0.85, 1.1)
    brow_raise: float = _normal(0, 0.008)
    gaze: tuple[float, float] = _trait(lambda rng, _: (rng.normal(0, 0.25), rng.normal(0, 0.1)))
    light: tuple[float, ...] = _trait(_lamp)
    light_strength: float = _uniform(0.5, 1.1)
    ambient: float = _uniform(0.18, 0.6)
    light_colour: tuple[float, ...] = _cast(0.06)
    fill_colour: tuple[float, ...] = _cast(0.06)
    exposure: float = _trait(lambda rng, _: float(np.exp(rng.normal(0, 0.25))))
    white_balance: tuple[float, ...] = _cast(0.07)
    saturation: float = _trait(lambda rng, drawn: 0.0 if drawn['grey'] else rng.uniform(0.55, 1.25))
    gamma: float = _uniform(1.7, 2.6)
    blur: float = _uniform(0.0, 0.5)
    noise: float = _uniform(0.003, 0.012)
    dyed: bool = _chance(0.6)


def generator(seed: int, identity: int, stream: int) -> Generator:
    """The random numbers of one identity (stream 0) or of one image (streams 1, 2, …).

    Raises:
        UserError: a number is negative.
    """
    if min(seed, identity, stream) < 0:
        raise UserError(f'seed and identity: expected 0 or more, got {seed} and {identity}.')
    return np.random.default_rng([seed, identity, stream])


@lru_cache(maxsize=LOOKS)
def draw_hairstyle(seed: int, number: int) -> Hairstyle:
    """One of the looks that the identities of a seed share."""
    rng = generator(seed, number, 2 ** 31 + 1)
    length = rng.choice([-0.05, 0.15, 0.7, 1.3], p=[.4, .2, .2, .2]) + rng.uniform(-0.08, 0.08)
    return Hairstyle(
        number=number, colour=_between(rng, HAIR, 0.2),
        fringe=rng.uniform(0.04, 0.17) if rng.random() < 0.25 else 0.0, fringe_slope=rng.uniform(-0.2, 0.2),
        volume=rng.uniform(0.04, 0.20), length=float(length))


@lru_cache(maxsize=64)
def draw_identity(seed: int, identity: int) -> Identity:
    """The identity with a number, in the population of a seed."""
    return Identity(identity, **_drawn(Identity, generator(seed, identity, 0)))


def draw_shot(seed: int, identity: int, image: int) -> Shot:
    """The conditions under which an image of an identity is taken.

    Raises:
        UserError: a number is negative.
    """
    if image < 0:
        raise UserError(f'image: expected 0 or more, got {image}.')
    return Shot(**_drawn(Shot, generator(seed, identity, image + 1)))
