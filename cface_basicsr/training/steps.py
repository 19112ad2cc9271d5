"""Run a recipe's steps in order: skip what is finished, continue what was killed, refuse what has changed."""

import json
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import torch
from typing_extensions import TypedDict

from cface_basicsr.errors import UserError
from cface_basicsr.files.atomic import lock, write_json
from cface_basicsr.files.json_file import read_json
from cface_basicsr.files.manifest import MANIFEST, file_hash, manifest_hashes
from cface_basicsr.measuring.measure import check_stores
from cface_basicsr.options import count_images, read_option_file, write_option_file
from cface_basicsr.recognizers.load import load_recognizer
from cface_basicsr.runtime import Progress, pick_device
from cface_basicsr.training.process import run_training
from cface_basicsr.training.recipe import GenerateStep, IndexStep, Recipe, TrainStep, iterations
from cface_basicsr.version import __version__

DATA = 'data.json'
"""File of a run folder: the training set that it was begun with."""


class _Finished(TypedDict):
    """What finished.json says of a step."""

    options: dict[str, Any]
    weights: dict[str, str]


class OtherOptions(UserError):
    """A run folder was begun with other options."""


def run_steps(recipe: Recipe, show: Progress, processes: int = 1, after: Callable[[str], None] | None = None,
              failed: dict[str, str] | None = None) -> None:
    """Run all steps of a recipe into its run folder.

    Args:
        recipe: the recipe.
        show: told of each step.
        processes: of each training.
        after: called with the name of each step that is done.
        failed: where it is given, a step that fails is recorded here with its reason, and only the steps that need it
            are left out.

    Raises:
        UserError: an option is wrong, data are missing, a step failed, or the run folder was begun with other options
            (`OtherOptions`).
    """
    recipe.check_options()
    check_stores(recipe.train_folder, recipe.file.scale)
    recipe.out.mkdir(parents=True, exist_ok=True)
    with exclusive_run(recipe.out):
        _check_same_data(recipe)
        write_json(recipe.out / DATA, _data(recipe))
        for name in recipe.file.steps:
            try:
                _run_step(recipe, name, show, processes, failed or {})
            except OtherOptions:
                raise
            except UserError as error:
                if failed is None:
                    raise
                failed[name] = str(error)
                show.end(name, f'failed: {error}')
                continue
            if after:
                after(name)


def _run_step(recipe: Recipe, name: str, show: Progress, processes: int, failed: Mapping[str, str]) -> None:
    step = recipe.file.steps[name]
    for source in recipe.sources(name):
        if source in failed:
            raise UserError(f"it starts from '{source}', which failed: {failed[source]}")
    run: dict[type, Callable[[Recipe, str, Progress, int], None]] = {
        TrainStep: _train_step, IndexStep: _index_step, GenerateStep: _generate_step}
    run[type(step)](recipe, name, show, processes)


def check_same_run(recipe: Recipe) -> None:
    """Check that a run folder was begun with the same options and data, before any work is done in it.

    Raises:
        OtherOptions: a training was begun with other options, or all of them with other data; both are shown.
    """
    _check_same_data(recipe)
    for name in recipe.trainings:
        path = recipe.out / 'options' / f'{name}.yml'
        if path.is_file():
            _keep_options(path, recipe.compose(name))


def _check_same_data(recipe: Recipe) -> None:
    """A run folder belongs to one training set: another one in its place may hold identities that are tested now."""
    path = recipe.out / DATA
    if path.is_file():
        _check_equal(read_json(path), _data(recipe), path, 'another training set')


def _data(recipe: Recipe) -> dict[str, str]:
    stores = manifest_hashes(recipe.train_folder)
    names = ('hr.lmdb', f'lr_x{recipe.file.scale}.lmdb', 'identities.csv')
    return {name: stores[name] for name in names if name in stores} or {
        'identities.csv': file_hash(recipe.train_folder / 'identities.csv', 64)}


def exclusive_run(folder: Path) -> AbstractContextManager[None]:
    """Hold the lock of a run folder, so that a second run in it is refused."""
    return lock(folder, "another run is at work in '{}'. Wait for it, or choose another --out.", inherited=True)


# -------------------------------------------------------------------------------------------------------- one training

def _train_step(recipe: Recipe, name: str, show: Progress, processes: int) -> None:
    opt = recipe.compose(name)
    source = _weights_hashes(recipe, name)
    if _is_finished(recipe.out / name, opt, source):
        return show.end(name, 'already finished')
    options = recipe.out / 'options' / f'{name}.yml'
    _keep_options(options, opt, changed=name == recipe.continued)
    total = iterations(opt)
    show.start(name, total)
    began = time.time()
    run_training(options, recipe.out / 'logs' / f'{name}.log', show.advance, processes)
    _mark_finished(recipe.out / name, opt, source, seconds=round(time.time() - began, 1), iterations=total)
    return show.end(name, f'{total} iterations, {time.time() - began:.0f} s')


def _weights_hashes(recipe: Recipe, name: str) -> dict[str, str]:
    """network_x -> hash of the file it starts from."""
    hashes = {}
    for network, who in recipe.file.steps[name].weights.items():
        path = recipe.weights_of(who, network[-1])
        if not path.is_file():
            raise UserError(f"step '{name}': weights file '{path}' of '{who}' is missing. Run that step again.")
        hashes[network] = file_hash(path)
    return hashes


def _keep_options(path: Path, opt: Mapping[str, Any], changed: bool = False) -> None:
    """Write a step's options, or check that the folder was begun with the same, unless they may have `changed`."""
    if path.is_file() and not changed:
        before = read_option_file(path)
        before.pop('plugin', None)
        return _check_equal(before, opt, path)
    return write_option_file(opt, path)


def _check_equal(before: Mapping[str, Any], now: Mapping[str, Any], path: Path, of: str = 'other options') -> None:
    old, new = _flat(before), _flat(now)
    for key in {**old, **new}:
        if old.get(key) != new.get(key):
            raise OtherOptions(f"'{path}' was begun with {of}: {key} was {old.get(key)!r}, now "
                               f'{new.get(key)!r}.\nChoose another --out, or remove that folder.')


def _flat(section: Mapping[str, Any], prefix: str = '') -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in section.items():
        if isinstance(value, Mapping):
            flat |= _flat(value, f'{prefix}{key}.')
        else:
            flat[f'{prefix}{key}'] = list(value) if isinstance(value, tuple) else value
    return flat


def _is_finished(folder: Path, opt: Mapping[str, Any], source: Mapping[str, str]) -> bool:
    path = folder / 'finished.json'
    if not path.is_file():
        return False
    record = read_json(path, _Finished)
    _check_equal(record['options'], json.loads(json.dumps(opt)), path)
    _check_equal(record['weights'], source, path)
    return True


def _mark_finished(folder: Path, opt: Mapping[str, Any], source: Mapping[str, str], **facts: Any) -> None:
    write_json(folder / 'finished.json', {'options': opt, 'weights': source, **facts, 'version': __version__,
                                          'torch': torch.__version__})


# -------------------------------------------------------------------------------------------------- index and stage 2

def _count_faces(recipe: Recipe) -> int:
    return count_images({'dataroot_gt': str(recipe.train_folder / 'hr.lmdb')}) or 0


def _index_step(recipe: Recipe, name: str, show: Progress, processes: int) -> None:
    from cface_basicsr.data.compare_index import build_index, read_index_manifest
    step = recipe.file.steps[name]
    path = recipe.weights_of(step.index, 'r')
    folder = recipe.index_folder(step.index)
    if (folder / MANIFEST).is_file() and read_index_manifest(folder)['k'] == step.k:
        return show.end(name, 'already finished')
    show.start(name, _count_faces(recipe))
    device = pick_device()
    build_index(recipe.train_folder, load_recognizer(path).to(device), folder.name, k=step.k, device=device,
                progress=lambda done, total: show.advance(done))
    return show.end(name, str(folder))


def _generate_step(recipe: Recipe, name: str, show: Progress, processes: int) -> None:
    from cface_basicsr.data.super_resolved_store import super_resolve_folder
    generator = recipe.file.steps[name].generate
    weights, store = recipe.weights_of(generator, 'g'), recipe.generated_store(generator)
    if (store / 'meta_info.txt').is_file():
        return show.end(name, 'already finished')
    show.start(name, _count_faces(recipe))
    super_resolve_folder(weights, recipe.train_folder, recipe.file.scale, store, device=pick_device(),
                         progress=lambda done, total: show.advance(done))
    return show.end(name, str(store))
