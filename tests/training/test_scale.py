"""An option file at another scale: as if it had been written for it."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from cface_basicsr.errors import UserError
from cface_basicsr.options import read_option_file
from cface_basicsr.training.scale import SCALES, at_scale, scale_argument, set_scale, store_in
from tests.tiny_stages import REPOSITORY

OPTIONS = REPOSITORY / 'options'
BASELINES = sorted((OPTIONS / 'baselines').glob('*.yml'))


def leaves(value: Any, place: str = '') -> Iterator[tuple[str, Any]]:
    """(place, value) of everything that is neither a section nor a list."""
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from leaves(item, f'{place}.{key}')
    elif isinstance(value, list):
        for number, item in enumerate(value):
            yield from leaves(item, f'{place}.{number}')
    else:
        yield place, value


@pytest.mark.parametrize('scale', SCALES)
@pytest.mark.parametrize('path', BASELINES, ids=lambda path: path.stem)
def test_only_what_names_the_scale_differs_and_nothing_names_the_old_one(path: Path, scale: int) -> None:
    before = read_option_file(path)
    old, new = dict(leaves(before)), dict(leaves(at_scale(before, scale)))
    assert old.keys() == new.keys()
    for place, value in old.items():
        if place.endswith(('.scale', '.upscale')):
            assert (value, new[place]) == (8, scale)
        elif isinstance(value, str):
            assert new[place] == value.replace('_x8', f'_x{scale}')
        else:
            assert new[place] == value
    named = {place for place, value in old.items() if value != new[place]}
    assert scale == 8 or {'.name', '.scale', '.datasets.train.dataroot_lq', '.datasets.val.dataroot_lq'} < named


@pytest.mark.parametrize('path', BASELINES, ids=lambda path: path.stem)
def test_there_and_back_gives_the_file_again_in_its_order(path: Path) -> None:
    opt = read_option_file(path)
    back = at_scale(at_scale(opt, 2), 8)
    assert back == opt and list(leaves(back)) == list(leaves(opt))


def test_the_scale_goes_where_the_network_and_the_loss_want_it() -> None:
    edsr, wavelet = (at_scale(read_option_file(OPTIONS / f'baselines/{name}_x8.yml'), 4)
                     for name in ('edsr', 'wavelet_srnet'))
    assert edsr['network_g']['upscale'] == 4 and 'scale' not in edsr['network_g']
    assert wavelet['train']['pixel_opt']['scale'] == 4  # the depth of its packet
    bare = set_scale({'network_g': {'type': 'EDSR'}, 'train': {}}, 2)
    assert bare == {'scale': 2, 'network_g': {'type': 'EDSR', 'upscale': 2}, 'train': {}}


def test_a_training_starts_from_the_earlier_phase_of_its_own_scale() -> None:
    opt = at_scale(read_option_file(OPTIONS / 'baselines/sicnn_x8.yml'), 2)
    assert opt['path'] == {'pretrain_network_g': 'experiments/sicnn_pre_x2/models/net_g_latest.pth',
                           'pretrain_network_r': 'experiments/cface_stage0/models/net_r_latest.pth',
                           'pretrain_network_c': 'experiments/cface_stage0/models/net_c_latest.pth'}


@pytest.mark.parametrize('held_out', [True, False])
def test_stores_are_those_of_a_prepared_folder_with_and_without_held_out_people(tmp_path: Path, held_out: bool) -> None:
    if held_out:
        (tmp_path / 'train').mkdir()
    trained = tmp_path / 'train' if held_out else tmp_path
    datasets = at_scale(read_option_file(OPTIONS / 'cface_stage1.yml'), 8, tmp_path)['datasets']
    assert datasets['train']['dataroot_gt'] == str(trained / 'hr.lmdb')
    assert datasets['train']['dataroot_lq'] == str(trained / 'lr_x8.lmdb')
    assert datasets['train']['compare_index'] == str(trained / 'index')
    assert datasets['val']['dataroot_lq'] == str(tmp_path / 'test/lr_x8.lmdb')


def test_the_store_that_stage_2_writes_has_the_scale_too(tmp_path: Path) -> None:
    stage2 = read_option_file(OPTIONS / 'cface_stage2.yml')
    assert at_scale(stage2, 8)['datasets']['test']['out'] == 'datasets/casia/train/sr_x8.lmdb'
    assert at_scale(stage2, 8, tmp_path)['datasets']['test']['out'] == str(tmp_path / 'sr_x8.lmdb')
    assert store_in(tmp_path, 'anything/train/sr_x4_0123456789ab.lmdb', 2) == tmp_path / 'sr_x2_0123456789ab.lmdb'


@pytest.mark.parametrize(('opt', 'scale', 'message'), [
    ({'network_g': {'type': 'VDSR'}, 'scale': 4}, 3, 'scale 3 is unknown; nearest: 2'),
    ({'network_r': {}, 'train': {}}, 4, "no 'network_g' and 'scale'")])
def test_another_scale_and_options_without_a_generator_are_refused(
        opt: dict[str, Any], scale: int, message: str) -> None:
    with pytest.raises(UserError, match=message):
        at_scale(opt, scale)


def test_empty_sections_stay_and_a_generator_needs_a_type(tmp_path: Path) -> None:
    opt = read_option_file(REPOSITORY / 'options/baselines/edsr_x8.yml')
    opt |= {'train': None}
    scaled = at_scale(opt, 4, tmp_path)
    assert scaled['train'] is None and scaled['scale'] == 4
    with pytest.raises(UserError, match=r"'network_g\.type': expected the name of a network, got None"):
        at_scale({**opt, 'network_g': {'num_feat': 64}}, 4)
    assert set_scale({'network_g': 5}, 4) == {'network_g': 5}


@pytest.mark.parametrize(('network', 'message'), [
    ('SRResNt', r"'network_g\.type': network 'SRResNt' is unknown; did you mean 'SRResNet'\?"),
    ('SphereFace20', "SphereFace20 takes neither 'scale' nor 'upscale'")])
def test_a_generator_that_takes_no_scale_is_refused(network: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        scale_argument(network)
    with pytest.raises(UserError, match=message):  # also where the section already has one
        set_scale({'network_g': {'type': network, 'scale': 8, 'upscale': 8}}, 4)
