"""Who a generated face is and how it was photographed: every number drawn from (seed, identity, image) alone.

Lengths are in face units: 1.0 is half the width of the centre crop, u points right in the picture, v points down,
the middle of the face is (0, 0). Angles are radians. Colours are linear RGB in [0, 1].
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.random import Generator

from cface_basicsr.errors import UserError

SKIN = np.array([[0.74, 0.48, 0.37], [0.68, 0.40, 0.27], [0.56, 0.32, 0.20], [0.46, 0.25, 0.15]])
HAIR = np.array([[0.018, 0.014, 0.012], [0.05, 0.03, 0.018], [0.13, 0.07, 0.035], [0.24, 0.09, 0.03],
                 [0.36, 0.24, 0.11], [0.30, 0.29, 0.28]])
IRIS = np.array([[0.04, 0.02, 0.01], [0.10, 0.05, 0.02], [0.09, 0.11, 0.05], [0.07, 0.13, 0.22], [0.15, 0.17, 0.18]])
STYLES = 3
FRAMES = np.array([[0.01, 0.01, 0.012], [0.10, 0.03, 0.012], [0.25, 0.25, 0.27]])


@dataclass(frozen=True)
class Identity:
    """What stays the same in all images of one person. Names say the unit where it is not face units."""

    number: int
    skin: tuple[float, ...]
    hair: tuple[float, ...]
    iris: tuple[float, ...]
    head_width: float
    chin: float
    jaw_power: float
    cheekbone: float
    ear: float
    eye_spacing: float
    eye_height: float
    eye_width: float
    eye_open: float
    eye_slant: float
    eye_roundness: float
    iris_radius: float
    crease: float
    eye_bag: float
    lash: float
    brow_gap: float
    brow_thickness: float
    brow_arch: float
    brow_slope: float
    brow_reach: float
    brow_inner: float
    brow_density: float
    brow_slit: float
    nose_length: float
    nose_width: float
    nose_tip: float
    nose_bridge: float
    nostril: float
    mouth_gap: float
    mouth_width: float
    upper_lip: float
    lower_lip: float
    lip_bow: float
    lip_red: float
    mouth_tilt: float
    folds: float
    fold_lean: float
    forehead_lines: tuple[float, ...]
    frown: float
    cheek_dimples: float
    crow_feet: float
    dimple: float
    moustache: float
    goatee: float
    full_beard: float
    stubble: float
    moustache_width: float
    moustache_thickness: float
    moustache_droop: float
    goatee_width: float
    soul_patch: float
    sideburn: float
    glasses: bool
    half_rim: bool
    glasses_width: float
    glasses_height: float
    glasses_power: float
    glasses_line: float
    frame: tuple[float, ...]
    freckles: int
    moles: int
    scars: int


@dataclass(frozen=True)
class Hairstyle:
    """One of the STYLES ways in which a person wears the hair; which one, is the image's."""

    number: int
    colour: tuple[float, ...]
    hairline: float
    widow_peak: float
    fringe: float
    fringe_slope: float
    volume: float
    length: float
    curl: float


@dataclass(frozen=True)
class Shot:
    """What changes from image to image of one person."""

    number: int
    style: int
    beard: float
    tan: float
    yaw: float
    pitch: float
    roll: float
    zoom: float
    shift: tuple[float, float]
    smile: float
    mouth_open: float
    eye_open: float
    brow_raise: float
    gaze: tuple[float, float]
    light: tuple[float, float, float]
    light_strength: float
    ambient: float
    light_colour: tuple[float, ...]
    fill_colour: tuple[float, ...]
    exposure: float
    white_balance: tuple[float, ...]
    saturation: float
    gamma: float
    blur: float
    noise: float


def generator(seed: int, identity: int, stream: int) -> Generator:
    """The random numbers of one person (stream 0) or of one image (streams 1, 2, …).

    Raises:
        UserError: a negative number.
    """
    if min(seed, identity, stream) < 0:
        raise UserError(f'seed and identity: expected 0 or more, got {seed} and {identity}.')
    return np.random.default_rng([seed, identity, stream])


def _between(rng: Generator, table: np.ndarray, spread: float) -> tuple[float, ...]:
    """A colour between two neighbours of a table, scaled a little."""
    place = rng.uniform(0, len(table) - 1)
    low = int(place)
    colour = table[low] + (place - low) * (table[low + 1] - table[low])
    return tuple(float(c) for c in colour * rng.uniform(1 - spread, 1 + spread))


def _beard(rng: Generator) -> dict[str, float]:
    """Densities of the parts of a beard in [0, 1]; about half of the people have none."""
    kind = rng.choice(['none', 'moustache', 'goatee', 'circle', 'full', 'stubble'], p=[.52, .13, .10, .11, .07, .07])
    dense = rng.uniform(0.65, 0.95)
    return {'moustache': dense if kind in ('moustache', 'circle', 'full') else 0.0,
            'goatee': dense if kind in ('goatee', 'circle', 'full') else 0.0,
            'full_beard': dense if kind == 'full' else 0.0,
            'stubble': rng.uniform(0.3, 0.5) if kind == 'stubble' else 0.0,
            'moustache_width': rng.uniform(0.75, 1.35), 'moustache_thickness': rng.uniform(0.018, 0.05),
            'moustache_droop': rng.uniform(-0.3, 0.9), 'goatee_width': rng.uniform(0.3, 1.0),
            'soul_patch': rng.uniform(0.6, 0.9) * (rng.random() < 0.15),
            'sideburn': rng.uniform(-0.1, 0.45)}


@lru_cache(maxsize=64)
def draw_hairstyle(seed: int, identity: int, style: int) -> Hairstyle:
    """A way to wear the hair: the hairline is the person's, the cut and the dye are not."""
    rng = generator(seed, identity, 2 ** 31 + 1)
    hairline, peak = rng.uniform(-0.66, -0.52), rng.uniform(-0.06, 0.10)
    rng = generator(seed, identity, 2 ** 31 + 2 + style)
    length = rng.choice([-0.05, 0.15, 0.7, 1.3], p=[.35, .2, .2, .25]) + rng.uniform(-0.08, 0.08)
    return Hairstyle(
        number=identity * STYLES + style, colour=_between(rng, HAIR, 0.2), hairline=hairline, widow_peak=peak,
        fringe=rng.uniform(0.04, 0.17) if rng.random() < 0.4 else 0.0, fringe_slope=rng.uniform(-0.2, 0.2),
        volume=rng.uniform(0.04, 0.20), length=float(length), curl=rng.uniform(0, 1))


def _eyes(rng: Generator) -> dict[str, float]:
    return {'eye_spacing': rng.uniform(0.245, 0.315), 'eye_height': rng.uniform(-0.20, -0.14),
            'eye_width': rng.uniform(0.098, 0.140), 'eye_open': rng.uniform(0.030, 0.058),
            'eye_slant': rng.uniform(-0.28, 0.32), 'eye_roundness': rng.uniform(1.5, 3.0),
            'iris_radius': rng.uniform(0.044, 0.060), 'crease': rng.uniform(0.3, 1.0) * (rng.random() < 0.6),
            'eye_bag': rng.uniform(0, 0.45), 'lash': rng.uniform(0.006, 0.028)}


def _brows(rng: Generator) -> dict[str, float]:
    # Thick brows are sparse: as much hair, in another shape, so that a thumbnail does not tell them apart.
    thickness = rng.uniform(0.014, 0.05)
    return {'brow_gap': rng.uniform(0.12, 0.19), 'brow_thickness': thickness,
            'brow_arch': rng.uniform(-0.03, 0.10), 'brow_slope': rng.uniform(-0.34, 0.28),
            'brow_reach': rng.uniform(0.12, 0.20), 'brow_inner': rng.uniform(0.05, 0.17),
            'brow_density': float(np.clip(0.017 / thickness, 0.4, 0.95) * rng.uniform(0.85, 1.0)),
            'brow_slit': rng.uniform(0.3, 0.9) if rng.random() < 0.25 else -1.0}


def _nose_and_mouth(rng: Generator) -> dict[str, float]:
    return {'nose_length': rng.uniform(0.30, 0.39), 'nose_width': rng.uniform(0.095, 0.185),
            'nose_tip': rng.uniform(0.10, 0.24), 'nose_bridge': rng.uniform(0.035, 0.085),
            'nostril': rng.uniform(0.2, 0.9), 'mouth_gap': rng.uniform(0.135, 0.185),
            'mouth_width': rng.uniform(0.15, 0.29), 'upper_lip': rng.uniform(0.015, 0.060),
            'lower_lip': rng.uniform(0.028, 0.085), 'lip_bow': rng.uniform(0, 0.7), 'lip_red': rng.uniform(0.1, 1.0),
            'mouth_tilt': rng.uniform(-0.035, 0.035)}


def _marks(rng: Generator) -> dict[str, float | int | tuple[float, ...]]:
    def some(share: float, low: float, high: float) -> float:
        return rng.uniform(low, high) if rng.random() < share else 0.0
    lines = rng.uniform(-0.46, -0.30, int(rng.integers(1, 4)) if rng.random() < 0.5 else 0)
    return {'folds': some(0.5, 0.4, 0.8), 'fold_lean': rng.uniform(0.1, 0.8), 'dimple': some(0.2, 0.3, 0.6),
            'cheek_dimples': some(0.25, 0.4, 0.8), 'forehead_lines': tuple(lines.tolist()),
            'frown': some(0.3, 0.4, 0.8),
            'crow_feet': some(0.4, 0.4, 0.8), 'freckles': int(some(0.3, 40, 90)),
            'moles': int(rng.integers(2, 8)), 'scars': int(rng.integers(0, 4) * (rng.random() < 0.6))}


def _glasses(rng: Generator) -> dict[str, float | bool | tuple[float, ...]]:
    return {'glasses': bool(rng.random() < 0.45), 'half_rim': bool(rng.random() < 0.3),
            'glasses_width': rng.uniform(0.17, 0.235), 'glasses_height': rng.uniform(0.10, 0.18),
            'glasses_power': float(rng.choice([1.6, 2.0, 3.0, 6.0])),
            'glasses_line': rng.uniform(0.014, 0.03), 'frame': tuple(FRAMES[rng.integers(len(FRAMES))].tolist())}


@lru_cache(maxsize=64)
def draw_identity(seed: int, identity: int) -> Identity:
    """The person number `identity` of a seed."""
    rng = generator(seed, identity, 0)
    return Identity(
        number=identity, skin=_between(rng, SKIN, 0.06), hair=_between(rng, HAIR[:3], 0.2),
        iris=_between(rng, IRIS, 0.2),
        head_width=rng.uniform(0.60, 0.67), chin=rng.uniform(0.72, 0.82), jaw_power=rng.uniform(1.7, 3.6),
        cheekbone=rng.uniform(-0.03, 0.05), ear=rng.uniform(0.5, 1.4),
        **_eyes(rng), **_brows(rng), **_nose_and_mouth(rng), **_marks(rng), **_beard(rng), **_glasses(rng))


def _light(rng: Generator) -> tuple[float, float, float]:
    """A unit vector to the light, in the camera's frame: from either side, mostly from above."""
    side, up = rng.normal(0, 0.4), rng.normal(-0.4, 0.3)
    vector = np.array([side, up, 1.0])
    return tuple(float(x) for x in vector / np.linalg.norm(vector))


def _warm_to_cold(rng: Generator, spread: float) -> tuple[float, ...]:
    """Channel gains of one colour cast, green-magenta axis included; geometric mean 1."""
    warmth, tint = rng.normal(0, spread), rng.normal(0, spread * 0.4)
    gains = np.exp(np.array([warmth + tint, -2 * tint, -warmth + tint]))
    return tuple(float(x) for x in gains)


def draw_shot(seed: int, identity: int, image: int) -> Shot:
    """The conditions of image number `image` of a person.

    Raises:
        UserError: a negative number.
    """
    if image < 0:
        raise UserError(f'image: expected 0 or more, got {image}.')
    rng = generator(seed, identity, image + 1)
    grey = rng.random() < 0.07
    return Shot(
        number=image, style=int(rng.integers(STYLES)), beard=rng.uniform(0.6, 1.0),
        tan=float(np.exp(rng.normal(0, 0.22))),
        yaw=float(np.clip(rng.normal(0, 0.12), -0.35, 0.35)),
        pitch=float(np.clip(rng.normal(0, 0.06), -0.16, 0.16)), roll=rng.normal(0, 0.03),
        zoom=rng.uniform(1.11, 1.17), shift=(rng.normal(0, 0.01), rng.normal(0, 0.01)),
        smile=max(0.0, rng.normal(0.2, 0.4)), mouth_open=max(0.0, rng.normal(-0.2, 0.4)),
        eye_open=rng.uniform(0.85, 1.1), brow_raise=rng.normal(0, 0.008),
        gaze=(rng.normal(0, 0.25), rng.normal(0, 0.1)),
        light=_light(rng), light_strength=rng.uniform(0.5, 1.1), ambient=rng.uniform(0.18, 0.6),
        light_colour=_warm_to_cold(rng, 0.085), fill_colour=_warm_to_cold(rng, 0.085),
        exposure=float(np.exp(rng.normal(0, 0.3))), white_balance=_warm_to_cold(rng, 0.085),
        saturation=0.0 if grey else rng.uniform(0.55, 1.25), gamma=rng.uniform(1.7, 2.6), blur=rng.uniform(0.0, 0.5),
        noise=rng.uniform(0.003, 0.012))
