"""How long an image takes in each training: a few real steps of it on drawn faces, or a JSON file of rates.

The steps are BasicSR's own, in a process of its own as in a real run, with the real networks, losses and batch. Only
data, recognizers and VGG19 are stand-ins where they are not there yet: they cost the same time.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch

from cface_basicsr.benchmark.plan import Plan
from cface_basicsr.errors import UserError
from cface_basicsr.files.atomic import write_json
from cface_basicsr.files.network_file import build_network, file_hash
from cface_basicsr.options import merge, write_option_file
from cface_basicsr.runtime import Progress, describe_device
from cface_basicsr.training.logs import seconds_an_iteration
from cface_basicsr.training.process import run_training
from cface_basicsr.training.recipe import Recipe, iterations

RATES = 'rates.json'
QUICK_BATCH, QUICK_STEPS, STEPS = 2, 2, 4
"""A first look at two images; where a whole batch then takes no longer than LONG seconds, so many of it are timed."""
LONG = 20.0

Rates = dict[str, float]
"""'x8/edsr', 'recognizers/witness' -> seconds of one image in one step of that training."""


def trainings(plan: Plan) -> Iterator[tuple[str, Recipe, str]]:
    """(key of its rate, recipe, step) of every training of a plan; a rate is that of all seeds."""
    if plan.recognizers:
        yield from ((f'{plan.recognizers.file.name}/{name}', plan.recognizers, name)
                    for name in plan.recognizers.trainings)
    for run in plan.runs:
        yield from ((f'x{run.scale}/{name}', run.recipe, name) for name in run.recipe.trainings)


def read_rates(path: Path) -> dict[str, Any]:
    """A rates file: {'device': …, 'seconds_an_image': {key: seconds}, 'options': {key: hash of what was measured}}.

    Raises:
        UserError: missing, or no such file.
    """
    try:
        content = json.loads(path.read_text(encoding='utf-8'))
        return content | {'seconds_an_image': {key: float(value) for key, value in content['seconds_an_image'].items()}}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"'{path}' is no file of rates ({type(error).__name__}): expected JSON with "
                        "{'seconds_an_image': {'x8/edsr': 0.05, …}}, as `cface benchmark FILE --plan` writes it."
                        ) from error


def find_rates(plan: Plan, given: Path | None, show: Progress) -> tuple[Rates, dict[str, str], str]:
    """The rate of every training of a plan.

    Args:
        given: a rates file; what it names is taken from it, the rest is measured.

    Returns:
        the rates, those that could not be measured with the reason, and the device in words. What was measured stands
        in the run folder's rates.json, and is measured again only where its options have changed.
    """
    read = read_rates(given) if given else {'seconds_an_image': {}}
    kept_in = plan.out / RATES
    kept = read_rates(kept_in) if kept_in.is_file() else {'seconds_an_image': {}, 'options': {}}
    wanted = {key: (recipe, step) for key, recipe, step in trainings(plan)}
    rates = {key: read['seconds_an_image'][key] for key in wanted if key in read['seconds_an_image']}
    hashes = {key: options_hash(recipe.compose(step)) for key, (recipe, step) in wanted.items() if key not in rates}
    here = describe_device()
    if kept.get('device') == here:
        rates |= {key: kept['seconds_an_image'][key] for key, mark in hashes.items()
                  if kept.get('options', {}).get(key) == mark}
    missing = {key: wanted[key] for key in wanted if key not in rates}
    measured, unknown = _measure(missing, show) if missing else ({}, {})
    if measured:
        _keep(kept_in, here, kept, measured, hashes)
    return rates | measured, unknown, here if measured or not given else str(read.get('device', given))


def kept_rates(plan: Plan) -> Rates:
    """The rates that a run folder keeps from a measurement, good enough for an estimate; none where it has none."""
    path = plan.out / RATES
    return read_rates(path)['seconds_an_image'] if path.is_file() else {}


def _keep(path: Path, here: str, kept: Mapping[str, Any], measured: Rates, hashes: Mapping[str, str]) -> None:
    old = kept if kept.get('device') == here else {}
    path.parent.mkdir(parents=True, exist_ok=True)
    write_json(path, {'device': here, 'seconds_an_image': old.get('seconds_an_image', {}) | measured,
                      'options': old.get('options', {}) | {key: hashes[key] for key in measured}})


def options_hash(opt: Mapping[str, Any]) -> str:
    """What decides the time of a step: model, networks, losses, batch; not data, length, rates or seeds."""
    train = {key: value for key, value in opt['train'].items() if key.endswith('_opt') or key == 'channels_last'}
    parts = {key: value for key, value in opt.items() if key.startswith('network_') or key in ('model_type', 'scale')}
    text = json.dumps([parts, train, opt['datasets']['train']['batch_size']], sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


# ------------------------------------------------------------------------------------------------------------ measuring

def _measure(missing: Mapping[str, tuple[Recipe, str]], show: Progress) -> tuple[Rates, dict[str, str]]:
    rates: Rates = {}
    unknown: dict[str, str] = {}
    show.start('measuring rates', len(missing))
    with TemporaryDirectory(prefix='cface_rates_') as folder:
        stand_ins = _StandIns(Path(folder), {recipe.file.scale for recipe, _ in missing.values()},
                              max(recipe.compose(step)['datasets']['train']['batch_size']
                                  for recipe, step in missing.values()))
        for number, (key, (recipe, step)) in enumerate(missing.items(), 1):
            try:
                rates[key] = _seconds_an_image(stand_ins.options(recipe.compose(step)), Path(folder) / str(number))
            except UserError as error:
                unknown[key] = str(error).splitlines()[0]
            show.advance(number, key)
    failed = f', {len(unknown)} could not be measured' if unknown else ''
    show.end('measuring rates', f'{len(rates)} trainings{failed}')
    return rates, unknown


def _seconds_an_image(opt: dict[str, Any], folder: Path) -> float:
    batch = opt['datasets']['train']['batch_size']
    small = min(QUICK_BATCH, batch)
    quick = _timed(opt, folder / 'quick', small, QUICK_STEPS) / small
    return quick if quick * batch > LONG else _timed(opt, folder / 'whole', batch, STEPS) / batch


def _timed(opt: dict[str, Any], folder: Path, batch: int, steps: int) -> float:
    """Seconds of one step: the median of `steps` steps after a first one."""
    opt = merge(opt, {'datasets': {'train': {'batch_size': batch}}, 'train': {'total_iter': 1 + steps},
                      'path': {'experiments_root': str(folder)}})
    folder.mkdir(parents=True)
    write_option_file(opt, folder / 'options.yml')
    run_training(folder / 'options.yml', folder / 'log', lambda done, text: None)
    return seconds_an_iteration([folder / 'log'])


class _StandIns:
    """A small folder of drawn faces, an index over it, and networks with random weights."""

    def __init__(self, folder: Path, scales: set[int], batch: int) -> None:
        self.folder, self.data = folder, folder / 'data'
        self._draw(scales, max(2, -(-2 * batch // 4)))
        self.index = self._index()

    def _draw(self, scales: set[int], identities: int) -> None:
        """Four faces a person, two batches in all."""
        from cface_basicsr.data.generated_faces.tree import TreeSettings, write_synthetic_faces
        from cface_basicsr.data.prepare.run import PrepareSettings, prepare
        write_synthetic_faces(self.folder / 'faces', TreeSettings(identities=identities, images=4))
        settings = PrepareSettings(scales=tuple(sorted(scales)), crop='center', template=None, weights=None, holdout=0,
                                   seed=0)
        prepare(self.folder / 'faces', self.data, settings)

    def _index(self) -> str:
        from cface_basicsr.data.compare_index import build_index
        from cface_basicsr.recognizers.load import load_recognizer
        path = self.network({'type': 'SphereFace20', 'input_size': [128, 128], 'num_feat': 2, 'feature_length': 8})
        build_index(self.data, load_recognizer(path), file_hash(path), k=3, device='cpu')
        return str(self.data / 'index' / file_hash(path))

    def network(self, section: Mapping[str, Any]) -> Path:
        """A network file with random weights."""
        mark = hashlib.sha256(json.dumps(section, sort_keys=True, default=str).encode()).hexdigest()[:8]
        path = self.folder / f'{mark}.pth'
        if not path.is_file():
            torch.save({'params': build_network(section).state_dict(), 'network': dict(section)}, path)
        return path

    def options(self, opt: Mapping[str, Any]) -> dict[str, Any]:
        """A training's options on the stand-ins; nothing is validated or saved along the way."""
        opt = merge(opt, {'name': 'rate', 'val': None, 'datasets': {'val': None}, 'logger': {
            'print_freq': 1, 'save_checkpoint_freq': 1000000, 'use_tb_logger': False}})
        opt = merge(opt, {'datasets': {'train': self._dataset(opt['datasets']['train'])}})
        opt['path'] = {}
        recognizer = opt.get('network_r')
        if recognizer and 'file' not in recognizer:
            opt['path'] = {'pretrain_network_r': str(self.network(recognizer))}
        opt['train'] = {key: self._loss(values) for key, values in opt['train'].items()}
        return opt

    def _dataset(self, values: Mapping[str, Any]) -> dict[str, Any]:
        places = {key: self._place(values[key]) for key in ('dataroot_gt', 'dataroot_lq') if values.get(key)}
        return places | ({'compare_index': self.index} if values.get('compare_index') else {})

    def _place(self, path: str | list[str]) -> Any:
        if isinstance(path, list):
            return [self._place(item) for item in path]
        name = Path(path).name
        return str(self.data / ('hr.lmdb' if name.startswith('sr_') else name))

    def _loss(self, values: Any) -> Any:
        """VGG19 with random weights where the file is left to torch hub and is not there: it costs the same time."""
        if not isinstance(values, Mapping) or values.get('weights') or not str(values.get('type')).startswith('VGG'):
            return values
        hub = Path(torch.hub.get_dir(), 'checkpoints')
        return dict(values) if list(hub.glob('vgg19-*.pth')) else dict(values) | {'weights': str(self._vgg())}

    def _vgg(self) -> Path:
        path = self.folder / 'vgg19.pth'
        if not path.is_file():
            from torchvision.models import vgg19
            torch.save({f'features.{key}': value for key, value in vgg19().features.state_dict().items()}, path)
        return path


def seconds_of(plan: Plan, rates: Rates) -> dict[tuple[str, str], float | None]:
    """(run folder, step) -> expected seconds of each training; None where its rate is unknown."""
    return {(str(recipe.out), step): rates[key] * images_of(recipe, step) if key in rates else None
            for key, recipe, step in trainings(plan)}


def images_of(recipe: Recipe, step: str) -> int:
    """Images that one training takes, its own alone."""
    opt = recipe.compose(step)
    return iterations(opt) * opt['datasets']['train']['batch_size']
