"""How long an image takes in each training: from a few real steps on synthetic faces, or from a JSON file.

The steps are BasicSR's, run in a process of their own as in a real training, with the real networks, losses and batch.
Only data, recognizers and VGG19 are replaced by stand-ins where they are not there yet: they cost the same time.
"""

import hashlib
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import torch

from cface_basicsr.benchmark.plan import RECOGNIZERS, Plan
from cface_basicsr.errors import UserError, check_file
from cface_basicsr.files.atomic import write_json
from cface_basicsr.files.json_file import read_json
from cface_basicsr.files.manifest import file_hash
from cface_basicsr.files.network_file import build_network
from cface_basicsr.options import merge, write_option_file
from cface_basicsr.options.training import SPEED_OPTIONS
from cface_basicsr.runtime import Progress, describe_device, describe_seconds
from cface_basicsr.training.logs import seconds_an_iteration
from cface_basicsr.training.process import run_training
from cface_basicsr.training.recipe import Recipe, iterations

FILE = 'throughput.json'
QUICK_BATCH, QUICK_STEPS, STEPS = 2, 2, 4
"""First QUICK_STEPS steps of two images are timed; where a whole batch would then take at most LONG seconds, so are
STEPS steps of it."""
LONG = 20.0

SecondsPerImage = dict[str, float]
"""'x8/edsr', 'recognizers/judge' -> seconds per image of a step of that training."""


class PlannedTraining(NamedTuple):
    """One training of a plan; `key` is that of its throughput, which is the same for all seeds."""

    key: str
    recipe: Recipe
    step: str

    @property
    def images(self) -> int:
        """How many images it takes, without those of the trainings before it."""
        return self.recipe.own_images(self.step)

    @property
    def iterations(self) -> int:
        """How many iterations it takes, without those of the trainings before it."""
        return iterations(self.recipe.compose(self.step))


def trainings(plan: Plan) -> Iterator[PlannedTraining]:
    """Every training of a plan, in the order in which they are run."""
    if plan.recognizers:
        yield from (PlannedTraining(f'{RECOGNIZERS}/{name}', plan.recognizers, name)
                    for name in plan.recognizers.trainings)
    for run in plan.runs:
        yield from (PlannedTraining(f'x{run.scale}/{name}', run.recipe, name) for name in run.recipe.trainings)


def read_throughput(path: Path) -> dict[str, Any]:
    """A file of measured throughput: {'device': …, 'seconds_an_image': {key: seconds}, 'options': {key: their hash}}.

    Raises:
        UserError: it is missing, or has other contents.
    """
    check_file(path, 'Expected a file that `cface benchmark FILE --plan --measure` writes.')
    try:
        content = read_json(path)
        return content | {'seconds_an_image': {key: float(value) for key, value in content['seconds_an_image'].items()}}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"'{path}' is not a file of measured throughput ({type(error).__name__}): expected what "
                        '`cface benchmark FILE --plan --measure` writes.') from error


def find_throughput(plan: Plan, given: Path | None, show: Progress,
                    measure: bool = True) -> tuple[SecondsPerImage, dict[str, str], str]:
    """The throughput of every training of a plan.

    Args:
        given: a file of measured throughput.
        measure: measure the trainings whose throughput is not known; otherwise they are left out.

    Returns:
        the throughput of each, the reason for each that could not be measured, and the device as text. What was
        measured is kept in the run folder's throughput.json, and is measured again only where its options have changed.
    """
    read = read_throughput(given) if given else {'seconds_an_image': {}}
    path, here = plan.out / FILE, describe_device()
    if not (measure or given or path.is_file()):
        return {}, {}, here
    kept = read_throughput(path) if path.is_file() else {}
    if kept.get('device') != here:
        kept = {'seconds_an_image': {}, 'options': {}}
    wanted = {each.key: each.recipe.compose(each.step) for each in trainings(plan)}
    hashes = {key: options_hash(opt) for key, opt in wanted.items()}
    still = {key: kept['seconds_an_image'][key] for key, value in kept.get('options', {}).items()
             if hashes.get(key) == value and key in kept['seconds_an_image']}
    throughput = {key: value for key, value in (still | read['seconds_an_image']).items() if key in wanted}
    missing = {key: opt for key, opt in wanted.items() if key not in throughput}
    measured, unknown = _measure(missing, show) if missing and measure else ({}, {})
    if measured:
        write_json(path, {'device': here, 'seconds_an_image': kept['seconds_an_image'] | measured,
                          'options': kept.get('options', {}) | {key: hashes[key] for key in measured}})
    return throughput | measured, unknown, here if measured or not given else str(read.get('device', given))


def kept_throughput(plan: Plan) -> SecondsPerImage:
    """The throughput that a run folder keeps from a measurement, good enough for an estimate; {} where it has none."""
    path = plan.out / FILE
    return read_throughput(path)['seconds_an_image'] if path.is_file() else {}


def options_hash(opt: Mapping[str, Any]) -> str:
    """A hash of what decides the time of a step: model, networks, losses, batch; not data, length or seeds."""
    train = {key: value for key, value in opt['train'].items() if key.endswith('_opt') or key in SPEED_OPTIONS}
    parts = {key: value for key, value in opt.items() if key.startswith('network_') or key in ('model_type', 'scale')}
    text = json.dumps([parts, train, opt['datasets']['train']['batch_size']], sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


# ------------------------------------------------------------------------------------------------------------ measuring

def _measure(missing: Mapping[str, dict[str, Any]], show: Progress) -> tuple[SecondsPerImage, dict[str, str]]:
    throughput: SecondsPerImage = {}
    unknown: dict[str, str] = {}
    show.start('measuring throughput', len(missing))
    with TemporaryDirectory(prefix='cface_throughput_') as folder:
        stand_ins = _StandIns(Path(folder), list(missing.values()))
        for number, (key, opt) in enumerate(missing.items(), 1):
            try:
                throughput[key] = _seconds_an_image(stand_ins.options(opt), Path(folder) / str(number))
            except UserError as error:
                unknown[key] = str(error).splitlines()[0]
            show.advance(number, key)
    failed = f', {len(unknown)} could not be measured' if unknown else ''
    show.end('measuring throughput', f'{len(throughput)} trainings{failed}')
    return throughput, unknown


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
    """A small folder of synthetic faces, an index of it, and networks with random weights, for these trainings."""

    def __init__(self, folder: Path, trainings: Sequence[Mapping[str, Any]]) -> None:
        self.folder, self.data = folder, folder / 'data'
        scales = {opt['scale'] for opt in trainings if 'scale' in opt}  # a recognizer's training has none
        self._make_faces(scales or {8}, max(opt['datasets']['train']['batch_size'] for opt in trainings))
        self.index = self._make_index()

    def _make_faces(self, scales: set[int], batch: int) -> None:
        """Four images of each identity, two batches in all."""
        from cface_basicsr.data.generated_faces.tree import TreeSettings, write_synthetic_faces
        from cface_basicsr.data.prepare.run import PrepareSettings, prepare
        write_synthetic_faces(self.folder / 'faces', TreeSettings(identities=max(2, -(-2 * batch // 4)), images=4))
        prepare(self.folder / 'faces', self.data, PrepareSettings(scales=tuple(sorted(scales))))

    def _make_index(self) -> str:
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
        """A training's options, with the stand-ins; nothing is validated or saved along the way."""
        opt = merge(opt, {'name': 'throughput', 'val': None, 'datasets': {'val': None}, 'logger': {
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
        """A loss; VGG19 with random weights where torch hub would fetch the file: it costs the same time."""
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


# ---------------------------------------------------------------------------------------------------- the time left

class Eta:
    """A `Progress` of all trainings of a plan; at the end of each it says how long the others will take."""

    def __init__(self, plan: Plan, throughput: SecondsPerImage, show: Progress) -> None:
        """
        Args:
            throughput: what is known of them; where one is missing, all images are taken to cost the same.
            show: where everything is passed on, with the estimate appended to the note of each training.
        """
        planned = list(trainings(plan))
        known = all(each.key in throughput for each in planned)
        self.left = {(each.recipe.out, each.step): each.images * (throughput[each.key] if known else 1.0)
                     for each in planned}
        self.show, self.spent, self.done = show, 0.0, 0.0

    def follow(self, recipe: Recipe) -> 'Eta':
        """The same `Progress`, now for the steps of this recipe."""
        self.folder, self.began = recipe.out, {}
        return self

    def start(self, name: str, total: int) -> None:
        """A step begins."""
        self.began, self.total, self.seen = {name: time.monotonic()}, total, []
        self.show.start(name, total)

    def advance(self, done: int, text: object = '') -> None:
        """A part of it is done; a continued training begins where it was stopped."""
        self.seen = [*self.seen[:1], (time.monotonic(), done)]
        self.show.advance(done, text)

    def end(self, name: str, note: str) -> None:
        """A step is done, or was done before, or has failed."""
        seconds, share, failed = None, 1.0, note.startswith('failed')
        if name in self.began:
            (first, begun), (last, done) = (self.seen[0], self.seen[-1]) if self.seen else ((0.0, 0), (0.0, 0))
            if done > begun and self.total:
                seconds, share = last - first, (done - begun) / self.total
            elif not failed:  # too short for a report
                seconds, share = time.monotonic() - self.began[name], 1 - begun / max(self.total, 1)
        self.show.end(name, note + self.ended(name, seconds, share))

    def ended(self, step: str, seconds: float | None, share: float = 1.0) -> str:
        """Note that a step has ended; returns what to say of the rest, '' where nothing can be said.

        Args:
            seconds: that were watched of it; None where it was finished before.
            share: of its iterations that were made in them.
        """
        cost = self.left.pop((self.folder, step), None)
        if cost is None or seconds is None:
            return ''
        self.spent, self.done = self.spent + seconds, self.done + cost * share
        rest = sum(self.left.values())
        if not (rest and self.done):
            return ''
        return f'; about {describe_seconds(rest * self.spent / self.done)} of training left'
