"""Checkpoints: whole or not at all, and they say which network they hold."""

import json
import logging
from collections import OrderedDict
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from cface_basicsr.errors import UserError
from cface_basicsr.files.network_file import build_network_from_file, network_options, read_network_file
from tests.compat.tiny_training import holds_by_row, patched

EDSR = OrderedDict(type='EDSR', num_in_ch=3, num_out_ch=3, num_feat=4, num_block=1, upscale=2,
                   rgb_mean=(0.5, 0.5, 0.5))


def model_in(folder: Path) -> Any:
    from basicsr.models.base_model import BaseModel
    return BaseModel({'num_gpu': 0, 'is_train': True, 'dist': False, 'rank': 0, 'world_size': 1, 'network_g': EDSR,
                      'datasets': {'train': {'batch_size_per_gpu': 1}},
                      'path': {'models': str(folder), 'training_states': str(folder)}})


def torch_save_that_dies(content: Any, to: Any) -> None:
    Path(to).write_bytes(b'half of a file') if isinstance(to, str) else to.write(b'half of a file')
    raise OSError('No space left on device')


@pytest.mark.parametrize('name', ['net_g_5.pth', '5.state'])
def test_a_failed_save_stops_the_training_and_leaves_the_old_file(
        tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr('time.sleep', lambda seconds: None)  # BasicSR waits between its three attempts

    def check() -> None:
        (tmp_path / name).write_bytes(b'the file before')
        with monkeypatch.context() as broken, pytest.raises(OSError, match='No space'):
            broken.setattr(torch, 'save', torch_save_that_dies)
            model = model_in(tmp_path)
            if name.endswith('.pth'):
                model.save_network(nn.Linear(2, 2), 'net_g', 5)
            else:
                model.save_training_state(0, 5)
        assert (tmp_path / name).read_bytes() == b'the file before'
        assert [path.name for path in tmp_path.iterdir()] == [name]

    holds_by_row(check, 'whole-files', defect=(pytest.fail.Exception, AssertionError, UnboundLocalError))


def test_a_network_file_says_which_network_it_holds(tmp_path: Path) -> None:
    def check() -> None:
        from basicsr.archs import build_network
        network = build_network(EDSR)
        model_in(tmp_path).save_network([network, network], 'net_g', -1, ['params', 'params_ema'])
        path = tmp_path / 'net_g_latest.pth'
        assert network_options(path) == {**EDSR, 'rgb_mean': [0.5, 0.5, 0.5]}
        image = torch.rand(1, 3, 4, 4)
        assert torch.equal(build_network_from_file(path)(image), network(image))

    holds_by_row(check, 'network-options', defect=UserError)


def test_the_network_of_a_finished_training_is_written_as_safetensors_too_and_says_where_it_is_from(
        tmp_path: Path) -> None:
    from basicsr.archs import build_network
    (tmp_path / 'manifest.json').write_text('{"sha256": {"hr.lmdb": "abc"}}')
    network, average, model = build_network(EDSR), build_network(EDSR), model_in(tmp_path)
    model.opt |= {'name': 'warmup', 'scale': 2}
    model.opt['datasets']['train']['dataroot_gt'] = str(tmp_path / 'hr.lmdb')
    with patched():
        model.save_network([network, average], 'net_g', -1, ['params', 'params_ema'])
    path, image = tmp_path / 'net_g_latest.safetensors', torch.rand(1, 3, 4, 4)
    assert torch.equal(build_network_from_file(path)(image), average(image))
    facts = read_network_file(path)
    assert (facts['stage'], facts['scale'], facts['data']) == ('warmup', 2, {'hr.lmdb': 'abc'})
    assert 'licence' in facts and network_options(path) == network_options(path.with_suffix('.pth'))


@pytest.mark.parametrize(('settings', 'template'), [
    ([{'crop': 'align', 'template': 'sphereface', 'size': [112, 96]}], 'sphereface'),
    ([{'crop': 'align', 'template': 'arcface', 'size': 128}] * 2, 'arcface'),
    ([{'crop': 'center', 'size': 128}], 'center'), ([{'crop': 'center', 'size': 112}], None),
    ([{'crop': 'none', 'size': 128}], None), ([{'crop': 'align', 'template': 'mine', 'size': 128}], None),
    ([{'crop': 'center', 'size': 128}, {'crop': 'align', 'template': 'arcface', 'size': 128}], None), ([None], None)])
def test_a_generator_says_how_the_faces_were_cropped_that_it_was_trained_on(
        tmp_path: Path, settings: list[dict[str, Any] | None], template: str | None) -> None:
    """Only if all of its stores say the same; other networks do not say it."""
    from basicsr.archs import build_network
    roots = []
    for number, each in enumerate(settings):
        (tmp_path / f'data{number}').mkdir()
        if each:
            (tmp_path / f'data{number}' / 'manifest.json').write_text(json.dumps({'settings': each}))
        roots.append(str(tmp_path / f'data{number}' / 'hr.lmdb'))
    model = model_in(tmp_path)
    model.opt['datasets']['train']['dataroot_gt'] = roots if len(roots) > 1 else roots[0]
    model.opt['network_d'] = EDSR
    with patched():
        for label in ('net_g', 'net_d'):
            model.save_network(build_network(EDSR), label, -1)
    for ending in ('.pth', '.safetensors'):
        assert read_network_file(tmp_path / f'net_g_latest{ending}').get('template') == template
        assert 'template' not in read_network_file(tmp_path / f'net_d_latest{ending}')


def test_older_checkpoints_are_removed_but_for_the_best(tmp_path: Path) -> None:
    def left(**logger: Any) -> list[str]:
        model = model_in(tmp_path)
        model.opt['logger'] = logger
        model.best_metric_results = {'test': {'psnr': {'iter': 2, 'val': 30.0}, 'ssim': {'iter': -1}}}
        for iteration in (2, 4, 6, 8):
            model.save_network(nn.Linear(2, 2), 'net_g', iteration)
            model.save_training_state(0, iteration)
        names = sorted(path.name for path in tmp_path.iterdir())
        for path in tmp_path.iterdir():
            path.unlink()
        return names

    def of(*iterations: int) -> list[str]:
        return sorted(f'{n}.state' for n in iterations) + sorted(f'net_g_{n}.pth' for n in iterations)

    with patched():
        assert left() == of(2, 4, 6, 8)
        assert left(keep_last=2) == of(6, 8)
        assert left(keep_last=1, keep_best=True) == of(2, 8)


def test_a_network_without_options_of_its_own_is_saved_as_basicsr_does(tmp_path: Path) -> None:
    with patched():
        model_in(tmp_path).save_network(nn.Linear(2, 2), 'net_x', 3)
    assert set(torch.load(tmp_path / 'net_x_3.pth', weights_only=True)) == {'params'}


def test_a_weights_file_of_another_network_ends_a_stock_training_in_one_line(tmp_path: Path) -> None:
    network, path = nn.Linear(2, 2), tmp_path / 'net.pth'
    torch.save({'params': nn.Linear(3, 2).state_dict()}, path)

    def check() -> None:
        with pytest.raises(Exception, match='size mismatch for weight') as caught:
            model_in(tmp_path).load_network(network, str(path))
        assert isinstance(caught.value, UserError) and len(str(caught.value).splitlines()) == 1

    holds_by_row(check, 'weights-only')


def test_a_stock_training_reads_params_where_a_file_has_no_average_and_what_fits_if_that_is_wished(
        tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    """As BasicSR's own function does; SRModel starts its average so."""
    source, network, path = nn.Linear(2, 2), nn.Linear(2, 2), tmp_path / 'net.pth'
    torch.save({'params': {f'module.{key}': value for key, value in source.state_dict().items()}}, path)
    with patched():
        model_in(tmp_path).load_network(network, str(path), True, 'params_ema')
    assert torch.equal(network.weight, source.weight) and torch.equal(network.bias, source.bias)
    wider = nn.Linear(3, 2)
    before = wider.weight.detach().clone()
    with patched(), caplog.at_level('INFO', 'basicsr'):
        monkeypatch.setattr(logging.getLogger('basicsr'), 'propagate', True)
        model_in(tmp_path).load_network(wider, str(path), strict=False)
    assert torch.equal(wider.weight, before) and torch.equal(wider.bias, source.bias)
    assert caplog.messages[-1] == f"'{path}' is loaded; as they were: weight."
