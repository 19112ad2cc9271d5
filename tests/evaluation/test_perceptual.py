"""LPIPS and DISTS on made-up weights against their formulas, and what is said where a file is missing."""

from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional

from cface_basicsr.archs.sphereface20_arch import SphereFace20
from cface_basicsr.errors import UserError
from cface_basicsr.evaluation import perceptual
from cface_basicsr.evaluation.perceptual import PerceptualDistance, backbone_file
from cface_basicsr.files.manifest import file_hash
from cface_basicsr.measuring import feature_cache
from cface_basicsr.measuring.evaluate import evaluate_request
from cface_basicsr.measuring.measure import FaceSet
from cface_basicsr.measuring.protocols import check_request
from cface_basicsr.measuring.request import Request
from cface_basicsr.metrics.perceptual_metric import calculate_perceptual_distance
from cface_basicsr.report.tables import evaluation_table
from cface_basicsr.runtime import installed_version
from tests.small_data import write_small_data
from tests.tiny_stages import write_recognizer

FILES = {'lpips': 'alexnet-owt-7be5be79.pth', 'dists': 'vgg16-397923af.pth'}
needs_torchmetrics = pytest.mark.skipif(not find_spec('torchmetrics'), reason='the package torchmetrics is not there')


def made_up(kind: str) -> dict[str, Tensor]:
    """Random convolutions; the classifier, which nobody asks, takes no room in the file."""
    from torchvision.models import alexnet, vgg16
    with torch.device('meta'):
        shapes = {name: value.shape for name, value in (alexnet if kind == 'lpips' else vgg16)().state_dict().items()}
    random = torch.Generator().manual_seed(1)
    return {name: torch.randn(shape, generator=random) / shape[1:].numel() ** 0.5 if name.startswith('features')
            else torch.zeros(()).expand(shape) for name, shape in shapes.items()}


@pytest.fixture(scope='module')
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp('backbones')
    for kind, name in FILES.items():
        torch.save(made_up(kind), folder / name)
    return folder


@pytest.fixture(scope='module')
def pictures() -> tuple[Tensor, Tensor]:
    return torch.rand(2, 2, 3, 96, 80, generator=torch.Generator().manual_seed(0)).unbind(0)


def after(state: dict[str, Tensor], layers: list[tuple[str, int, dict[str, int]]], x: Tensor) -> list[Tensor]:
    """What comes out of the layers whose second entry is 1: of convolutions with a ReLU, and of other functions."""
    seen = []
    for name, kept, options in layers:
        if name == 'max':
            x = functional.max_pool2d(x, **options)
        elif name == 'l2':
            window = torch.outer(*2 * [torch.tensor([0.5, 1.0, 0.5])])
            kernel = (window / window.sum()).expand(x.shape[1], 1, 3, 3)
            x = (functional.conv2d(x ** 2, kernel, stride=2, padding=1, groups=x.shape[1]) + 1e-12).sqrt()
        else:
            weight, bias = (state[f'features.{name}.{part}'] for part in ('weight', 'bias'))
            x = functional.conv2d(x, weight, bias, **options).relu()
        seen += [x] if kept else []
    return seen


def literal_lpips(folder: Path, one: Tensor, two: Tensor) -> Tensor:
    import torchmetrics
    state = torch.load(folder / FILES['lpips'])
    learned = torch.load(Path(torchmetrics.__file__).parent / 'functional/image/lpips_models/alex.pth', 'cpu')
    shift, scale = (torch.tensor(each).view(3, 1, 1) for each in ([-.030, -.088, -.188], [.458, .448, .450]))
    pool = ('max', 0, {'kernel_size': 3, 'stride': 2})
    layers = [('0', 1, {'stride': 4, 'padding': 2}), pool, ('3', 1, {'padding': 2}), pool,
              *((name, 1, {'padding': 1}) for name in ('6', '8', '10'))]
    seen = [after(state, layers, (2 * each - 1 - shift) / scale) for each in (one, two)]
    total = torch.zeros(len(one))
    for number, pair in enumerate(zip(*seen, strict=True)):
        a, b = (each / (each.square().sum(1, keepdim=True) + 1e-8).sqrt() for each in pair)
        weight = learned[f'lin{number}.model.1.weight'].view(1, -1, 1, 1)
        total += ((a - b).square() * weight).sum(1).mean((1, 2))
    return total


def literal_dists(folder: Path, one: Tensor, two: Tensor) -> Tensor:
    import torchmetrics
    state = torch.load(folder / FILES['dists'])
    learned = torch.load(Path(torchmetrics.__file__).parent / 'functional/image/dists_models/weights.pt', 'cpu')
    mean, std = (torch.tensor(each).view(3, 1, 1) for each in ([.485, .456, .406], [.229, .224, .225]))
    layers = []
    for stage in (['0', '2'], ['5', '7'], ['10', '12', '14'], ['17', '19', '21'], ['24', '26', '28']):
        layers += [('l2', 0, {})] if layers else []
        layers += [(name, int(name == stage[-1]), {'padding': 1}) for name in stage]
    a, b = ([each, *after(state, layers, (each - mean) / std)] for each in (one, two))
    alike = torch.zeros(len(one))
    whole = learned['alpha'].sum() + learned['beta'].sum()
    start = 0
    for x, y in zip(a, b, strict=True):
        alpha, beta = (learned[name].flatten()[start:start + x.shape[1]] / whole for name in ('alpha', 'beta'))
        start += x.shape[1]
        mx, my = x.mean((2, 3)), y.mean((2, 3))
        vx, vy = x.var((2, 3), unbiased=False), y.var((2, 3), unbiased=False)
        cov = (x * y).mean((2, 3)) - mx * my
        alike += (alpha * (2 * mx * my + 1e-6) / (mx ** 2 + my ** 2 + 1e-6)).sum(1)
        alike += (beta * (2 * cov + 1e-6) / (vx + vy + 1e-6)).sum(1)
    return 1 - alike


@needs_torchmetrics
@pytest.mark.parametrize('kind', FILES)
def test_it_is_the_published_formula_by_the_weights_of_the_folder(
        weights: Path, pictures: tuple[Tensor, Tensor], kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.hub, 'load_state_dict_from_url', lambda *given, **more: pytest.fail('it fetches'))
    distance = PerceptualDistance(kind, weights)
    found = distance(*pictures)
    literal = {'lpips': literal_lpips, 'dists': literal_dists}[kind](weights, *pictures)
    torch.testing.assert_close(found, literal, rtol=1e-3, atol=1e-5)
    assert found.shape == (2,) and found.min() > 1e-3
    assert distance(pictures[0], pictures[0]).abs().max() < 1e-5
    assert distance(pictures[0][:1], pictures[1][:1]).shape == (1,)


@needs_torchmetrics
def test_faces_and_the_metric_for_basicsr_get_the_same_numbers(weights: Path, tmp_path: Path) -> None:
    faces = FaceSet.open(write_small_data(tmp_path / 'data', identities=2, images=2), 8)
    embedded = faces.embed('Bicubic', {}, looks={'lpips': PerceptualDistance('lpips', weights)}, device='cpu')
    hr, sr = (np.concatenate([images for images, _ in faces.chunks(system)]) for system in ('HR', 'Bicubic'))
    options = {'kind': 'lpips', 'weights': str(weights), 'device': 'cpu'}
    one_by_one = [calculate_perceptual_distance(a[..., ::-1], b[..., ::-1], **options)
                  for a, b in zip(sr, hr, strict=True)]
    assert embedded.looks['lpips'] == pytest.approx(one_by_one, rel=1e-4)
    assert embedded.restoration() == pytest.approx({'psnr': np.mean(embedded.psnr), 'ssim': np.mean(embedded.ssim),
                                                    'lpips': np.mean(one_by_one)}, rel=1e-4)


@pytest.mark.parametrize(('kind', 'name', 'network'), [('lpips', FILES['lpips'], 'AlexNet'),
                                                      ('dists', FILES['dists'], 'VGG16')])
def test_a_missing_file_is_named_with_its_source_in_one_line(
        tmp_path: Path, kind: str, name: str, network: str) -> None:
    with pytest.raises(UserError) as refused:
        PerceptualDistance(kind, tmp_path)
    assert str(refused.value) == (
        f"'{tmp_path}/{name}' is missing. Expected torchvision's {network}, which {kind.upper()} measures by, from "
        f'https://download.pytorch.org/models/{name}')
    with pytest.raises(UserError, match="perceptual distance 'lpip' is unknown; did you mean 'lpips'"):
        PerceptualDistance('lpip', tmp_path)


def test_a_missing_package_is_named_with_how_to_install_it(weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr('cface_basicsr.evaluation.perceptual.find_spec', lambda name: None)
    with pytest.raises(UserError) as refused:
        PerceptualDistance('dists', weights)
    assert str(refused.value) == "DISTS needs the package torchmetrics: pip install 'cface-basicsr[perceptual]'"


@needs_torchmetrics
def test_a_file_of_another_network_is_refused_and_torchvision_is_as_before(weights: Path, tmp_path: Path) -> None:
    from torchvision.models import WeightsEnum
    before = WeightsEnum.get_state_dict
    (tmp_path / FILES['lpips']).write_bytes((weights / FILES['dists']).read_bytes())
    with pytest.raises(UserError, match="alexnet-owt-7be5be79.pth' holds another network than its name says"):
        PerceptualDistance('lpips', tmp_path)
    assert WeightsEnum.get_state_dict is before


def test_the_metric_refuses_what_basicsr_would_take_silently(weights: Path) -> None:
    picture = np.zeros((64, 64, 3), np.uint8)
    with pytest.raises(UserError, match='better: a distance is better when lower'):
        calculate_perceptual_distance(picture, picture, kind='lpips', weights=str(weights), better='higher')
    with pytest.raises(UserError, match='lpips: expected two uint8'):
        calculate_perceptual_distance(picture, picture[:32], kind='lpips', weights=str(weights))
    assert backbone_file('dists', weights).name == FILES['dists']


class Silent:
    """A progress that nobody sees."""

    def start(self, name: str, total: int) -> None:
        pass

    def advance(self, done: int, text: object = '') -> None:
        pass

    def end(self, name: str, note: str) -> None:
        pass


@needs_torchmetrics
def test_evaluate_shows_it_next_to_psnr_and_keeps_what_it_has_measured(
        weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = write_small_data(tmp_path / 'data', identities=4, images=3)
    recognizer = write_recognizer(tmp_path / 'net_r.pth')
    request = Request(protocol='pairs', data=data, recognizers={'net_r': str(recognizer)}, scale=8, folds=2,
                      lpips=weights)
    results, _ = evaluate_request(request, Silent())
    found = {run.system: run.measured['data'].numbers['lpips'] for run in results.runs}
    assert found['HR'] == pytest.approx(0, abs=1e-6) and found['Bicubic'] > 1e-4
    assert [column.heading for column in evaluation_table(results).columns][-3:] == ['PSNR dB', 'SSIM', 'LPIPS']
    assert results.facts.options['switches']['lpips'] == file_hash(weights / FILES['lpips'], 64)
    monkeypatch.setattr(PerceptualDistance, 'forward', lambda *given: pytest.fail('it was measured before'))
    again, _ = evaluate_request(request, Silent())
    assert [run.measured for run in again.runs] == [run.measured for run in results.runs]
    plain, _ = evaluate_request(replace(request, lpips=None), Silent())
    assert 'LPIPS' not in [column.heading for column in evaluation_table(plain).columns]


@needs_torchmetrics
def test_each_has_its_own_values_under_its_own_name_measured_together_or_not(
        weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = write_small_data(tmp_path / 'data', identities=4, images=2)
    faces = FaceSet.open(data, 8)
    distances = {kind: PerceptualDistance(kind, weights) for kind in reversed(FILES)}
    looks = faces.embed('Bicubic', {}, looks=distances, device='cpu').looks
    (images, originals), = faces.chunks('Bicubic')
    pair = [torch.from_numpy(each).permute(0, 3, 1, 2) / 255 for each in (images, originals)]
    expected = {kind: distance(*pair).mean().item() for kind, distance in distances.items()}
    assert expected['lpips'] != pytest.approx(expected['dists'], rel=0.1)
    assert {kind: np.mean(values) for kind, values in looks.items()} == pytest.approx(expected, rel=1e-4)
    request = Request(protocol='pairs', data=data, recognizers={'net_r': str(write_recognizer(tmp_path / 'net_r.pth'))},
                      scale=8, folds=2)

    def measured(**kinds: Path) -> dict[str, float]:
        results, _ = evaluate_request(replace(request, **kinds), Silent())
        numbers = next(run for run in results.runs if run.system == 'Bicubic').measured['data'].numbers
        return {kind: numbers[kind] for kind in FILES if kind in numbers}
    assert measured(lpips=weights) | measured(dists=weights) == pytest.approx(expected, rel=1e-4)
    with monkeypatch.context() as patch:
        patch.setattr(PerceptualDistance, 'forward', lambda *given: pytest.fail('it was measured before'))
        assert measured(dists=weights, lpips=weights) == pytest.approx(expected, rel=1e-4)


@needs_torchmetrics
def test_another_torchmetrics_takes_nothing_but_these_from_what_is_kept(
        weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = write_small_data(tmp_path / 'data', identities=4, images=2)
    request = Request(protocol='pairs', data=data, recognizers={'net_r': str(write_recognizer(tmp_path / 'net_r.pth'))},
                      scale=8, folds=2, lpips=weights)
    evaluate_request(request, Silent())
    seen = []
    for module in (perceptual, feature_cache):
        monkeypatch.setattr(module, 'installed_version', lambda name: '0' if name == 'torchmetrics' else
                            installed_version(name))
    for kind in (PerceptualDistance, SphereFace20):
        monkeypatch.setattr(kind, 'forward', lambda self, *given, before=kind.forward: (
            seen.append(type(self)), before(self, *given))[1])
    evaluate_request(request, Silent())
    assert set(seen) == {PerceptualDistance}


def test_it_compares_pictures_with_hr_and_nothing_else(tmp_path: Path) -> None:
    for more in ({'sides': 'lr', 'recognizers': {'r': 'r.pth'}}, {'features': {'f': tmp_path / 'f.npy'}}):
        with pytest.raises(UserError, match='--lpips and --dists compare super-resolved pictures with HR'):
            check_request(Request(protocol='pairs', data=tmp_path, dists=tmp_path, **more))
