"""A resumed training equals the unbroken one, from any directory, on a CPU."""

import shutil
import zipfile
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from cface_basicsr.data.compare_index import build_index
from cface_basicsr.errors import UserError
from cface_basicsr.files.recognizer_file import recognizer_hash
from cface_basicsr.recognizers.load import load_recognizer
from tests.compat.tiny_training import (
    assert_equal_weights,
    holds_by_row,
    log_of,
    patched,
    tiny_options,
    train_here,
    weights,
)
from tests.tiny_stages import stage_options, write_tiny_data
from tests.two_ranks import on_both_ranks


class Interrupted(Exception):
    """What the test kills a training with."""


def train_with_break(options: dict[str, Any], folder: Path, *arguments: str, stop_at: int, model: Any = None) -> None:
    """Train until an exception strikes in the middle of iteration `stop_at`; `model`: its class, else SRModel."""
    from basicsr.models.sr_model import SRModel
    model = model or SRModel
    step = model.optimize_parameters

    def broken(self: Any, current_iter: int) -> None:
        step(self, current_iter)
        if current_iter == stop_at:
            raise Interrupted

    with pytest.MonkeyPatch.context() as patch, pytest.raises(Interrupted):
        patch.setattr(model, 'optimize_parameters', broken)
        train_here(options, folder, *arguments)


@pytest.mark.parametrize(('saved_at', 'bias'), [  # in the middle of epoch 1, and right behind its last iteration
    (3, None), (4, {'lr': 2, 'decay': 0})])
def test_a_resumed_training_ends_with_the_weights_of_the_unbroken_one(
        pictures: Path, tmp_path: Path, saved_at: int, bias: dict[str, float] | None) -> None:
    options = tiny_options(pictures, **{
        'logger.save_checkpoint_freq': saved_at, 'datasets.train.num_worker_per_gpu': 2, 'val.val_freq': 4,
        'train.optim_g': {'type': 'Adam', 'lr': 1e-2, 'weight_decay': 1e-3, 'bias': bias}})

    with patched():
        train_here(options, tmp_path / 'unbroken')

    def check() -> None:
        broken = tmp_path / 'broken'
        train_with_break(options, broken, stop_at=saved_at + 1)
        train_here(options, broken, '--auto_resume')
        assert f'iter: {saved_at}.' in log_of(broken)
        assert_equal_weights(weights(broken), weights(tmp_path / 'unbroken'))

    holds_by_row(check, 'mid-epoch')


@pytest.mark.parametrize('section', [{}, {'degradation': 'camera'}, {'reference_features': 'file'}], ids=str)
def test_a_stage_that_is_given_bytes_and_makes_lr_from_hr_is_resumed_bit_for_bit(
        tmp_path: Path, section: dict[str, str]) -> None:
    from cface_basicsr.models.cface_model import CFaceModel
    data = write_tiny_data(tmp_path / 'data')
    recognizer = data / 'net_r.pth'
    index = build_index(data / 'train', load_recognizer(recognizer), recognizer_hash(recognizer))
    options = stage_options(1, data, {
        'name': 'tiny', 'train': {'total_iter': 4},
        'logger': {'save_checkpoint_freq': 2, 'print_freq': 1, 'use_tb_logger': False},
        'datasets': {'train': {'lq_from_gt': True, 'dataroot_lq': None, 'use_hflip': True, 'num_worker_per_gpu': 1,
                               'compare_index': str(index), **section}}})
    del options['plugin']  # `train_here` writes the line
    with patched():
        train_here(options, tmp_path / 'unbroken')
        train_with_break(options, tmp_path / 'broken', stop_at=3, model=CFaceModel)
        train_here(options, tmp_path / 'broken', '--auto_resume')
    assert 'iter: 2.' in log_of(tmp_path / 'broken')
    assert_equal_weights(weights(tmp_path / 'broken'), weights(tmp_path / 'unbroken'))


def trained_to_4(pictures: Path, folder: Path) -> dict[str, Any]:
    """Options for 6 iterations, after a run in `folder` that stopped at 4 with states at 2 and 4."""
    changes = {'logger.save_checkpoint_freq': 2, 'train.total_iter': 4}
    train_here(tiny_options(pictures, **changes), folder)
    return tiny_options(pictures, **changes | {'train.total_iter': 6})


def test_a_training_is_resumed_without_a_gpu(pictures: Path, tmp_path: Path) -> None:
    def check() -> None:
        options = trained_to_4(pictures, tmp_path / 'run')
        state = tmp_path / 'run/experiments/tiny/training_states/4.state'
        train_here(options | {'path': {'resume_state': str(state)}}, tmp_path / 'run')
        assert 'iter: 4.' in log_of(tmp_path / 'run')

    if torch.cuda.is_available():
        pytest.skip('there is a GPU here, so BasicSR finds one')
    holds_by_row(check, 'resume-on-cpu', defect=(RuntimeError, AssertionError))


def test_auto_resume_finds_the_run_from_any_directory(pictures: Path, tmp_path: Path) -> None:
    def check() -> None:
        options = trained_to_4(pictures, tmp_path / 'run')
        train_here(options, tmp_path / 'run', '--auto_resume')  # the working directory is another one
        assert 'Resuming training from epoch: 2, iter: 4.' in log_of(tmp_path / 'run')

    holds_by_row(check, 'auto-resume')


def test_auto_resume_takes_the_state_before_a_cut_off_one_and_ignores_strange_names(
        pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    monkeypatch.chdir(tmp_path)

    def check() -> None:
        options = trained_to_4(pictures, tmp_path)
        states = tmp_path / 'experiments/tiny/training_states'
        (states / '4.state').write_bytes((states / '4.state').read_bytes()[:-100])
        (states / 'best.state').write_text('')
        train_here(options, tmp_path, '--auto_resume')
        assert 'Resuming training from epoch: 1, iter: 2.' in log_of(tmp_path)
        assert "4.state' cannot be read" in capsys.readouterr().out

    holds_by_row(check, 'auto-resume', defect=ValueError)  # could not convert string to float: 'best'


def flip_a_bit(path: Path) -> None:
    """In the middle of the largest run of numbers of a file."""
    content = bytearray(path.read_bytes())
    with zipfile.ZipFile(path) as file:
        largest = max(file.infolist(), key=lambda record: record.file_size)
    content[content.index(largest.filename.encode()) + len(largest.filename) + 64 + largest.file_size // 2] ^= 4
    path.write_bytes(content)


def other_network(path: Path) -> None:
    """Whole, but not the one of this step."""
    shutil.copy(path.with_name('net_g_2.pth'), path)


@pytest.mark.parametrize(('file', 'change', 'said'), [
    ('training_states/4.state', flip_a_bit, "4.state' is damaged"),
    ('models/net_g_4.pth', flip_a_bit, "net_g_4.pth' is damaged"),
    ('models/net_g_4.pth', other_network, "net_g_4.pth' is damaged"),
    ('models/net_g_4.pth', Path.unlink, "net_g_4.pth' is missing")])
def test_a_step_counts_only_if_its_state_and_its_networks_are_as_they_were_written(
        pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture, file: str, change: Any, said: str) -> None:
    with patched():
        options = trained_to_4(pictures, tmp_path)
        path = tmp_path / 'experiments/tiny' / file
        change(path)
        train_here(options, tmp_path, '--auto_resume')
    assert 'Resuming training from epoch: 1, iter: 2.' in log_of(tmp_path)
    assert said in capsys.readouterr().out


def test_a_state_without_the_hashes_of_its_networks_counts_only_if_they_are_whole(
        pictures: Path, tmp_path: Path) -> None:
    with patched():
        options = trained_to_4(pictures, tmp_path)
        state = tmp_path / 'experiments/tiny/training_states/4.state'
        torch.save({key: value for key, value in torch.load(state).items() if key != 'files'}, state)
        flip_a_bit(tmp_path / 'experiments/tiny/models/net_g_4.pth')
        train_here(options, tmp_path, '--auto_resume')
    assert 'Resuming training from epoch: 1, iter: 2.' in log_of(tmp_path)


def test_a_named_state_whose_network_was_damaged_is_refused(pictures: Path, tmp_path: Path) -> None:
    with patched():
        options = trained_to_4(pictures, tmp_path / 'run')
        flip_a_bit(tmp_path / 'run/experiments/tiny/models/net_g_4.pth')
        state = tmp_path / 'run/experiments/tiny/training_states/4.state'
        with pytest.raises(UserError, match="net_g_4.pth' is damaged: the state of iteration 4 was saved with it"):
            train_here(options | {'path': {'resume_state': str(state)}}, tmp_path / 'run')


def test_a_resumed_training_writes_the_files_of_the_unbroken_one_byte_for_byte(pictures: Path, tmp_path: Path) -> None:
    options = tiny_options(pictures, **{'logger.save_checkpoint_freq': 3})
    with patched():
        train_here(options, tmp_path / 'unbroken')
        train_with_break(options, tmp_path / 'broken', stop_at=4)
        train_here(options, tmp_path / 'broken', '--auto_resume')
    for name in ('models/net_g_latest.pth', 'models/net_g_6.pth', 'models/net_g_latest.safetensors',
                 'training_states/6.state'):
        one, other = (tmp_path / run / 'experiments/tiny' / name for run in ('unbroken', 'broken'))
        assert one.read_bytes() == other.read_bytes(), name


def test_rates_and_momenta_given_after_a_stop_are_used_and_their_schedule_goes_on(
        pictures: Path, tmp_path: Path) -> None:
    from basicsr.models.base_model import BaseModel
    seen: list[tuple[int, float, float]] = []
    update = BaseModel.update_learning_rate

    def watched(self: Any, current_iter: int, warmup_iter: int = -1) -> None:
        update(self, current_iter, warmup_iter)
        group = self.optimizers[0].param_groups[0]
        seen.append((current_iter, group['lr'], group['betas'][0]))

    with patched(), pytest.MonkeyPatch.context() as patch:
        patch.setattr(BaseModel, 'update_learning_rate', watched)
        options = tiny_options(pictures, **{'train.total_iter': 6, 'logger.save_checkpoint_freq': 3})
        options['train']['scheduler']['milestones'] = [2, 4]
        train_with_break(options, tmp_path, stop_at=4)
        options['train']['optim_g'] |= {'lr': 1e-3, 'betas': [0.5, 0.9]}
        seen.clear()
        train_here(options, tmp_path, '--auto_resume')
    halved = [1e-3 / 2 ** sum(iteration - 1 >= each for each in (2, 4)) for iteration in (4, 5, 6)]
    assert [iteration for iteration, *_ in seen] == [4, 5, 6]
    assert [lr for _, lr, _ in seen] == pytest.approx(halved) and {beta for *_, beta in seen} == {0.5}


@pytest.mark.parametrize(('content', 'message'), [
    (None, "^training state '.*4.state' is missing"), ({'params': {}}, '4.state. is not a training state'),
    ({'iter': 4, 'best': np.float64(1)}, '^training state .*4.state. holds numpy._core.multiarray.scalar')])
def test_a_state_that_cannot_be_continued_is_refused_in_one_line(pictures: Path, tmp_path: Path, content: object,
                                                                 message: str) -> None:
    path = tmp_path / '4.state'
    if content:
        torch.save(content, path)
    with patched(), pytest.raises(UserError, match=message) as caught:
        train_here(tiny_options(pictures, **{'path.resume_state': str(path)}), tmp_path)
    assert len(str(caught.value).splitlines()) == 1 and not (tmp_path / 'experiments').exists()


def test_auto_resume_refuses_to_start_over_when_no_state_can_be_read(pictures: Path, tmp_path: Path) -> None:
    states = tmp_path / 'experiments/tiny/training_states'
    states.mkdir(parents=True)
    (states / '4.state').write_text('no state')
    with patched(), pytest.raises(UserError, match='none of the 1 states'):
        train_here(tiny_options(pictures), tmp_path, '--auto_resume')
    assert (states / '4.state').is_file()


def test_a_state_is_read_weights_only_and_keeps_generators_and_best_metrics(pictures: Path, tmp_path: Path) -> None:
    with patched():
        train_here(tiny_options(pictures, **{'val.val_freq': 1}), tmp_path)
    state = torch.load(tmp_path / 'experiments/tiny/training_states/6.state', weights_only=True)
    assert state['iter'] == 6 and set(state['random'][0]) == {'torch', 'cuda', 'numpy', 'python'}
    assert state['best_metric_results']['test']['psnr']['val'] > 0


def test_a_state_of_other_groups_of_parameters_is_refused_with_both(pictures: Path, tmp_path: Path) -> None:
    options = trained_to_4(pictures, tmp_path / 'run')
    options['train']['optim_g']['bias'] = {'lr': 2}
    with pytest.raises(UserError, match=r'had groups of \[\[14\]\] parameters, now they have \[\[7, 7\]\]\.\n.*bias'):
        train_here(options, tmp_path / 'run', '--auto_resume')


# -------------------------------------------------------------------------------------------------------- several ranks

def shared(pictures: Path, folder: Path) -> dict[str, Any]:
    """Eleven images in global batches of four, a generator with BatchNorm, validation at 5 and 7."""
    network = {'type': 'SRResNet', 'scale': 4, 'num_feat': 4, 'num_block': 1}
    options = tiny_options(pictures, **{
        'network_g': network, 'val.val_freq': 5, 'path': {'experiments_root': str(folder)},
        'datasets.train.batch_size': 4})
    del options['datasets']['train']['batch_size_per_gpu']
    return options


def train_in_double(options: dict[str, Any], folder: str, *arguments: str, stop_at: int = 0) -> None:
    """A whole training in this process, in double precision, as a rank if there are several."""
    from basicsr.models.sr_model import SRModel
    from basicsr.utils import options as parser
    ranks = torch.distributed.is_initialized()
    own = Path(folder, f'rank{torch.distributed.get_rank()}') if ranks else Path(folder)
    feed = SRModel.feed_data

    def feed_double(self: Any, data: dict[str, Any]) -> None:
        feed(self, {name: value.double() if name in ('lq', 'gt') else value for name, value in data.items()})

    with patched(), pytest.MonkeyPatch.context() as patch:
        patch.setattr(SRModel, 'feed_data', feed_double)
        patch.setattr(parser, 'init_dist', lambda launcher: None)  # the ranks have met already
        torch.set_default_dtype(torch.float64)
        try:
            own.mkdir(parents=True, exist_ok=True)
            launched = [*arguments, *(['--launcher', 'pytorch'] if ranks else [])]
            (partial(train_with_break, stop_at=stop_at) if stop_at else train_here)(options, own, *launched)
        finally:
            torch.set_default_dtype(torch.float32)


def test_two_ranks_end_with_the_weights_of_one_and_a_resumed_pair_with_those_of_the_unbroken(
        pictures: Path, tmp_path: Path) -> None:
    def trained(folder: str) -> dict[str, torch.Tensor]:
        return torch.load(tmp_path / folder / 'tiny/models/net_g_latest.pth', weights_only=True)['params']

    train_in_double(shared(pictures, tmp_path / 'one'), str(tmp_path))
    on_both_ranks(train_in_double, shared(pictures, tmp_path / 'two'), str(tmp_path))
    assert trained('one').keys() == trained('two').keys()
    for name, value in trained('one').items():
        torch.testing.assert_close(trained('two')[name], value, rtol=1e-9, atol=1e-9, msg=name)

    broken = shared(pictures, tmp_path / 'broken')
    on_both_ranks(partial(train_in_double, stop_at=4), broken, str(tmp_path))
    on_both_ranks(train_in_double, broken, str(tmp_path), '--auto_resume')
    assert_equal_weights(trained('broken'), trained('two'))
    with pytest.raises(UserError, match=r"6.state' is of a training with 2 processes and 2 devices, but this one has 1 "
                                        'processes and 1 devices: continue with the same numbers'):
        train_in_double(broken, str(tmp_path), '--auto_resume')


def test_a_state_is_refused_by_a_training_with_another_global_batch(pictures: Path, tmp_path: Path) -> None:
    with patched():
        options = trained_to_4(pictures, tmp_path)
        options['datasets']['train']['batch_size_per_gpu'] = 5
        with pytest.raises(UserError, match='with 4 images in a batch, but this one has 5 images in a batch') as caught:
            train_here(options, tmp_path, '--auto_resume')
    assert len(str(caught.value).splitlines()) == 1


def test_a_state_of_before_that_was_recorded_still_tells_its_processes(pictures: Path, tmp_path: Path) -> None:
    path = tmp_path / 'experiments/tiny/training_states/4.state'
    with patched():
        options = trained_to_4(pictures, tmp_path)
        state = torch.load(path, weights_only=True)
        del state['split']
        torch.save(state | {'random': state['random'] * 2}, path)
        with pytest.raises(UserError, match='with 2 processes, but this one has 1 processes'):
            train_here(options, tmp_path, '--auto_resume')
        torch.save(state, path)
        train_here(options, tmp_path, '--auto_resume')
    assert 'iter: 4.' in log_of(tmp_path)
