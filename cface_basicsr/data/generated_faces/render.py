"""Synthetic faces: parametric people under changing pose, expression, light and camera, made without any photograph.

A head is painted from the front (`head.py`), lit by the normals of its height, turned with the true parallax of that
height, placed in front of a background, and photographed with its own exposure, white balance, tone curve and noise.
Identities differ in what 128x128 pixels show and 16x16 blur: outlines of brows, eyes, nose and lips, lines, moles,
scars, edges of beard and glasses. What 16x16 still shows (haircut, shade, light, colour cast) changes from image to
image.
"""

from functools import lru_cache

import cv2
import numpy as np

from cface_basicsr.data.generated_faces.canvas import SIZE, SPAN, Plane, soft
from cface_basicsr.data.generated_faces.head import Head, paint_head
from cface_basicsr.data.generated_faces.traits import Shot, draw_identity, draw_shot, generator
from cface_basicsr.errors import UserError

PHOTO = 250
CROP = 128
_PIVOT = 0.15
_STEPS = 5


def render_face(identity: int, image: int, size: int = CROP, seed: int = 0) -> np.ndarray:
    """One synthetic face, framed like the centre crop of a photo.

    Args:
        identity: number of the identity, 0 or more.
        image: number of the image of that identity, 0 or more.
        size: height and width in pixels.
        seed: each seed gives another population.

    Returns:
        uint8 (size, size, 3) RGB; the same arguments give the same face.

    Raises:
        UserError: a number is below 0, or the size is too small.
    """
    whole = render_photo(identity, image, round(size * PHOTO / CROP), seed)
    start = (whole.shape[0] - size) // 2
    return np.ascontiguousarray(whole[start:start + size, start:start + size])


def render_photo(identity: int, image: int, size: int = PHOTO, seed: int = 0) -> np.ndarray:
    """One synthetic photo, framed like CASIA-WebFace: uint8 (size, size, 3) RGB with the face in the middle half.

    Raises:
        UserError: a number is below 0, or the size is below 16.
    """
    if size < 16:
        raise UserError(f'size of a synthetic face: expected 16 pixels or more, got {size}.')
    person, shot = draw_identity(seed, identity), draw_shot(seed, identity, image)
    rng = generator(seed, identity, 2 ** 30 + image)
    scene = _background(rng, size)
    head = paint_head(person, shot, seed)
    rotation = _rotation(shot)
    lit = _light_head(head, shot, rotation, _dapple(rng, shot))
    # Outside the head, the lit layer is black, so its light can be added to what is visible of the scene.
    where = _where_from(head, shot, rotation, size)
    front = cv2.remap(cv2.merge(list(lit * head.alpha)), *where, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT)
    alpha = cv2.remap(head.alpha, *where, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT)
    photo = front + scene * cv2.merge([1 - alpha] * 3)
    return _develop(photo, shot, rng, _brightness(lit))


def _rotation(shot: Shot) -> Plane:
    """The 3x3 matrix that converts head coordinates (right, down, towards the camera) to camera coordinates."""
    (cy, sy), (cp, sp), (cr, sr) = ((np.cos(a), np.sin(a)) for a in (shot.yaw, shot.pitch, shot.roll))
    yaw = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    pitch = np.array([[1, 0, 0], [0, cp, sp], [0, -sp, cp]])
    roll = np.array([[cr, -sr, 0], [sr, cr, 0], [0, 0, 1]])
    return (roll @ pitch @ yaw).astype(np.float32)


def _dapple(rng: np.random.Generator, shot: Shot) -> Plane:
    """(S, S) factors for the lamp: soft patches as wide as a pixel of 16x16, as of light through leaves."""
    cells = np.exp(rng.normal(0, shot.dapple, (24, 24))).astype(np.float32)
    return cv2.resize(cells, (SIZE, SIZE), interpolation=cv2.INTER_CUBIC)


def _light_head(head: Head, shot: Shot, rotation: Plane, dapple: Plane) -> Plane:
    """(3, S, S) linear light reflected by the head: Lambertian from one lamp, a soft fill light, and a little gloss."""
    slope_u = cv2.Sobel(head.height, cv2.CV_32F, 1, 0, ksize=3, scale=SIZE / (16 * SPAN))
    slope_v = cv2.Sobel(head.height, cv2.CV_32F, 0, 1, ksize=3, scale=SIZE / (16 * SPAN))
    length = 1 / np.sqrt(1 + slope_u ** 2 + slope_v ** 2)
    lamp = rotation.T @ np.asarray(shot.light, np.float32)
    facing = (lamp[2] - slope_u * lamp[0] - slope_v * lamp[1]) * length
    diffuse = shot.light_strength * np.clip(0.88 * facing + 0.12, 0, None) * dapple
    half = lamp + rotation.T[:, 2]
    half /= np.linalg.norm(half)
    shine = np.clip((half[2] - slope_u * half[0] - slope_v * half[1]) * length, 0, None)
    for _ in range(4):
        shine = shine * shine  # the 16th power; np.power is ten times slower
    fill = shot.ambient * (0.55 + 0.45 * length)
    lamp_colour, fill_colour = (np.asarray(c, np.float32)[:, None, None] for c in (shot.light_colour, shot.fill_colour))
    gloss = 0.16 * shot.light_strength * shine * head.gloss
    return head.albedo * (diffuse * lamp_colour + fill * fill_colour) + gloss * lamp_colour


def _where_from(head: Head, shot: Shot, rotation: Plane, size: int) -> tuple[Plane, Plane]:
    """For each pixel of the photo, the column and row of the canvas that it shows: two (size, size) maps.

    The surface point (u, v, h(u, v)) is seen at rotation @ (u, v, h). This is solved for (u, v) by fixed-point
    iteration on a grid with a third of the photo's resolution, with a height smooth enough for convergence.
    """
    coarse = max(size // 3, 16)
    height = cv2.GaussianBlur(head.height, (0, 0), 3.0)
    height = cv2.resize(height, (SIZE // 2, SIZE // 2), interpolation=cv2.INTER_AREA)
    half_side = PHOTO / CROP
    axis = ((np.arange(coarse, dtype=np.float32) + 0.5) / coarse * 2 - 1) * half_side
    x, y = np.meshgrid((axis - shot.shift[0]) / shot.zoom, (axis - shot.shift[1]) / shot.zoom)
    inverse = np.linalg.inv(rotation[:2, :2])
    u0, v0 = inverse[0, 0] * x + inverse[0, 1] * y, inverse[1, 0] * x + inverse[1, 1] * y
    drift = inverse @ rotation[:2, 2]
    u, v = u0, v0
    for _ in range(_STEPS):
        h = cv2.remap(height, *_to_canvas(u, v, SIZE // 2), cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE) - _PIVOT
        u, v = u0 - drift[0] * h, v0 - drift[1] * h
    columns, rows = _to_canvas(u, v, SIZE)
    return tuple(cv2.resize(m, (size, size), interpolation=cv2.INTER_LINEAR) for m in (columns, rows))


def _to_canvas(u: Plane, v: Plane, size: int) -> tuple[Plane, Plane]:
    scale = np.float32(size / (2 * SPAN))
    return ((u + np.float32(SPAN)) * scale - np.float32(0.5)).astype(np.float32), \
        ((v + np.float32(SPAN)) * scale - np.float32(0.5)).astype(np.float32)


def _background(rng: np.random.Generator, size: int) -> Plane:
    """(size, size, 3) linear light: blurred blobs of random colour, and clothes below."""
    base = rng.uniform(0.02, 0.7) * rng.uniform(0.5, 1.0, 3)
    cells = int(rng.integers(2, 9))
    tone, tint = rng.normal(0, rng.uniform(0.1, 0.9), (cells, cells, 1)), rng.normal(0, 0.15, (cells, cells, 3))
    blobs = base * np.exp(tone + tint)
    quarter = cv2.resize(blobs.astype(np.float32), (size // 4, size // 4), interpolation=cv2.INTER_CUBIC)
    scene = cv2.resize(np.maximum(quarter, 0), (size, size), interpolation=cv2.INTER_LINEAR)
    axis = ((np.arange(size, dtype=np.float32) + 0.5) / size * 2 - 1) * PHOTO / CROP
    top, fall = rng.uniform(0.95, 1.15), rng.uniform(0.15, 0.35)
    cloth = (rng.uniform(0.01, 0.6) * rng.uniform(0.3, 1.0, 3)).astype(np.float32)
    first = int(np.searchsorted(axis, top - 0.05))
    below = scene[first:]
    below += soft(axis[first:, None] - top - fall * axis[None] ** 2, 0.04)[..., None] * (cloth - below)
    return scene


@lru_cache(maxsize=1)
def _sensor_noise() -> Plane:
    """(600, 600, 3) standard normal numbers; each photo uses a randomly rotated part of them."""
    return np.random.default_rng(7).standard_normal((600, 600, 3), dtype=np.float32)


def _noise(rng: np.random.Generator, size: int) -> Plane:
    """(size, size, 3) noise of a photo: a random part of the fixed field, or new numbers if that is too small."""
    if size > 400:
        return rng.standard_normal((size, size, 3), dtype=np.float32)
    row, column = rng.integers(0, 600 - size, 2)
    return np.rot90(_sensor_noise()[row:row + size, column:column + size], int(rng.integers(4)))


def _brightness(lit: Plane) -> float:
    """Mean light in the middle of the face, as an automatic exposure would measure it."""
    middle = slice(SIZE * 3 // 10, SIZE * 7 // 10)
    return float(lit[:, middle, middle].mean())


def _develop(photo: Plane, shot: Shot, rng: np.random.Generator, measured: float) -> np.ndarray:
    """From linear light to an 8-bit image: exposure, white balance, saturation, tone curve, blur and noise."""
    gains = np.asarray(shot.white_balance, np.float32) * np.float32(0.24 * shot.exposure / max(measured, 1e-4))
    keep = np.float32(shot.saturation)
    mix = (keep * np.eye(3, dtype=np.float32) + (1 - keep) / 3) * gains
    photo = cv2.pow(np.clip(cv2.transform(photo, mix), 0, 1), 1 / shot.gamma)
    if shot.blur > 0.2:
        photo = cv2.GaussianBlur(photo, (0, 0), shot.blur * photo.shape[0] / PHOTO)
    photo += _noise(rng, photo.shape[0]) * np.float32(shot.noise)
    return cv2.convertScaleAbs(np.maximum(photo, 0, out=photo), alpha=255)
