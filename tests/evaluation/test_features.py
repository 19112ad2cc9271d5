import numpy as np
import pytest
import torch
from sklearn.metrics.pairwise import cosine_similarity
from torch import nn

from cface_basicsr.errors import UserError
from cface_basicsr.evaluation.features import cosine_scores, extract_features
from cface_basicsr.ops.recognizer_input import RecognizerInput


class MeanColour(nn.Module):
    """The three mean values of each half of the image: a feature that can be worked out by hand."""

    input_spec = RecognizerInput(8, 8, channels='bgr', mean=0, std=1)
    feature_length = 6

    def forward(self, x):
        return torch.cat([x[..., :4].mean((2, 3)), x[..., 4:].mean((2, 3))], dim=1)


@pytest.fixture
def images():
    return np.random.default_rng(0).integers(1, 256, (5, 8, 8, 3), dtype=np.uint8)


def by_hand(images):
    halves = [images[:, :, part, ::-1].mean((1, 2)) for part in (slice(0, 4), slice(4, 8))]
    return np.concatenate(halves, axis=1)


def normalized(features):
    return features / np.linalg.norm(features, axis=1, keepdims=True)


@pytest.mark.parametrize('batch_size', [1, 2, 5, 64])
def test_features_are_unit_in_order_and_follow_the_recognizers_record(images, batch_size):
    features = extract_features(MeanColour(), images, batch_size=batch_size)
    assert features.dtype == np.float32
    np.testing.assert_allclose(features, normalized(by_hand(images)), atol=1e-6)


def test_images_may_come_one_by_one(images):
    np.testing.assert_array_equal(extract_features(MeanColour(), (image for image in images), batch_size=2),
                                  extract_features(MeanColour(), images, batch_size=2))


def test_flip_appends_the_mirrored_face_before_scaling(images):
    both = np.concatenate([by_hand(images), by_hand(images[:, :, ::-1])], axis=1)
    np.testing.assert_allclose(extract_features(MeanColour(), images, flip=True), normalized(both), atol=1e-6)


def test_lengths_can_stay_as_the_network_gives_them(images):
    both = np.concatenate([by_hand(images), by_hand(images[:, :, ::-1])], axis=1)
    np.testing.assert_allclose(extract_features(MeanColour(), images, flip=True, unit_length=False), both, rtol=1e-5)


def test_the_recognizer_runs_in_eval_mode_and_is_left_as_it_was(images):
    class Modal(MeanColour):
        def forward(self, x):
            assert not self.training and not torch.is_grad_enabled()
            return super().forward(x)
    recognizer = Modal().train()
    extract_features(recognizer, images)
    assert recognizer.training


def test_bad_input_is_refused(images):
    class Broken(MeanColour):
        def forward(self, x):
            return super().forward(x) * torch.nan
    with pytest.raises(UserError, match='5 of 5 features are NaN'):
        extract_features(Broken(), images)
    with pytest.raises(UserError, match='Conv2d is not a recognizer'):
        extract_features(nn.Conv2d(3, 3, 1), images)
    with pytest.raises(UserError, match='image 0: expected uint8'):
        extract_features(MeanColour(), images / 255)
    with pytest.raises(UserError, match='no images'):
        extract_features(MeanColour(), images[:0])


def test_scores_equal_scikit_learns_cosine():
    random = np.random.default_rng(1)
    features, pairs = random.normal(size=(20, 7)).astype(np.float32), random.integers(0, 20, (90, 2))
    expected = cosine_similarity(features.astype(float))[pairs[:, 0], pairs[:, 1]]
    np.testing.assert_allclose(cosine_scores(features, pairs), expected, atol=1e-12)
    assert cosine_scores(features, np.empty((0, 2), int)).shape == (0,)


def test_scores_of_broken_features_or_foreign_pairs_are_refused():
    features = np.eye(3)
    with pytest.raises(UserError, match='row numbers from 0 to 3, but there are 3'):
        cosine_scores(features, [[0, 3]])
    features[1, 1] = np.nan
    with pytest.raises(UserError, match='first: row 1'):
        cosine_scores(features, [[0, 2]])
    with pytest.raises(UserError, match='zero'):
        cosine_scores(np.zeros((2, 4)), [[0, 1]])
