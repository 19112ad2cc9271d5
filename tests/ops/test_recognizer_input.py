import pytest
import torch
from torch import nn

from cface_basicsr.errors import UserError
from cface_basicsr.ops.recognizer_input import (
    RecognizerInput,
    centre_crop_to_aspect,
    recognizer_features,
    to_recognizer,
    unit,
)


def test_a_square_face_gives_its_middle_columns_to_a_112x96_recognizer():
    x = torch.arange(128.0).expand(1, 3, 128, 128)
    crop = centre_crop_to_aspect(x, 112, 96)
    assert crop.shape == (1, 3, 128, 110)
    assert crop[0, 0, 0, 0] == 9 and crop[0, 0, 0, -1] == 118


def test_a_tall_photo_gives_its_middle_rows_to_a_square_recognizer():
    assert centre_crop_to_aspect(torch.rand(1, 3, 218, 178), 128, 128).shape == (1, 3, 178, 178)


def test_values_arrive_in_the_recognizers_range_and_colour_order():
    red = torch.zeros(1, 3, 20, 20)
    red[:, 0] = 1.0
    rgb = to_recognizer(red, RecognizerInput(20, 20))
    bgr = to_recognizer(red, RecognizerInput(20, 20, channels='bgr', mean=0.0, std=1.0))
    assert rgb[0, :, 0, 0].tolist() == [127.5 / 128, -127.5 / 128, -127.5 / 128]
    assert bgr[0, :, 0, 0].tolist() == [0, 0, 255]


def test_each_channel_may_have_a_mean_of_its_own_in_the_recognizers_order():
    fed = to_recognizer(torch.full((1, 3, 8, 8), 1.0), RecognizerInput(8, 8, 'bgr', (255.0, 254.0, 253.0), 1.0))
    assert fed[0, :, 0, 0].tolist() == [0, 1, 2]
    assert RecognizerInput(8, 8, mean=[1.0, 2.0, 3.0]) == RecognizerInput(8, 8, mean=(1.0, 2.0, 3.0))


def test_super_resolved_faces_are_fed_unclamped():
    assert to_recognizer(torch.full((1, 3, 16, 16), 1.5), RecognizerInput(16, 16)).max() > 1.9


def test_the_gradient_reaches_the_image_through_crop_and_resize():
    x = torch.rand(1, 3, 18, 18, dtype=torch.float64, requires_grad=True)
    input_spec = RecognizerInput(8, 6, channels='bgr')
    assert torch.autograd.gradcheck(lambda x: to_recognizer(x, input_spec), x)


def test_a_wrapped_recognizer_is_fed_by_the_record_of_the_bare_one():
    bare = nn.Flatten()
    bare.input_spec = RecognizerInput(4, 4)
    x = torch.rand(2, 3, 8, 8)
    features = recognizer_features(nn.Sequential(bare), x, bare)
    torch.testing.assert_close(features, to_recognizer(x, bare.input_spec).flatten(1))


def test_unit_features_have_length_one():
    torch.testing.assert_close(unit(torch.tensor([[3.0, 4.0]])), torch.tensor([[0.6, 0.8]]))


def test_grey_images_are_refused():
    with pytest.raises(ValueError, match=r'expected \(B, 3, H, W\) RGB images, got \(1, 1, 8, 8\)'):
        to_recognizer(torch.rand(1, 1, 8, 8), RecognizerInput(8, 8))


@pytest.mark.parametrize(('setting', 'message'), [
    ({'channels': 'grb'}, "channels of a recognizer: expected one of rgb, bgr, got 'grb'"),
    ({'template': 'centre'}, "template of a recognizer: expected one of center, .*dlib, got 'centre'"),
    ({'mean': (1.0, 2.0)}, 'mean of a recognizer: expected one number, or one for each of three channels, got 2'),
    ({'std': 0.0}, 'std of a recognizer: expected a number above 0'),
])
def test_a_record_that_makes_no_sense_is_refused(setting, message):
    with pytest.raises(UserError, match=message):
        RecognizerInput(8, 8, **setting)
