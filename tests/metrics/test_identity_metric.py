import numpy as np
import pytest
import torch
from basicsr.metrics import calculate_metric

import cface_basicsr.register  # noqa: F401  hands the metric to BasicSR
from cface_basicsr.archs.sphereface20_arch import SphereFace20
from cface_basicsr.errors import UserError
from cface_basicsr.files.network_file import save_atomically
from cface_basicsr.metrics import identity_metric
from cface_basicsr.metrics.identity_metric import calculate_identity_distance
from cface_basicsr.ops.recognizer_input import recognizer_features

OPTIONS = {'type': 'SphereFace20', 'input_size': [32, 32], 'num_feat': 4, 'feature_length': 8}


@pytest.fixture
def recognizer(tmp_path):
    """A small recognizer and its file."""
    torch.manual_seed(0)
    network = SphereFace20(**{key: value for key, value in OPTIONS.items() if key != 'type'}).eval()
    save_atomically({'params': network.state_dict(), 'network': OPTIONS}, tmp_path / 'net_r.pth')
    return network, str(tmp_path / 'net_r.pth')


@pytest.fixture
def pair():
    return np.random.default_rng(0).integers(0, 256, (2, 40, 40, 3), dtype=np.uint8)


def by_hand(network, pair):
    rgb = torch.from_numpy(pair[..., ::-1].copy()).permute(0, 3, 1, 2) / 255
    with torch.no_grad():
        a, b = (phi / phi.norm() for phi in recognizer_features(network, rgb))
    return ((a - b) ** 2).sum().item()


def test_basicsr_finds_it_and_it_is_the_distance_of_unit_features(recognizer, pair):
    network, path = recognizer
    options = {'type': 'calculate_identity_distance', 'network_r': path, 'better': 'lower'}
    found = calculate_metric({'img': pair[0], 'img2': pair[1]}, options)
    assert found == pytest.approx(by_hand(network, pair), abs=1e-6) and found > 1e-4
    assert calculate_metric({'img': pair[0], 'img2': pair[0]}, options) == 0


def test_options_and_weights_do_the_same_as_a_file_that_names_its_network(recognizer, pair):
    _, path = recognizer
    by_options = calculate_identity_distance(*pair, network_r=OPTIONS, weights=path)
    assert by_options == calculate_identity_distance(*pair, network_r=path)


def test_the_network_is_built_once_until_its_file_changes(recognizer, pair, monkeypatch, tmp_path):
    network, path = recognizer
    built = []
    build = identity_metric.build_network_from_file
    monkeypatch.setattr(identity_metric, 'build_network_from_file', lambda file: built.append(file) or build(file))
    first = [calculate_identity_distance(*pair, network_r=path) for _ in range(3)]
    assert len(built) == 1 and len(set(first)) == 1
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.mul_(1.3).add_(.01)
    save_atomically({'params': network.state_dict(), 'network': OPTIONS}, path)
    assert calculate_identity_distance(*pair, network_r=path) == pytest.approx(by_hand(network, pair), abs=1e-6)
    assert len(built) == 2


def test_bad_input_is_refused(recognizer, pair, tmp_path):
    _, path = recognizer
    with pytest.raises(UserError, match='Random weights measure nothing'):
        calculate_identity_distance(*pair, network_r=OPTIONS)
    with pytest.raises(UserError, match='better when lower'):
        calculate_identity_distance(*pair, network_r=path, better='higher')
    with pytest.raises(UserError, match="did you mean 'cosine'"):
        calculate_identity_distance(*pair, network_r=path, distance='cosin')
    with pytest.raises(UserError, match='expected uint8'):
        calculate_identity_distance(pair[0] / 255, pair[1], network_r=path)
    with pytest.raises(UserError, match='is missing'):
        calculate_identity_distance(*pair, network_r=str(tmp_path / 'none.pth'))
    save_atomically({'params': {}, 'network': {'type': 'BicubicUpsampler', 'scale': 2}}, tmp_path / 'bicubic.pth')
    with pytest.raises(UserError, match='is not a recognizer'):
        calculate_identity_distance(*pair, network_r=str(tmp_path / 'bicubic.pth'))
