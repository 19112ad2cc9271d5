from pathlib import Path
from urllib.error import URLError

import pytest
import torch
from torch import nn

from cface_basicsr.errors import UserError
from cface_basicsr.losses.vgg_content_loss import (
    VGG19_SHA256,
    VGGContentLoss,
    build_features,
    content_distance,
    layer_names,
)
from tests.vgg_file import write_seeded_vgg19


@pytest.fixture(scope='module')
def weights(tmp_path_factory) -> Path:
    return write_seeded_vgg19(tmp_path_factory.mktemp('vgg') / 'features.pth', layer='conv4_1')


def torchvision_features(weights: Path, length: int) -> nn.Module:
    """torchvision's own layers up to an index, with the weights of the file."""
    from torchvision.models.vgg import cfgs, make_layers
    with torch.device('meta'):
        layers = make_layers(cfgs['E'])[:length]
    state = {key.removeprefix('features.'): value for key, value in torch.load(weights).items()}
    layers.load_state_dict({key: state[key] for key in layers.state_dict()}, assign=True)
    return layers


def imagenet(images: torch.Tensor) -> torch.Tensor:
    from torchvision.transforms.functional import normalize
    return normalize(images, [0.485, 0.456, 0.406], [0.229, 0.224, 0.225])


@pytest.mark.parametrize(('name', 'index'), [
    ('conv1_1', 0), ('conv3_1', 10), ('relu3_1', 11), ('conv3_4', 16), ('relu3_4', 17), ('pool3', 18),
    ('conv5_3', 32), ('relu5_3', 33), ('conv5_4', 34), ('relu5_4', 35), ('pool5', 36)])
def test_layers_are_where_torchvision_has_them(name, index):
    assert layer_names().index(name) == index and len(layer_names()) == 37


def test_the_default_is_the_fifth_convolution_after_its_activation_before_the_third_pooling():
    layers = build_features('relu3_1')
    kinds = [type(m).__name__ for m in layers]
    assert kinds.count('Conv2d') == 5 and kinds.count('MaxPool2d') == 2 and kinds[-1] == 'ReLU'


def test_every_layer_has_torchvisions_shapes():
    from torchvision.models.vgg import cfgs, make_layers
    with torch.device('meta'):
        expected = {key: value.shape for key, value in make_layers(cfgs['E']).state_dict().items()}
        built = {key: value.shape for key, value in build_features('relu5_4').state_dict().items()}
    assert built == expected


@pytest.mark.parametrize(('layer', 'length'), [('relu1_2', 4), ('conv3_1', 11), ('relu3_1', 12), ('conv4_1', 20)])
def test_features_equal_torchvisions(weights, layer, length):
    images = torch.rand(1, 3, 32, 32)
    got = VGGContentLoss(layer=layer, weights=str(weights)).features(images)
    torch.testing.assert_close(got, torchvision_features(weights, length)(imagenet(images)))


def test_another_memory_layout_changes_neither_the_loss_nor_its_gradient(weights: Path) -> None:
    """In float64, where the order of sums is all that can differ."""
    faces, found = torch.rand(2, 2, 3, 16, 16).double(), []
    for layout in (torch.contiguous_format, torch.channels_last):
        loss = VGGContentLoss(weights=str(weights)).double().to(memory_format=layout)
        assert loss.vgg[2].weight.is_contiguous(memory_format=layout)
        sr, hr = (images.contiguous(memory_format=layout) for images in faces)
        value = loss(sr.requires_grad_(), hr)
        found.append((value, torch.autograd.grad(value, sr)[0]))
    torch.testing.assert_close(found[1], found[0], rtol=1e-9, atol=1e-15)


@pytest.mark.parametrize('reduction', ['mean', 'spatial'])
def test_the_loss_is_equation_2_written_out(weights, reduction):
    sr, hr = torch.rand(2, 2, 3, 16, 16).double()
    vgg = torchvision_features(weights, 12).double()
    a, b = vgg(imagenet(sr)), vgg(imagenet(hr))  # (2, 256, 4, 4)
    total = 0.0
    for image in range(2):
        for x in range(4):
            for y in range(4):
                total += ((b[image, :, y, x] - a[image, :, y, x]) ** 2).sum().item() / (4 * 4) / 2
    loss = VGGContentLoss(weights=str(weights), reduction=reduction, loss_weight=3.0).double()
    assert loss(sr, hr).item() == pytest.approx(3 * total / (1 if reduction == 'spatial' else 256), rel=1e-5)


def test_spatial_is_the_mean_times_the_channels():
    a, b = torch.rand(2, 2, 256, 3, 3)
    torch.testing.assert_close(content_distance(a, b, 'spatial'), 256 * content_distance(a, b, 'mean'))


def test_the_gradient_reaches_the_super_resolved_image_only(weights):
    loss = VGGContentLoss(weights=str(weights))
    sr, hr = (torch.rand(1, 3, 16, 16, requires_grad=True) for _ in range(2))
    loss(sr, hr).backward()
    assert sr.grad.abs().sum() > 0 and hr.grad is None
    assert all(not p.requires_grad and p.grad is None for p in loss.parameters())


def test_equal_images_cost_nothing(weights):
    image = torch.rand(1, 3, 16, 16)
    assert VGGContentLoss(weights=str(weights))(image, image) == 0


def test_the_images_themselves_stay_unchanged(weights):
    image = torch.rand(1, 3, 16, 16)
    before = image.clone()
    VGGContentLoss(layer='relu1_1', weights=str(weights))(image, image)
    assert torch.equal(image, before)


@pytest.mark.parametrize('zipped', [True, False])
def test_a_whole_state_dict_and_one_of_the_old_format_are_accepted(weights, tmp_path, zipped):
    whole = {**torch.load(weights), 'classifier.0.weight': torch.zeros(2, 2)}
    torch.save(whole, tmp_path / 'whole.pth', _use_new_zipfile_serialization=zipped)
    bare = {key.removeprefix('features.'): value for key, value in torch.load(weights).items()}
    torch.save(bare, tmp_path / 'bare.pth')
    images = torch.rand(2, 1, 3, 16, 16)
    values = {VGGContentLoss(weights=str(path))(*images).item()
              for path in (weights, tmp_path / 'whole.pth', tmp_path / 'bare.pth')}
    assert len(values) == 1


def test_without_a_file_the_one_in_torch_hubs_folder_is_taken(weights, tmp_path, monkeypatch):
    monkeypatch.setattr(torch.hub, 'get_dir', lambda: str(tmp_path))
    (tmp_path / 'checkpoints').mkdir()
    (tmp_path / 'checkpoints/vgg19-dcbb9e9d.pth').write_bytes(weights.read_bytes())
    images = torch.rand(2, 1, 3, 16, 16)
    torch.testing.assert_close(VGGContentLoss()(*images), VGGContentLoss(weights=str(weights))(*images))


def test_without_the_cached_file_it_is_downloaded_with_its_hash(weights, tmp_path, monkeypatch):
    asked = []

    def download(url: str, dst: str, hash_prefix: str, **_: object) -> None:
        asked.append((url.rsplit('/', 1)[1], hash_prefix))
        Path(dst).write_bytes(weights.read_bytes())

    monkeypatch.setattr(torch.hub, 'get_dir', lambda: str(tmp_path / 'hub'))
    monkeypatch.setattr(torch.hub, 'download_url_to_file', download)
    VGGContentLoss()
    VGGContentLoss()
    assert asked == [('vgg19-dcbb9e9d.pth', VGG19_SHA256)] and len(VGG19_SHA256) == 64


def test_offline_it_says_in_three_lines_where_the_file_belongs(tmp_path, monkeypatch):
    def fail(*_: object, **__: object) -> None:
        raise URLError('no network')

    monkeypatch.setattr(torch.hub, 'get_dir', lambda: str(tmp_path))
    monkeypatch.setattr(torch.hub, 'download_url_to_file', fail)
    with pytest.raises(UserError) as error:
        VGGContentLoss()
    message = str(error.value)
    assert len(message.splitlines()) <= 3 and str(tmp_path / 'checkpoints/vgg19-dcbb9e9d.pth') in message


def test_a_missing_file_is_never_replaced_by_random_weights(tmp_path):
    with pytest.raises(UserError, match="VGG19 weights file '.*nowhere.pth' is missing"):
        VGGContentLoss(weights=str(tmp_path / 'nowhere.pth'))


def test_a_cut_off_file_is_named(weights, tmp_path):
    (tmp_path / 'cut.pth').write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(UserError, match="cut.pth' cannot be read"):
        VGGContentLoss(weights=str(tmp_path / 'cut.pth'))


def test_a_file_with_too_few_layers_or_of_another_network_is_refused(weights, tmp_path):
    with pytest.raises(UserError, match=r"expected \(512, 512, 3, 3\) at 'features.21.weight', found nothing"):
        VGGContentLoss(layer='relu4_2', weights=str(weights))
    torch.save({'features.0.weight': torch.zeros(64, 3, 11, 11)}, tmp_path / 'alexnet.pth')
    with pytest.raises(UserError, match=r'found \(64, 3, 11, 11\)'):
        VGGContentLoss(weights=str(tmp_path / 'alexnet.pth'))


@pytest.mark.parametrize(('layer', 'near'), [('relu3_5', 'relu3_4'), ('relu33', 'relu3_'), ('pool3', 'valid: conv1_1')])
def test_an_unknown_layer_is_refused_with_a_near_one(layer, near):
    with pytest.raises(UserError, match='expected reluI_J or convI_J') as error:
        VGGContentLoss(layer=layer)
    assert near in str(error.value)


def test_an_unknown_reduction_is_refused():
    with pytest.raises(UserError, match="expected mean or spatial, got 'sum'"):
        VGGContentLoss(reduction='sum')
