"""The skin of a synthetic face: complexion, lines, freckles, moles and scars, all so small that 16x16 blurs them."""

import numpy as np

from cface_basicsr.data.generated_faces.canvas import Plane, U, V, bump, crease, noise_tiles, planes, soft, tile, window
from cface_basicsr.data.generated_faces.traits import Identity, generator

# Where moles and scars may be, (|u|, v) and the direction of a scar. There are only a few places, so that a recognizer
# that has learned to look there on some people also knows where to look on others.
MOLES = ((0.36, 0.02), (0.25, 0.20), (0.40, 0.30), (0.27, 0.47), (0.13, 0.61), (0.20, -0.38), (0.42, -0.26))
SCARS = ((0.33, 0.13, 0.5), (0.34, 0.40, -0.7), (0.24, -0.42, 1.3), (0.09, 0.60, 1.0))


def paint_complexion(person: Identity, albedo: Plane) -> None:
    """Paint what makes skin uneven: red cheeks and nose, dark eye sockets, grain."""
    tip = person.eye_height + person.nose_length
    red = 0.10 * bump(np.abs(U) - 0.33, 0.13) * bump(V - 0.14, 0.13) + 0.10 * bump(U, 0.09) * bump(V - tip, 0.07)
    albedo *= 1 - red * planes((0.0, 1.6, 1.4))
    dark = 0.26 * bump(np.abs(U) - person.eye_spacing * 0.9, 0.13) * bump(V - person.eye_height + 0.02, 0.075)
    albedo *= 1 - (dark + 0.05 * tile(noise_tiles()[0], person.number + 11)) * planes((0.85, 1.0, 1.0))


def paint_lines(person: Identity, albedo: Plane) -> None:
    """Paint lines on the forehead, between and next to the eyes, across the nose, and around the mouth."""
    dark = _lines_above(person) + _lines_below(person)
    albedo *= 1 - np.minimum(dark, 0.85) * planes((0.85, 1.0, 1.0))


def _lines_above(person: Identity) -> Plane:
    dark = np.zeros_like(U * V)
    for row in person.forehead_lines:
        dark += 0.85 * crease(V - row - 0.2 * U ** 2, 0.014) * bump(U, 0.24)
    dark += person.frown * crease(np.abs(U) - 0.045, 0.015) * bump(V - person.eye_height + 0.16, 0.06)
    # Crow's feet: lines of constant angle around a point between eye and temple.
    du, dv = np.abs(U) - person.eye_spacing - 0.07, V - person.eye_height
    rays = np.square(np.cos(7 * np.arctan2(dv, np.maximum(du, 1e-3)) + person.eye_slant * 9)) ** 3
    dark += person.crow_feet * rays * bump(np.hypot(du, dv) - 0.11, 0.045) * soft(du - 0.04, 0.04)
    across = crease(V - person.eye_height - 0.01, 0.014) + crease(V - person.eye_height - 0.075, 0.014)
    return dark + person.nose_lines * across * bump(U, 0.055)


def _lines_below(person: Identity) -> Plane:
    tip = person.eye_height + person.nose_length
    mouth = tip + person.mouth_gap
    dark = person.cheek_dimples * crease(np.abs(U) - person.mouth_width - 0.09, 0.016) * bump(V - mouth + 0.02, 0.05)
    fold = np.abs(U) - person.nose_width - 0.04 - person.fold_lean * np.maximum(V - tip, 0)
    dark += person.folds * crease(fold, 0.016) * soft(V - tip + 0.02, 0.06) * soft(mouth + 0.06 - V, 0.1)
    dark += person.philtrum * crease(np.abs(U) - 0.034, 0.014) * bump(V - 0.5 * (tip + mouth) - 0.005, 0.035)
    dark += person.chin_crease * crease(V - mouth - 0.135 + 0.6 * U ** 2, 0.015) * bump(U, 0.10)
    return dark + person.dimple * crease(U, 0.017) * bump(V - person.chin + 0.08, 0.05)


def paint_spots(person: Identity, seed: int, albedo: Plane) -> None:
    """Paint freckles on nose and cheeks, and moles and scars at some of their places: the same in every image."""
    rng = generator(seed, person.number, 2 ** 31)
    for _ in range(person.freckles):
        spot = window(rng.normal(0, 0.26), rng.normal(0.1, 0.1), 0.03, 0.03)
        spot.darken(albedo, np.float32(rng.uniform(0.4, 0.65)) * bump(spot.u, 0.012) * bump(spot.v, 0.012))
    for u, v in _places(rng, MOLES, person.moles):
        spot = window(u + rng.normal(0, 0.012), v + rng.normal(0, 0.012), 0.11, 0.11)
        radius = np.float32(rng.uniform(0.022, 0.032))
        spot.darken(albedo, -0.22 * bump(np.hypot(spot.u, spot.v), 0.05))
        spot.blend(albedo, 0.9 * soft(radius - np.hypot(spot.u, spot.v)), (0.04, 0.02, 0.014))
    for u, v, turn in _places(rng, SCARS, person.scars):
        line = window(u, v, 0.16, 0.16, -1 if u < 0 else 1)
        turn, bend, length = turn + rng.normal(0, 0.15), rng.uniform(-2, 2), rng.uniform(0.07, 0.11)
        along, off = line.u * np.cos(turn) + line.v * np.sin(turn), line.v * np.cos(turn) - line.u * np.sin(turn)
        line.darken(albedo, np.float32(0.85) * crease(off - bend * along ** 2, 0.014) * soft(length - np.abs(along)))


def _places(rng: np.random.Generator, table: tuple[tuple[float, ...], ...], count: int) -> list[tuple[float, ...]]:
    """`count` different rows of a table of places, each on a random side of the face."""
    chosen = rng.permutation(len(table))[:count]
    return [(float(rng.choice([-1, 1])) * table[i][0], *table[i][1:]) for i in chosen]
