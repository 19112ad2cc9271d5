"""What is around the faces, enlarged by a network: tile by tile as in one piece, and only around the faces."""

import cv2
import numpy as np
import pytest
import torch
from torch import nn

from cface_basicsr.data.images.align import template_points
from cface_basicsr.enhancing.background import enlarged_by, open_background
from cface_basicsr.enhancing.detector import DetectedFace
from cface_basicsr.enhancing.photo import PhotoSettings, enhance_photos
from cface_basicsr.evaluation.super_resolution import super_resolve
from cface_basicsr.ops.resize import bicubic_resize
from tests.zoo.made_up_networks import write_generator

PHOTO = np.random.default_rng(0).integers(0, 256, (300, 530, 3)).astype(np.uint8)
"""Six tiles."""


def nearest(images: torch.Tensor) -> torch.Tensor:
    return images.repeat_interleave(2, 2).repeat_interleave(2, 3)


@pytest.mark.parametrize('kind', [np.uint8, np.uint16])
def test_every_pixel_of_every_tile_is_in_its_place(kind: type) -> None:
    photo = PHOTO.astype(kind) * (1 if kind == np.uint8 else 257)
    made = enlarged_by(nearest, 2, photo, 2)
    assert made.dtype == kind and (made == photo.repeat(2, 0).repeat(2, 1)).all()


@pytest.mark.parametrize('shape', [(1, 1), (256, 257), (272, 529)])
def test_a_photograph_of_any_size_is_whole(shape: tuple[int, int]) -> None:
    photo = PHOTO[:shape[0], :shape[1]]
    assert (enlarged_by(nearest, 2, photo, 2) == photo.repeat(2, 0).repeat(2, 1)).all()


def test_tiles_have_no_seams_where_a_network_sees_up_to_sixteen_pixels_around() -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 12, 33, padding=16, padding_mode='zeros'), nn.PixelShuffle(2)).eval()
    apart = np.abs(enlarged_by(network, 2, PHOTO, 2).astype(int) - super_resolve(network, PHOTO[None])[0])
    assert apart.max() <= 1


@pytest.mark.parametrize(('scale', 'factor'), [(2, 4), (4, 2)])
def test_a_network_of_another_scale_is_brought_to_the_one_that_is_asked_for(scale: int, factor: int) -> None:
    smooth = cv2.resize(PHOTO[:6, :8], (530, 300), interpolation=cv2.INTER_CUBIC)
    made = enlarged_by(lambda images: nn.functional.interpolate(images, scale_factor=scale), scale, smooth, factor)
    whole = cv2.resize(smooth.repeat(scale, 0).repeat(scale, 1), (factor * 530, factor * 300),
                       interpolation=cv2.INTER_AREA if scale > factor else cv2.INTER_CUBIC)
    assert made.shape == (factor * 300, factor * 530, 3)
    assert np.abs(made.astype(int) - whole).max() <= 1


def test_a_face_lies_on_the_background_that_the_network_made(tmp_path) -> None:
    face = DetectedFace(np.array([100, 80, 120, 100.0]), 0.9, template_points('arcface', 20) + [100, 80])
    enlarge = open_background(write_generator(tmp_path / 'any.pth', 2))
    settings = PhotoSettings(upscale=2, background=enlarge)
    ((_, done),) = enhance_photos([('it', PHOTO)], {4: lambda images: bicubic_resize(images, (128, 128))}, settings,
                                  find=lambda photo: [face])
    around = enlarge(PHOTO, 2)
    changed = (done.image != around).any(-1)
    assert changed[170:190, 210:230].all()
    changed[158:202, 198:242] = False
    assert not changed.any()
    plain = PhotoSettings(background=enlarge)
    ((_, same),) = enhance_photos([('it', PHOTO)], {4: nearest}, plain, find=lambda photo: [])
    assert (same.image == PHOTO).all()
