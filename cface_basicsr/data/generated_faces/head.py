"""Paints a synthetic head from the front, as albedo, height and coverage; `render.py` turns, lights and photographs it.

Marks and lines of the skin are in `marks.py`, coordinates and masks in `canvas.py`.
"""

from functools import lru_cache
from typing import NamedTuple

import cv2
import numpy as np

from cface_basicsr.data.generated_faces.canvas import (
    DARK,
    EDGE,
    SIZE,
    Plane,
    U,
    V,
    bump,
    crease,
    ease,
    noise_tiles,
    planes,
    soft,
    tile,
    window,
)
from cface_basicsr.data.generated_faces.marks import paint_complexion, paint_lines, paint_spots
from cface_basicsr.data.generated_faces.traits import Hairstyle, Identity, Shot, draw_hairstyle


class Head(NamedTuple):
    """A head seen from the front.

    Attributes:
        albedo: (3, S, S) linear RGB.
        height: (S, S) face units towards the camera.
        alpha: (S, S) coverage in [0, 1].
        gloss: (S, S) in [0, 1].
    """

    albedo: Plane
    height: Plane
    alpha: Plane
    gloss: Plane


class _Base(NamedTuple):
    """What no expression changes: the bare head, its outline, and the layers above mouth and eyes."""

    albedo: Plane
    height: Plane
    outline: Plane
    alpha: Plane
    beard: Plane
    stubble: Plane
    glasses: Plane


class _Hair(NamedTuple):
    """Hair: its coverage, its shadow on the skin below and its thickness (S, S), and its colour (3, S, S)."""

    mask: Plane
    shadow: Plane
    bulge: Plane
    colour: Plane


def _reach(person: Identity) -> Plane:
    """(S, S) radius relative to the head's outline: less than 1 inside, 1 on it."""
    width = person.head_width + person.cheekbone * bump(V - 0.12, 0.22)
    across = np.abs(U) / width
    down = np.where(V < 0, np.abs(V), np.abs(V) / person.chin)
    power = np.where(V < 0, 2.0, person.jaw_power).astype(np.float32)
    return np.sqrt(across ** 2.2 + down ** power).astype(np.float32)


def _height(person: Identity) -> Plane:
    """(S, S) height of the bare head: a dome, with nose, brow ridge, sockets, cheeks, lips and chin."""
    dome = 0.55 * (1 - 0.85 * (U / person.head_width) ** 2 - 0.45 * (V / 1.05) ** 2)
    height = np.log1p(np.exp((dome + 0.12) * 9)) / 9 - 0.12
    tip = person.eye_height + person.nose_length
    mouth = tip + person.mouth_gap
    rise = ease((V - person.eye_height + 0.1) / person.nose_length) * soft(tip - V, 0.1)
    bridge = bump(U, person.nose_bridge) * rise
    height += 0.36 * person.nose_tip * bridge
    height += 0.42 * person.nose_tip * bump(U, 0.085) * bump(V - tip + 0.05, 0.085)
    for side in (-1, 1):
        height += 0.045 * bump(U - side * person.nose_width * 0.72, 0.05) * bump(V - tip + 0.03, 0.055)
        height -= 0.055 * bump(U - side * person.eye_spacing * 0.85, 0.13) * bump(V - person.eye_height, 0.09)
        height += 0.03 * bump(U - side * person.eye_spacing, 0.16) * bump(V - person.eye_height + person.brow_gap, 0.05)
        height += (0.05 + person.cheekbone) * bump(U - side * 0.36, 0.17) * bump(V - 0.13, 0.14)
    height += 0.035 * bump(U, person.mouth_width * 0.8) * bump(V - mouth + 0.02, 0.03)
    height += 0.045 * bump(U, person.mouth_width * 0.7) * bump(V - mouth - 0.055, 0.035)
    height -= 0.03 * bump(U, 0.16) * bump(V - mouth - 0.13, 0.04)
    height += 0.06 * bump(U, 0.13) * bump(V - person.chin + 0.1, 0.075)
    return height.astype(np.float32)


def _hair_mask(person: Identity, style: Hairstyle, outline: Plane) -> Plane:
    """(S, S) coverage by hair: on top of the head, at its sides, and down to the length of the hair."""
    locks = tile(noise_tiles()[1], style.number + 8)[:1]
    wave = 0.04 * person.curl * tile(noise_tiles()[2], style.number + 5)
    volume = style.volume
    wide = person.head_width + volume
    outer = np.where(V < 0.0, (1 - np.sqrt((U / wide) ** 2 + ((V + 0.02) / (1 + volume)) ** 2)) * wide,
                     wide + 0.04 * V - np.abs(U)) + wave
    side = (np.abs(U) / person.head_width) ** 4
    line = person.hairline + person.widow_peak * bump(U, 0.10) + 0.34 * side + 0.008 * locks
    if style.fringe:
        line = person.hairline + style.fringe + (style.fringe_slope * U + 0.1 * side + 0.025 * locks)
    sides = np.where(V > person.chin - 0.2, np.minimum(outline - 0.95, np.abs(U) - 0.36), outline - 0.95)
    ends = style.length + wave + 0.03 * locks - V
    return soft(np.minimum(np.minimum(outer, ends), np.maximum(line - V, sides)), 0.03)


@lru_cache(maxsize=16)
def _strands(style: Hairstyle, curl: float) -> Plane:
    """(3, S, S) factors around 1 for the light and shade of strands, which lean away from the parting."""
    lean = (U * (0.5 + style.fringe_slope) * 60 * ease(V + 1.2)).astype(np.float32)
    columns = np.broadcast_to(np.arange(SIZE, dtype=np.float32)[None], (SIZE, SIZE)) + 0 * lean
    rows = np.broadcast_to(np.arange(SIZE, dtype=np.float32)[:, None], (SIZE, SIZE)) + lean + 40
    columns = columns + 5 * curl * np.sin(rows / 7).astype(np.float32)
    start = style.number * 53 % SIZE
    strands = cv2.remap(noise_tiles()[1][:, start:], columns + 8, rows, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)
    return np.exp(0.38 * strands)


def _beard_mask(person: Identity, outline: Plane) -> Plane:
    """(S, S) coverage by beard, moustache and sideburns, with the grain of hairs."""
    tip = person.eye_height + person.nose_length
    mouth = tip + person.mouth_gap
    across = np.abs(U) / person.head_width
    inside = soft((1.02 - outline) * 0.6, 0.05)
    cheeks = soft(V - (mouth + 0.04 - 0.42 * across ** 1.5), 0.06) * inside
    lips = soft(0.9 - np.hypot(U / (person.mouth_width * 1.02), (V - mouth) / 0.085), 0.3)
    droop = person.moustache_droop * np.maximum(np.abs(U) - 0.1, 0)
    moustache = soft(np.minimum(person.mouth_width * person.moustache_width - np.abs(U),
                                person.moustache_thickness - np.abs(V - (mouth - 0.085 + droop))), 0.03)
    wide = person.mouth_width * 0.85 * person.goatee_width
    goatee = soft((1 - np.hypot(U / wide, (V - person.chin + 0.02) / 0.27)) * 0.2, 0.03) * inside
    patch = soft(np.minimum(0.035 - np.abs(U), 0.045 - np.abs(V - mouth - 0.135)), 0.025)
    burns = soft(np.minimum(across - 0.86, person.sideburn - V), 0.04) * soft(V + 0.45, 0.1) * inside
    grain = np.clip(0.9 + 0.13 * tile(noise_tiles()[0], person.number), 0, 1.15)
    full = person.beard_density * person.bearded
    mask = np.maximum.reduce([full * cheeks, person.goatee * goatee, person.soul_patch * patch, 0.75 * burns])
    return np.clip(np.maximum(mask * (1 - lips), person.moustache * moustache) * grain, 0, 1).astype(np.float32)


def _stubble_mask(person: Identity, outline: Plane) -> Plane:
    """(S, S) share of the skin where stubble grows: a soft shade around the mouth, in some images only."""
    mouth = person.eye_height + person.nose_length + person.mouth_gap
    grows = soft(V - (mouth - 0.1 - 0.1 * np.abs(U)), 0.15) * soft((1.02 - outline) * 0.6, 0.08)
    grain = np.clip(0.9 + 0.13 * tile(noise_tiles()[0], person.number), 0, 1)
    return (person.stubble * grows * grain).astype(np.float32)


def _paler_around(dark: Plane) -> Plane:
    """(S, S) factor that brightens the skin near a beard or a frame, as if shaven or lit through glass.

    The mean shade of a patch as large as a pixel of 16x16 stays the same, so beard and glasses show only in their
    edges.
    """
    return 1 + np.minimum(0.7 * _blurred(dark, 8), 0.4)


def _glasses_mask(person: Identity) -> Plane:
    """(S, S) coverage by the frame of glasses: two rims, the bridge and the temples."""
    if not person.glasses:
        return np.zeros((SIZE, SIZE), np.float32)
    centre, line = person.eye_height + 0.025, person.glasses_line
    x, y = np.abs(U) - person.eye_spacing * 1.03, V - centre
    wide, high, power = person.glasses_width, person.glasses_height, person.glasses_power
    radius = (np.abs(x / wide) ** power + np.abs(y / high) ** power) ** (1 / power)
    rim = line * 0.5 - np.abs(radius - 1) * min(wide, high)
    rim = np.minimum(rim, 0.02 - y) if person.half_rim else rim
    gap = person.eye_spacing * 1.03 - wide
    bridge = np.minimum(line * 0.55 - np.abs(y + 0.03 + 0.12 * (np.abs(U) - 0.05)), gap - np.abs(U))
    temple = np.minimum(line * 0.5 - np.abs(y + 0.04), np.minimum(x - wide, person.head_width + 0.02 - np.abs(U)))
    return soft(np.maximum.reduce([rim, bridge, temple]), EDGE)


def _nose(person: Identity, albedo: Plane) -> None:
    """Paint nostrils, wings and the shade under the tip."""
    tip = person.eye_height + person.nose_length
    w = window(0.0, tip, 0.3, 0.16)
    u, v, wide = np.abs(w.u), w.v, person.nose_width
    w.darken(albedo, 0.3 * bump(u, wide) * bump(v - 0.045, 0.025))
    hole = 1 - np.hypot((u - wide * 0.48) / (wide * 0.27), (v - 0.008 + 0.1 * (u - wide * 0.48)) / 0.022)
    w.blend(albedo, person.nostril * soft(hole * 0.03, 0.03), DARK * 2)
    wing = np.abs(np.hypot((u - wide * 0.62) / 0.9, v + 0.022) - wide * 0.40)
    w.darken(albedo, 0.42 * bump(wing, 0.013) * soft(u - wide * 0.68, 0.03) * soft(0.05 - np.abs(v + 0.02), 0.05))


def _ears_and_neck(person: Identity, albedo: Plane, outline: Plane) -> Plane:
    """Shade ears and neck behind the head; returns their coverage (S, S)."""
    ear = soft((1 - np.hypot((np.abs(U) - person.head_width - 0.01) / (0.065 * person.ear), (V + 0.02) / 0.17)) * 0.08)
    sides = 0.37 - np.abs(U) + 0.3 * np.maximum(V - 0.95, 0)
    neck = soft(np.minimum(sides, 1.25 - 0.5 * U ** 2 - V), 0.03) * soft(V - 0.1)
    below = np.clip((outline - 1.0) * 2.0, 0, 1)
    shade = 0.62 * neck * np.exp(-3.0 * below) + 0.3 * ear
    albedo *= 1 - shade * soft((outline - 1.0) * 0.6)
    return np.maximum(ear, neck)


@lru_cache(maxsize=8)
def _base(person: Identity, seed: int) -> _Base:
    outline = _reach(person)
    face = soft((1 - outline) * person.head_width, 0.03)
    albedo = np.empty((3, SIZE, SIZE), np.float32)
    albedo[:] = planes(person.skin)
    paint_complexion(person, albedo)
    paint_lines(person, albedo)
    _nose(person, albedo)
    paint_spots(person, seed, albedo)
    rest = _ears_and_neck(person, albedo, outline)
    beard, glasses = _beard_mask(person, outline), _glasses_mask(person)
    albedo *= _paler_around(beard + glasses)
    stubble = _stubble_mask(person, outline)
    return _Base(albedo, _height(person), outline, np.maximum(face, rest), beard, stubble, glasses)


@lru_cache(maxsize=16)
def _hair(person: Identity, seed: int, style: int, dyed: bool) -> _Hair:
    look = draw_hairstyle(seed, style)
    mask = _hair_mask(person, look, _base(person, seed).outline)
    colour = planes(look.colour if dyed else person.hair) * _strands(look, person.curl)
    return _Hair(mask, 1 - 0.5 * _blurred(mask, 9), 0.1 * _blurred(mask, 5), colour)


def _blurred(mask: Plane, sigma: float) -> Plane:
    """A Gaussian blur with a sigma of 5 pixels or more, computed on a quarter of the rows and columns."""
    small = cv2.resize(mask, (SIZE // 4, SIZE // 4), interpolation=cv2.INTER_AREA)
    return cv2.resize(cv2.GaussianBlur(small, (0, 0), sigma / 4), (SIZE, SIZE), interpolation=cv2.INTER_LINEAR)


def _eye(person: Identity, shot: Shot, side: int, albedo: Plane) -> None:
    """Paint one eye: crease, bag, white, iris, pupil, glint and lashes. u increases from the nose outwards."""
    w = window(side * person.eye_spacing, person.eye_height, 0.24, 0.2, side)
    v = w.v + person.eye_slant * w.u
    t = np.clip(w.u / person.eye_width, -1, 1)
    lid = 1 - np.abs(t) ** person.eye_roundness
    opening = person.eye_open * shot.eye_open * (1 - 0.25 * min(shot.smile, 1.0))
    upper, lower = -opening * lid * (1 - 0.2 * t), 0.72 * opening * lid * (1 + 0.25 * t)
    w.darken(albedo, shot.eye_shadow * bump(v + 0.05, 0.06) * bump(w.u, 0.12))
    fade = soft(1.12 - np.abs(w.u) / person.eye_width, 0.3)
    w.darken(albedo, person.crease * 0.6 * crease(v - upper + 0.034, 0.011) * fade)
    w.darken(albedo, person.eye_bag * crease(v - lower - 0.045, 0.013) * soft(1 - np.abs(w.u) / person.eye_width, 0.4))
    inside = soft(np.minimum(np.minimum(v - upper, lower - v), (person.eye_width - np.abs(w.u)) * 0.6))
    w.blend(albedo, inside, (0.50, 0.47, 0.45))
    w.darken(albedo, 0.45 * inside * bump(v - upper, 0.03))
    # Both eyes look in the same direction, although u is mirrored on one side.
    du, dv = w.u - side * 0.035 * shot.gaze[0], w.v - 0.02 * shot.gaze[1]
    radius = np.hypot(du, dv)
    iris = inside * soft(person.iris_radius - radius)
    ring = planes(person.iris) * (1.35 - 1.1 * ease(radius / person.iris_radius - 0.55))
    part = albedo[:, w.rows, w.columns]
    part += iris * (ring - part)
    w.blend(albedo, inside * soft(0.42 * person.iris_radius - radius), DARK)
    glint = soft(0.011 - np.hypot(du - side * 0.018 * np.sign(shot.light[0]), dv + 0.018))
    w.blend(albedo, 0.9 * inside * glint, (1.4, 1.4, 1.4))
    lash = soft(person.lash * (0.55 + 0.45 * t) - np.abs(v - upper + 0.3 * person.lash))
    w.blend(albedo, 0.9 * lash * soft(1.1 * person.eye_width - np.abs(w.u)), DARK)
    w.darken(albedo, (0.3 + person.lower_lash) * 0.75 * bump(v - lower, 0.012) * soft(person.eye_width - np.abs(w.u)))


def _brow(person: Identity, shot: Shot, side: int, albedo: Plane) -> None:
    """Paint one brow: an arched band of hairs that tapers outwards."""
    centre = person.eye_height - person.brow_gap - shot.brow_raise
    w = window(side * person.eye_spacing, centre, 0.36, 0.2, side)
    start, end = person.brow_inner - person.eye_spacing, person.brow_reach
    t = (w.u - start) / (end - start)
    arch = -person.brow_arch * (1 - (2 * t - 1.2) ** 2) + person.brow_slope * -w.u
    thick = person.brow_thickness * (1.1 - 0.65 * np.clip(t, 0, 1) ** 1.5)
    band = soft(np.minimum(thick - np.abs(w.v - arch), np.minimum(w.u - start, end - w.u)), 0.024)
    hairs = tile(noise_tiles()[0], person.number + 3)[w.rows, w.columns]
    mask = person.brow_density * band * np.clip(0.88 + 0.22 * hairs, 0, 1)
    if person.brow_slit > 0:
        mask *= 1 - 0.85 * bump(t - person.brow_slit + 2 * w.v, 0.06)
    w.blend(albedo, mask, 0.5 * np.asarray(person.hair, np.float32) + 0.006)


def _mouth(person: Identity, shot: Shot, albedo: Plane) -> None:
    """Paint the lips around a line that a smile bends and widens; an open mouth shows teeth."""
    smile, gap = min(shot.smile, 1.2), 0.055 * min(shot.mouth_open, 1.2)
    centre = person.eye_height + person.nose_length + person.mouth_gap
    w = window(0.0, centre, 0.42, 0.26)
    wide = person.mouth_width * (1 + 0.16 * smile)
    t = np.clip(w.u / wide, -1, 1)
    arc = 1 - t * t
    v = w.v - person.mouth_tilt * t - 0.045 * smile * (arc - 0.6)
    bow = 1 - person.lip_bow * bump(t, 0.16) + 0.25 * person.lip_bow * bump(np.abs(t) - 0.3, 0.2)
    upper = -person.upper_lip * (1 - 0.25 * smile) * arc ** 0.8 * bow - gap * arc
    lower = person.lower_lip * (1 - 0.15 * smile) * arc ** 0.7 + gap * arc
    ends = (wide - np.abs(w.u)) * 0.5
    red = np.asarray(person.skin, np.float32) * np.array([0.92, 0.50, 0.52], np.float32)
    skin = np.asarray(person.skin, np.float32) * 0.85
    lips = soft(np.minimum(np.minimum(v - upper, lower - v), ends), 0.026)
    tone = skin + (0.35 + 0.65 * person.lip_red) * (red - skin)
    tone *= 1 - shot.lipstick * np.array([0.35, 0.65, 0.55], np.float32)
    w.blend(albedo, 0.85 * lips, tone)
    w.darken(albedo, 0.25 * lips * soft(-v, 0.03))
    w.darken(albedo, 0.35 * bump(v - lower - 0.03, 0.02) * bump(w.u, wide * 0.55))
    if gap > 0.004:
        hole = soft(np.minimum(gap * arc - np.abs(v), ends))
        w.blend(albedo, hole, (0.05, 0.012, 0.012))
        w.blend(albedo, hole * soft(np.minimum(0.25 * gap - v, 0.75 * wide - np.abs(w.u)), 0.03), (0.55, 0.53, 0.48))
    else:
        w.darken(albedo, 0.75 * bump(v, 0.009) * soft(wide * 1.03 - np.abs(w.u), 0.05))
    corners = bump(np.abs(w.u) - wide * 1.03, 0.018) * bump(v, 0.03)
    w.darken(albedo, (0.25 + 0.2 * smile) * corners)


def _blush(shot: Shot, albedo: Plane) -> None:
    """Make the cheeks redder or paler."""
    for side in (-1, 1):
        w = window(side * 0.34, 0.14, 0.3, 0.25)
        albedo[:, w.rows, w.columns] *= 1 - shot.blush * bump(w.u, 0.14) * bump(w.v, 0.11) * planes((0.2, 1.0, 0.9))


def paint_head(person: Identity, shot: Shot, seed: int) -> Head:
    """The head of a person with the expression of a shot, seen from the front and unlit."""
    base, hair = _base(person, seed), _hair(person, seed, shot.style, shot.dyed)
    beard, alpha = base.beard * np.float32(shot.beard), np.maximum(base.alpha, hair.mask)
    albedo = base.albedo * hair.shadow
    _mouth(person, shot, albedo)
    albedo *= np.float32(shot.tan)
    _blush(shot, albedo)
    low = albedo[:, SIZE // 3:]
    low += shot.stubble * base.stubble[SIZE // 3:] * (planes(person.hair) * 0.6 + 0.02 - low)
    low += beard[SIZE // 3:] * (planes(person.hair) * 0.6 + 0.004 - low)
    for side in (-1, 1):
        _eye(person, shot, side, albedo)
        _brow(person, shot, side, albedo)
    # Where there is only hair, its colour must not mix with the skin below, or a rim would show.
    albedo += hair.mask / np.maximum(alpha, 1e-3) * (hair.colour - albedo)
    if person.glasses:
        band = slice(SIZE // 3, SIZE * 3 // 5)
        albedo[:, band] += base.glasses[band] * (planes(person.frame) - albedo[:, band])
    return Head(albedo, base.height + hair.bulge, alpha, (0.5 - 0.4 * beard) * (1 - hair.mask))
