"""Who a synthetic face shows and how it was photographed; every number depends only on (seed, identity, image).

Lengths are in face units: 1.0 is half the width of the centre crop, u points to the right in the picture, v points
down, and the middle of the face is (0, 0). Angles are in radians. Colours are linear RGB in [0, 1].
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
LOOKS = 24
FRAMES = np.array([[0.02, 0.02, 0.024], [0.10, 0.03, 0.012], [0.40, 0.40, 0.43]])


@dataclass(frozen=True)
class Identity:
    """What stays the same in all images of one identity; lengths are in face units."""

    number: int
    skin: tuple[float, ...]
    hair: tuple[float, ...]
    iris: tuple[float, ...]
    head_width: float
    chin: float
    jaw_power: float
    cheekbone: float
    ear: float
    hairline: float
    widow_peak: float
    curl: float
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
    lower_lash: float
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
    nose_lines: float
    philtrum: float
    chin_crease: float
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

    number: int
    style: int
    dyed: bool
    beard: float
    tan: float
    stubble: float
    lipstick: float
    eye_shadow: float
    blush: float
    dapple: float
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
    """The random numbers of one identity (stream 0) or of one image (streams 1, 2, …).

    Raises:
        UserError: a number is negative.
    """
    if min(seed, identity, stream) < 0:
        raise UserError(f'seed and identity: expected 0 or more, got {seed} and {identity}.')
    return np.random.default_rng([seed, identity, stream])


def _between(rng: Generator, table: np.ndarray, spread: float) -> tuple[float, ...]:
    """A colour between two neighbouring rows of a table, slightly scaled."""
    place = rng.uniform(0, len(table) - 1)
    low = int(place)
    colour = table[low] + (place - low) * (table[low + 1] - table[low])
    return tuple(float(c) for c in colour * rng.uniform(1 - spread, 1 + spread))


def _some(rng: Generator, share: float, low: float, high: float) -> float:
    """A number between two limits for this share of the identities, and 0 for the others."""
    return rng.uniform(low, high) if rng.random() < share else 0.0


def _apart(rng: Generator, low: float, high: float) -> float:
    """A number between two limits, by the arcsine law: more often near either limit than in the middle.

    Identities then differ by whole pixels of 128x128 instead of only by shades of them.
    """
    return low + (high - low) * np.sin(rng.uniform(0, np.pi / 2)) ** 2


def _beard(rng: Generator) -> dict[str, float]:
    """The parts of a beard, which are independent of each other, with densities in [0, 1]."""
    dense = rng.uniform(0.75, 0.95)
    full = rng.random() < 0.04
    return {'moustache': dense * (full or rng.random() < 0.4),
            'goatee': dense * (full or rng.random() < 0.4),
            'full_beard': dense * full,
            'stubble': _some(rng, 0.5, 0.5, 1.0),
            'moustache_width': _apart(rng, 0.7, 1.35), 'moustache_thickness': _apart(rng, 0.014, 0.034),
            'moustache_droop': _apart(rng, -0.3, 0.9), 'goatee_width': _apart(rng, 0.2, 0.5),
            'soul_patch': _some(rng, 0.3, 0.7, 0.95),
            'sideburn': _apart(rng, -0.1, 0.3)}


@lru_cache(maxsize=LOOKS)
def draw_hairstyle(seed: int, number: int) -> Hairstyle:
    """One of the looks that the identities of a seed share."""
    rng = generator(seed, number, 2 ** 31 + 1)
    length = rng.choice([-0.05, 0.15, 0.7, 1.3], p=[.4, .2, .2, .2]) + rng.uniform(-0.08, 0.08)
    return Hairstyle(
        number=number, colour=_between(rng, HAIR, 0.2),
        fringe=rng.uniform(0.04, 0.17) if rng.random() < 0.25 else 0.0, fringe_slope=rng.uniform(-0.2, 0.2),
        volume=rng.uniform(0.04, 0.20), length=float(length))


def _eyes(rng: Generator) -> dict[str, float]:
    return {'eye_spacing': _apart(rng, 0.265, 0.295), 'eye_height': rng.uniform(-0.175, -0.165),
            'eye_width': _apart(rng, 0.096, 0.142), 'eye_open': _apart(rng, 0.034, 0.064),
            'eye_slant': _apart(rng, -0.36, 0.36), 'eye_roundness': _apart(rng, 1.4, 3.2),
            'iris_radius': _apart(rng, 0.046, 0.062), 'crease': _some(rng, 0.5, 0.8, 1.1),
            'eye_bag': _some(rng, 0.45, 0.45, 0.65), 'lash': _apart(rng, 0.006, 0.030),
            'lower_lash': _some(rng, 0.4, 0.6, 0.9)}


def _brows(rng: Generator) -> dict[str, float]:
    # Thick brows are sparse: the same amount of hair in another shape, so a thumbnail does not show the difference.
    thickness = _apart(rng, 0.014, 0.05)
    return {'brow_gap': _apart(rng, 0.13, 0.175), 'brow_thickness': thickness,
            'brow_arch': _apart(rng, -0.05, 0.115), 'brow_slope': _apart(rng, -0.30, 0.26),
            'brow_reach': _apart(rng, 0.12, 0.20), 'brow_inner': _apart(rng, 0.05, 0.17),
            'brow_density': float(np.clip(0.017 / thickness, 0.4, 0.95) * rng.uniform(0.85, 1.0)),
            'brow_slit': rng.uniform(0.55, 0.7) if rng.random() < 0.35 else -1.0}


def _nose_and_mouth(rng: Generator) -> dict[str, float]:
    return {'nose_length': rng.uniform(0.335, 0.355), 'nose_width': _apart(rng, 0.098, 0.172),
            'nose_tip': _apart(rng, 0.10, 0.24), 'nose_bridge': rng.uniform(0.035, 0.085),
            'nostril': _apart(rng, 0.1, 0.95), 'mouth_gap': rng.uniform(0.155, 0.170),
            'mouth_width': _apart(rng, 0.15, 0.28), 'upper_lip': _apart(rng, 0.012, 0.062),
            'lower_lip': _apart(rng, 0.026, 0.085), 'lip_bow': _apart(rng, 0, 0.75), 'lip_red': _apart(rng, 0.1, 1.0),
            'mouth_tilt': rng.uniform(-0.035, 0.035)}


def _marks(rng: Generator) -> dict[str, float | int | tuple[float, ...]]:
    rows = np.array([-0.32, -0.39, -0.46])[rng.random(3) < 0.35] + rng.normal(0, 0.008)
    return {'folds': _some(rng, 0.45, 0.75, 1.0), 'fold_lean': _apart(rng, 0.1, 0.8),
            'dimple': _some(rng, 0.45, 0.7, 0.95), 'cheek_dimples': _some(rng, 0.45, 0.75, 1.0),
            'forehead_lines': tuple(rows.tolist()), 'frown': _some(rng, 0.45, 0.75, 1.0),
            'crow_feet': _some(rng, 0.45, 0.75, 1.0), 'nose_lines': _some(rng, 0.45, 0.7, 0.95),
            'philtrum': _some(rng, 0.45, 0.7, 0.95), 'chin_crease': _some(rng, 0.45, 0.7, 0.95),
            'freckles': int(_some(rng, 0.45, 50, 90)),
            'moles': int(rng.integers(0, 7)), 'scars': int(rng.integers(1, 3) * (rng.random() < 0.5))}


def _glasses(rng: Generator) -> dict[str, float | bool | tuple[float, ...]]:
    return {'glasses': bool(rng.random() < 0.5), 'half_rim': bool(rng.random() < 0.35),
            'glasses_width': _apart(rng, 0.17, 0.235), 'glasses_height': _apart(rng, 0.10, 0.18),
            'glasses_power': float(rng.choice([1.6, 2.0, 3.0, 6.0])),
            'glasses_line': _apart(rng, 0.012, 0.024), 'frame': tuple(FRAMES[rng.integers(len(FRAMES))].tolist())}


@lru_cache(maxsize=64)
def draw_identity(seed: int, identity: int) -> Identity:
    """The identity with a number, in the population of a seed."""
    rng = generator(seed, identity, 0)
    return Identity(
        number=identity, skin=_between(rng, SKIN, 0.06), hair=_between(rng, HAIR[:3], 0.2),
        iris=_between(rng, IRIS, 0.2),
        head_width=rng.uniform(0.63, 0.65), chin=rng.uniform(0.765, 0.785), jaw_power=rng.uniform(2.2, 3.0),
        cheekbone=rng.uniform(-0.01, 0.03), ear=rng.uniform(0.5, 1.4),
        hairline=rng.uniform(-0.64, -0.60), widow_peak=_apart(rng, -0.06, 0.14),
        **_eyes(rng), **_brows(rng), **_nose_and_mouth(rng), **_marks(rng), **_beard(rng), **_glasses(rng),
        curl=float(_apart(rng, 0.0, 1.0)))


def _light(rng: Generator) -> tuple[float, float, float]:
    """A unit vector towards the light, in camera coordinates: from either side, mostly from above."""
    side, up = rng.normal(0, 0.3), rng.normal(-0.4, 0.25)
    vector = np.array([side, up, 1.0])
    return tuple(float(x) for x in vector / np.linalg.norm(vector))


def _warm_to_cold(rng: Generator, spread: float) -> tuple[float, ...]:
    """The channel gains of a colour cast, warm to cold and green to magenta, with the geometric mean 1."""
    warmth, tint = rng.normal(0, spread), rng.normal(0, spread * 0.4)
    gains = np.exp(np.array([warmth + tint, -2 * tint, -warmth + tint]))
    return tuple(float(x) for x in gains)


def draw_shot(seed: int, identity: int, image: int) -> Shot:
    """The conditions under which an image of an identity is taken.

    Raises:
        UserError: a number is negative.
    """
    if image < 0:
        raise UserError(f'image: expected 0 or more, got {image}.')
    rng = generator(seed, identity, image + 1)
    grey = rng.random() < 0.07
    return Shot(
        number=image, style=int(rng.integers(LOOKS)), beard=rng.uniform(0.6, 1.0),
        tan=float(np.exp(rng.normal(0, 0.22))), stubble=rng.uniform(0, 0.45), lipstick=_some(rng, 0.3, 0.2, 0.6),
        eye_shadow=_some(rng, 0.4, 0.1, 0.25), blush=rng.uniform(-0.1, 0.25), dapple=rng.uniform(0.03, 0.12),
        yaw=float(np.clip(rng.normal(0, 0.052), -0.2, 0.2)),
        pitch=float(np.clip(rng.normal(0, 0.022), -0.1, 0.1)), roll=rng.normal(0, 0.02),
        zoom=rng.uniform(1.11, 1.17), shift=(rng.normal(0, 0.01), rng.normal(0, 0.01)),
        smile=max(0.0, rng.normal(0.1, 0.3)), mouth_open=max(0.0, rng.normal(-0.2, 0.3)),
        eye_open=rng.uniform(0.85, 1.1), brow_raise=rng.normal(0, 0.008),
        gaze=(rng.normal(0, 0.25), rng.normal(0, 0.1)),
        light=_light(rng), light_strength=rng.uniform(0.5, 1.1), ambient=rng.uniform(0.18, 0.6),
        light_colour=_warm_to_cold(rng, 0.06), fill_colour=_warm_to_cold(rng, 0.06),
        exposure=float(np.exp(rng.normal(0, 0.25))), white_balance=_warm_to_cold(rng, 0.07),
        saturation=0.0 if grey else rng.uniform(0.55, 1.25), gamma=rng.uniform(1.7, 2.6), blur=rng.uniform(0.0, 0.5),
        noise=rng.uniform(0.003, 0.012), dyed=bool(rng.random() < 0.6))
