"""Continuing a stopped training: from the right folder, on any device, in the middle of an epoch, bit for bit."""

import os
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from cface_basicsr.compat.data_order import Loaders, generator_of
from cface_basicsr.compat.defect import Defect, row, swapped
from cface_basicsr.compat.files import forget_older, plain, states_in
from cface_basicsr.errors import UserError
from cface_basicsr.files.manifest import file_hash
from cface_basicsr.files.network_file import read_network_file
from cface_basicsr.files.torch_file import read_torch_file
from cface_basicsr.ops.ranks import of_all_ranks

_LOAD = 'basicsr.train:load_resume_state'
State = dict[str, Any]
LoadState = Callable[[dict[str, Any]], State | None]

# ------------------------------------------------------------------------------------------------ reading on any device


@row('resume-on-cpu', _LOAD, upstream='BasicSR #107', has='torch.cuda.current_device()')
def _read_onto_cpu(load: LoadState, opt: dict[str, Any]) -> State | None:
    """Without it: "Found no NVIDIA driver" when a training is resumed without a GPU."""
    # optimizers move their state to their parameters' device
    with swapped(torch.cuda, 'current_device', lambda: 'cpu'), swapped(torch, 'load', _read_state):
        return load(opt)


def _read_state(path: str | Path, mmap: bool = False, **_: Any) -> State:
    expected = 'Expected a .state file that BasicSR wrote during a training.'
    state = read_torch_file(path, expected, 'training state', mmap=mmap)
    if not isinstance(state, dict) or 'iter' not in state:
        raise UserError(f"'{path}' is not a training state: it does not say at which iteration it was saved. "
                        + expected)
    return state


# ----------------------------------------------------------------------------------------------- finding the newest one


def _check_networks(state: State, models: Path) -> None:
    """Check that the networks saved with a state are there, byte for byte.

    Raises:
        UserError: one is missing or another one; of a state that does not list them yet: one is damaged.
    """
    if 'files' not in state:
        for path in models.glob(f"net_*_{state['iter']}.pth"):
            read_network_file(path)
    for name, sha256 in state.get('files', {}).items():
        path = models / name
        if not path.is_file() or file_hash(path, 64) != sha256:
            raise UserError(f"network '{path}' is {'damaged' if path.is_file() else 'missing'}: the state of iteration "
                            f"{state['iter']} was saved with it.")


def _newest_state(folder: Path, models: Path) -> Path | None:
    """The state of the newest step that is whole: it and all of its networks are as they were written.

    Raises:
        UserError: there are states, and none of a whole step.
    """
    states = states_in(folder)[::-1]
    for path in states:
        try:
            _check_networks(_read_state(path, mmap=True), models)
            return path
        except UserError as error:
            print(f'Warning: {error} Trying the one before.', flush=True)
    if states:
        raise UserError(f"--auto_resume: none of the {len(states)} states in '{folder}' can be read, or has all its "
                        'networks.\nDelete or move the folder to start anew.')
    return None


@row('auto-resume', _LOAD, upstream='StarSRGAN #7, BasicSR #679', has="osp.join('experiments'")
def _look_in_its_own_folder(load: LoadState, opt: dict[str, Any]) -> State | None:
    """Without it: --auto_resume from another directory starts at 0 and archives the old run; a cut-off state or one
    called best.state ends in a traceback; a flipped bit in a state or a network is taken as it is;
    ranks that torchrun starts again begin anew.
    """
    opt['auto_resume'] |= int(os.environ.get('TORCHELASTIC_RESTART_COUNT', '0')) > 0
    if not opt['auto_resume']:
        return load(opt)
    newest = _newest_state(Path(opt['path']['training_states']), Path(opt['path']['models']))
    opt['path']['resume_state'] = str(newest) if newest else None
    opt['auto_resume'] = False  # BasicSR would look below the working directory
    try:
        return load(opt)
    finally:
        opt['auto_resume'] = True


# ---------------------------------------------------------------------------------------------- in mid-epoch, bit-equal


def _random_state() -> State:
    """Every generator of this process, as tensors and plain numbers (states are read weights-only)."""
    kind, keys, position, has_gauss, gauss = np.random.get_state()
    return {'torch': torch.get_rng_state(),
            'cuda': torch.cuda.get_rng_state() if torch.cuda.is_available() else None,
            'numpy': [kind, torch.from_numpy(keys.astype(np.int64)), int(position), int(has_gauss), float(gauss)],
            'python': random.getstate()}


def _set_random_state(state: State) -> None:
    torch.set_rng_state(state['torch'].cpu())
    if state['cuda'] is not None and torch.cuda.is_available():
        torch.cuda.set_rng_state(state['cuda'].cpu())
    kind, keys, *rest = state['numpy']
    np.random.set_state((kind, keys.numpy().astype(np.uint32), *rest))
    version, numbers, gauss = state['python']
    random.setstate((version, tuple(numbers), gauss))


def _split(opt: dict[str, Any]) -> dict[str, int]:
    """How a training shares its batches; only one that shares them alike goes on with the same numbers."""
    processes = opt['world_size']
    devices = processes if opt['dist'] else max(1, opt['num_gpu'])
    return {'processes': processes, 'devices': devices,
            'images in a batch': devices * opt['datasets']['train']['batch_size_per_gpu']}


def _save_random_state(save: Callable, self: Any, epoch: int, current_iter: int) -> None:
    if current_iter == -1:  # the networks of a finished training; BasicSR writes no state
        save(self, epoch, current_iter)
        return forget_older(self, done=True)
    more = {'random': of_all_ranks(_random_state()), 'split': _split(self.opt),
            'best_metric_results': plain(getattr(self, 'best_metric_results', {})),
            'scaler': scaler.state_dict() if (scaler := getattr(self, 'scaler', None)) else {},
            'files': {name: sha256 for name, sha256 in getattr(self, 'hashes_of_files', {}).items()
                      if name.endswith(f'_{current_iter}.pth')},
            'model': self.more_for_the_state() if hasattr(self, 'more_for_the_state') else {}}
    write = torch.save
    with swapped(torch, 'save', lambda content, path: write({**content, **more}, path)):
        save(self, epoch, current_iter)
    forget_older(self)


def _check_groups(model: Any, state: State) -> None:
    """Check that a state's optimizers have the parameters of the model's, group by group."""
    ours, theirs = ([[len(group['params']) for group in groups] for groups in side] for side in (
        [optimizer.param_groups for optimizer in model.optimizers],
        [optimizer['param_groups'] for optimizer in state['optimizers']]))
    if ours != theirs:
        raise UserError(f'the training cannot be resumed: its optimizers had groups of {theirs} parameters, now they '
                        f"have {ours}.\nTake the networks, losses and 'bias' that it began with, or start again "
                        'under another name.')


def _given_rates(optimizer: torch.optim.Optimizer) -> list[dict[str, Any]]:
    return [{name: value for name, value in group.items() if name != 'params'} for group in optimizer.param_groups]


def _use_given_rates(optimizer: torch.optim.Optimizer, given: list[dict[str, Any]]) -> None:
    """Let what the option file says of an optimizer hold, not the state: rates, their decay, moments.

    A rate that a schedule has already lowered is lowered in the same proportion.
    """
    for group, asked in zip(optimizer.param_groups, given, strict=True):
        saved, wanted = (each.get('initial_lr', each['lr']) for each in (group, asked))
        lr = group['lr'] * (wanted / saved) if wanted != saved else group['lr']
        group.update(asked | {'lr': lr})


def _restore_random_state(resume: Callable, self: Any, resume_state: State) -> None:
    _check_groups(self, resume_state)
    given = [_given_rates(optimizer) for optimizer in self.optimizers]
    resume(self, resume_state)
    for optimizer, groups in zip(self.optimizers, given, strict=True):
        _use_given_rates(optimizer, groups)
    for schedule in self.schedulers:
        schedule.base_lrs = [group['initial_lr'] for group in schedule.optimizer.param_groups]
    if hasattr(self, 'restore'):
        self.restore(resume_state.get('model', {}))
    if resume_state.get('best_metric_results'):
        self.best_metric_results = resume_state['best_metric_results']
    if resume_state.get('scaler'):  # of float16; empty in any other precision
        self.scaler.load_state_dict(resume_state['scaler'])
    if resume_state.get('random'):
        _set_random_state(resume_state['random'][self.opt['rank']])


class ThisRun:
    """What load_resume_state and create_train_val_dataloader found, for functions that BasicSR calls without it."""

    state: State | None = None
    batches = 1
    """Full batches in an epoch."""


def save_out_of_turn(model: Any, iteration: int) -> None:
    """Save a step where no checkpoint is due; every rank must call this.

    Its state goes when a later one is there: an unbroken training would not have it.
    """
    if iteration % model.opt['logger']['save_checkpoint_freq']:
        model.save((iteration - 1) // ThisRun.batches, iteration)
        if model.opt['rank'] == 0:
            Path(model.opt['path']['training_states'], f'{iteration}.stopped').touch()


def _check_split(state: State, opt: dict[str, Any]) -> None:
    """Refuse a state of a training that shares its batches in another way; older states tell only their processes."""
    here = _split(opt)
    saved = state.get('split') or ({'processes': len(state['random'])} if 'random' in state else {})
    other = [name for name, number in saved.items() if number != here[name]]
    if other:
        def numbers(split: dict[str, int]) -> str:
            return ' and '.join(f'{split[name]} {name}' for name in other)
        raise UserError(f"state '{opt['path']['resume_state']}' is of a training with {numbers(saved)}, but this one "
                        f'has {numbers(here)}: continue with the same numbers, or start again under another name.')


def _remember_state(load: LoadState, opt: dict[str, Any]) -> State | None:
    ThisRun.state = load(opt)
    if ThisRun.state:
        _check_split(ThisRun.state, opt)
        if not opt['auto_resume']:  # which has done it
            _check_networks(ThisRun.state, Path(opt['path']['models']))
    return ThisRun.state


def _go_on_in_mid_epoch(create: Callable[..., Loaders], opt: dict[str, Any], logger: Any) -> Loaders:
    loaders = create(opt, logger)
    loader, sampler, validation = loaders[:3]
    for each in (loader, *validation):
        each.generator = each.generator or generator_of(opt['manual_seed'])
    ThisRun.batches = max(1, len(loader))
    if ThisRun.state and len(loader):
        sampler.first_iteration = ThisRun.state['iter']
        ThisRun.state['epoch'] = ThisRun.state['iter'] // len(loader)  # also right after an epoch's last iteration
    return loaders


MID_EPOCH = Defect(
    'mid-epoch', 'basicsr.models.base_model:BaseModel.save_training_state',
    'a resumed run sees the first images of the epoch twice and draws other random numbers', unless='rng',
    wrap={'basicsr.models.base_model:BaseModel.save_training_state': _save_random_state,
          'basicsr.models.base_model:BaseModel.resume_training': _restore_random_state,
          _LOAD: _remember_state, 'basicsr.train:create_train_val_dataloader': _go_on_in_mid_epoch},
    requires=('epoch-order',))
