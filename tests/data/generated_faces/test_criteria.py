"""Do synthetic faces prove anything about faces? A recognizer must tell people apart by what 128x128 shows and 16x16
blurs, and colour must not tell them apart; otherwise a demo on them would say nothing about super-resolution."""

import numpy as np
import pytest
import torch

from cface_basicsr.archs.a_softmax_head_arch import ASoftmaxHead
from cface_basicsr.archs.sphereface20_arch import SphereFace20
from cface_basicsr.data.generated_faces.render import render_face
from cface_basicsr.data.images.low_resolution import low_resolution
from cface_basicsr.evaluation.features import cosine_scores, extract_features, to_images
from cface_basicsr.evaluation.verification import kfold_accuracy, make_pairs
from cface_basicsr.losses.a_softmax_loss import ASoftmaxLoss
from cface_basicsr.ops.recognizer_input import recognizer_features
from cface_basicsr.ops.resize import bicubic_resize

pytestmark = pytest.mark.slow

PEOPLE = 300  # to train on, and the same number of others to test on
TRAIN_IMAGES, TEST_IMAGES = 8, 4
STEPS, BATCH = 450, 32


def draw(people, images):
    """uint8 (people * images, 128, 128, 3), person after person."""
    return np.stack([render_face(person, image) for person in people for image in range(images)])


@pytest.fixture(scope='module')
def recognizer():
    """A small SphereFace-20, trained on half of the people by A-Softmax."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # several threads sum in another order; one thread gives the same on any machine
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = train(draw(range(PEOPLE), TRAIN_IMAGES))
    yield network
    torch.set_num_threads(threads)


def train(faces):
    network = SphereFace20(input_size=(128, 128), num_feat=8, feature_length=128, blocks=(1, 1, 1, 1))
    head, loss = ASoftmaxHead(feature_length=128, num_classes=PEOPLE), ASoftmaxLoss(lambda_gamma=1.0)
    optimizer = torch.optim.Adam([*network.parameters(), *head.parameters()], 0.002)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, STEPS)
    network.to(memory_format=torch.channels_last)
    labels = torch.arange(PEOPLE).repeat_interleave(TRAIN_IMAGES)
    for rows in batches(len(labels)):
        images = to_images(faces[rows.numpy()], 'cpu')
        flip = torch.rand(BATCH, 1, 1, 1) < 0.5
        features = recognizer_features(network, torch.where(flip, images.flip(-1), images))
        head.step += 1
        optimizer.zero_grad()
        loss(features, head(features), labels[rows], head.step).backward()
        optimizer.step()
        schedule.step()
    return network


def batches(images):
    """STEPS rows of BATCH image numbers, epoch after epoch."""
    epochs = -(-STEPS * BATCH // images)
    return torch.cat([torch.randperm(images) for _ in range(epochs)])[:STEPS * BATCH].view(STEPS, BATCH)


@pytest.fixture(scope='module')
def others():
    """Faces (N, 128, 128, 3) of people whom the recognizer never saw, and balanced pairs of them in ten folds."""
    faces = draw(range(PEOPLE, 2 * PEOPLE), TEST_IMAGES)
    return faces, make_pairs(np.arange(len(faces)) // TEST_IMAGES, folds=10, pairs_per_fold=300)


def from_16_pixels(faces):
    small = torch.from_numpy(low_resolution(faces, 8)).permute(0, 3, 1, 2).float()
    return bicubic_resize(small, 128).clamp(0, 255).round().byte().permute(0, 2, 3, 1).numpy()


def accuracy(scores, pairs):
    return kfold_accuracy(scores, pairs.same, pairs.fold).mean


def test_a_recognizer_tells_unseen_people_apart_at_128_pixels_and_far_less_from_16(recognizer, others):
    faces, pairs = others
    sharp = accuracy(cosine_scores(extract_features(recognizer, faces), pairs.pairs), pairs)
    blurred = accuracy(cosine_scores(extract_features(recognizer, from_16_pixels(faces)), pairs.pairs), pairs)
    assert sharp >= 0.95
    assert blurred <= sharp - 0.10


def test_mean_colour_and_histograms_do_not_tell_people_apart(others):
    # Each verifier picks its threshold on nine folds; the best of them all counts.
    faces, pairs = others
    scores = {name: accuracy(-distance, pairs) for name, distance in colour_distances(faces, pairs.pairs).items()}
    assert max(scores.values()) < 0.70, scores


def colour_distances(faces, pairs):
    """Distances (P,) by mean colour (3), by 16-bin histograms of red, green, blue and luminance (64), and by both."""
    left, right = pairs.T
    mean = faces.reshape(len(faces), -1, 3).mean(1)
    histogram = np.stack([histograms(face) for face in faces])
    mean, both = standard(mean), np.concatenate([standard(mean), standard(histogram)], axis=1)
    difference, total = histogram[left] - histogram[right], histogram[left] + histogram[right]
    cumulative = np.cumsum(difference.reshape(len(pairs), 4, 16), axis=2)
    return {'mean colour': np.linalg.norm(mean[left] - mean[right], axis=1),
            'histogram, L1': np.abs(difference).sum(1),
            'histogram, chi-square': (difference ** 2 / np.maximum(total, 1e-9)).sum(1),
            'histogram, Hellinger': np.linalg.norm(np.sqrt(histogram[left]) - np.sqrt(histogram[right]), axis=1),
            'histogram, earth mover': np.abs(cumulative).sum((1, 2)),
            'both, Euclidean': np.linalg.norm(both[left] - both[right], axis=1),
            'both, L1': np.abs(both[left] - both[right]).sum(1),
            'both, cosine': -cosine_scores(both, pairs)}


def histograms(face):
    channels = [*face.reshape(-1, 3).T, face.reshape(-1, 3) @ (0.299, 0.587, 0.114)]
    return np.concatenate([np.histogram(channel, 16, (0, 256))[0] for channel in channels]) / face[..., 0].size


def standard(features):
    return (features - features.mean(0)) / np.maximum(features.std(0), 1e-9)
