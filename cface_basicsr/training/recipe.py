"""Recipes: a chain of steps in one file, on top of the stage option files.

A recipe names stage option files and what differs from them, so nothing of a stage is repeated. A step is one of

    options: FILE     a training by BasicSR, with `set:` (changes to the file) and `weights:` (what it starts from)
    index: WHO        the compare index of a recognizer
    generate: STEP    stage 2: the training set super-resolved by that step's generator

and refers to earlier steps by name, or to a weights file by its path.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from copy import deepcopy
from functools import cache
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import BeforeValidator, Field, WrapValidator

from cface_basicsr.errors import UserError, check_known, nearest
from cface_basicsr.files.recognizer_file import named_recognizer
from cface_basicsr.measuring.request import HELD_OUT, Perceptual, TestSet, check_names
from cface_basicsr.options import (
    FolderName,
    Section,
    check_frame,
    check_training_options,
    count_images,
    merge,
    open_section,
    problem,
    read_option_file,
)
from cface_basicsr.options.option_file import Common
from cface_basicsr.options.training import leading_recognizers
from cface_basicsr.training.scale import check_scale, set_scale, store_in, train_folder, with_stores

_Kind = TypeVar('_Kind')


def _without_nulls(names: Any) -> Any:
    if names is None:
        return {}
    return {name: value for name, value in names.items() if value is not None} if isinstance(names, Mapping) else names


REMOVABLE = BeforeValidator(_without_nulls)
"""For name -> something in a file that may be laid over another one: `~` takes a name away."""


class TrainStep(Section):
    """A training by BasicSR: a stage option file, and what differs from it."""

    options: str
    """A stage option file, relative to the recipe."""
    set: dict[str, Any] = Field(default_factory=dict)
    """What differs from that file; `~` removes a section."""
    weights: Annotated[dict[str, str], REMOVABLE] = Field(default_factory=dict)
    """Network -> an earlier step, or a file (`.pth`, `.onnx`), that it starts from."""
    d_sr: str | None = None
    """For a training that reads D_SR: the `generate` step that wrote it; by default the first one."""

    @property
    def sources(self) -> list[str]:
        """The steps and files that it starts from."""
        return [*self.weights.values(), *([self.d_sr] if self.d_sr else [])]


class IndexStep(Section):
    """The compare index of the training set."""

    index: str
    """The step or file (`.pth`, `.onnx`) whose recognizer finds the neighbours."""
    k: int = Field(default=5, ge=1)
    """How many neighbours each image has."""

    @property
    def sources(self) -> list[str]:
        """The recognizer."""
        return [self.index]


class GenerateStep(Section):
    """Stage 2: the training set super-resolved."""

    generate: str
    """The step or file (`.pth`) whose generator does it."""

    @property
    def sources(self) -> list[str]:
        """The generator."""
        return [self.generate]


_STEPS: dict[str, type[Section]] = {'options': TrainStep, 'index': IndexStep, 'generate': GenerateStep}
"""The key that a step must have -> what the step then is."""


def _one_kind(values: Any, handler: Callable[[Any], Any]) -> Any:
    """A step as the kind that its key names; a step with none of the keys, or with two, is refused."""
    given = [key for key in _STEPS if isinstance(values, Mapping) and key in values]
    if len(given) == 1:
        return _STEPS[given[0]].model_validate(values)
    keys = {key for kind in _STEPS.values() for key in kind.model_fields}
    for key in values if isinstance(values, Mapping) and not given else ():
        if key not in keys:
            raise problem('unknown', nearest(key, keys), key)
    raise problem('wrong', f"expected one of {', '.join(_STEPS)}; got {', '.join(given) or 'none'}.")


Step = Annotated[TrainStep | IndexStep | GenerateStep, WrapValidator(_one_kind)]
"""One step of a recipe."""


class ReportOptions(Section):
    """What is measured when the steps are done; the keys are those of a benchmark file."""

    tests: Annotated[dict[str, TestSet], REMOVABLE] = Field(default_factory=lambda: {HELD_OUT: TestSet()}, min_length=1)
    """Name -> faces that are measured on; by default the held-out ones."""
    recognizers: Annotated[dict[str, str], REMOVABLE] = Field(min_length=1)
    """Name in the table -> step or weights file; one leads the losses, the others are judges that no loss has met."""
    rows: Annotated[dict[str, str], REMOVABLE] = Field(default_factory=dict)
    """Title of a system in the table -> the step that trained its generator. `~` leaves out a row of the base."""
    perceptual: Annotated[Perceptual, REMOVABLE] = Field(default_factory=dict)
    """`lpips` or `dists` -> folder with torchvision's file of the network that it is measured by, which is never
    fetched; needs the package torchmetrics."""
    also_after: list[str] = Field(default_factory=list)
    """Steps after which an early report is made of the rows that are there by then."""
    domains: Annotated[dict[str, dict[str, str]], REMOVABLE] = Field(default_factory=dict)
    """Title -> `{generator: STEP, recognizer: STEP or file}`, for the mean distances of the paper's section 3.4."""
    notes: list[str] = Field(default_factory=list)
    """Lines that the report shows as notes."""


class RecipeFile(Section):
    """A recipe file; `base:` names another recipe, which this one changes."""

    name: FolderName
    """Name of the run."""
    scale: int
    """2, 4 or 8: the scale of all steps, whatever the stage files say."""
    data: str
    """The folder that `cface prepare --holdout` made; `--data` names another."""
    out: str | None = None
    """The run folder, by default `experiments/<name>`; `--out` names another."""
    common: Common = Field(default_factory=dict)
    """Changes to every stage file that has such a section; what is in `logger`, to every one."""
    steps: Annotated[dict[FolderName, Step], REMOVABLE]
    """Name -> step, in order; each is a training, an index or stage 2. `~` leaves out a step of the base."""
    report: ReportOptions | None = None
    """What is measured when the steps are done."""


def fill_variables(value: Any, variables: Mapping[str, str]) -> Any:
    """Replace strings `$name` by the value of a variable, at any depth."""
    if isinstance(value, Mapping):
        return {key: fill_variables(item, variables) for key, item in value.items()}
    if isinstance(value, list):
        return [fill_variables(item, variables) for item in value]
    if isinstance(value, str) and value.startswith('$'):
        if value[1:] not in variables:
            near = f'; {nearest(value[1:], variables)}' if variables else ''
            raise UserError(f"the file needs a value for '{value}'{near}\nGive it: --value {value[1:]}=…")
        return variables[value[1:]]
    return value


def read_with_base(path: Path, above: tuple[Path, ...] = ()) -> dict[str, Any]:
    """A file with its `base:`, or several, merged under it in their order. Nulls stay.

    Raises:
        UserError: a file is missing or broken.
    """
    content = read_option_file(path)
    content.pop('plugin', None)
    steps = content.get('steps')
    for step in steps.values() if isinstance(steps, Mapping) else ():
        if isinstance(step, dict) and isinstance(step.get('options'), str):
            step['options'] = str(path.parent.absolute() / step['options'])  # each file names its own neighbours
    bases = content.pop('base', None) or []
    bases = [bases] if isinstance(bases, str) else bases
    if not (isinstance(bases, list) and all(isinstance(name, str) for name in bases)):
        raise UserError(f"'{path}', option 'base': expected a file or a list of files, got {bases!r}.")
    laid: dict[str, Any] = {}
    for name in bases:
        if (path.parent / name).resolve() in (path.resolve(), *above):
            raise UserError(f"'{path}', option 'base': '{name}' has this file as its own base.")
        laid = merge(laid, read_with_base(path.parent / name, (path.resolve(), *above)), keep_null=True)
    return merge(laid, content, keep_null=True)


STAGE_FILE, RECIPE, BENCHMARK = 'the option file of one training', 'a recipe', 'a benchmark file'
_KINDS = {STAGE_FILE: ({'model_type', 'datasets'}, 'train'), RECIPE: ({'scale', 'steps'}, 'train'),
          BENCHMARK: ({'scales', 'budget'}, 'benchmark')}
"""Kind of file -> keys that each of them has and no other has all of, and the command of `cface` that runs it."""


def check_kind(path: str | Path, content: Mapping[str, Any], *expected: str) -> None:
    """Check that a file, with its bases, is not of another kind than those that a command takes.

    Raises:
        UserError: it is; the message names the command that runs it.
    """
    found = [kind for kind, (keys, _) in _KINDS.items() if keys <= content.keys()]
    if found and not set(found) & set(expected):
        raise UserError(f"'{path}': expected {' or '.join(expected)}, got {found[0]}: `cface "
                        f'{_KINDS[found[0]][1]}` runs it.')


class Recipe:
    """A recipe with its folders: composes the options of each training step."""

    def __init__(self, file: RecipeFile, data: Path | None = None, out: Path | None = None) -> None:
        """
        Args:
            file: the recipe.
            data: the folder that `cface prepare` made, instead of the recipe's.
            out: the run folder, instead of the recipe's.
        """
        self.file = file
        self.data = Path(data or file.data)
        self.out = Path(out or file.out or Path('experiments') / file.name)
        self.continued: str | None = None
        """The training that goes on with other options than it was begun with; see `continuing`."""
        self._read = cache(read_option_file)  # a plan composes every training several times
        self._check()

    @classmethod
    def read(cls, path: str | Path, data: Path | None = None, out: Path | None = None,
             variables: Mapping[str, str] | None = None) -> 'Recipe':
        """Read a recipe file.

        Raises:
            UserError: unknown keys, steps that do not exist, a variable without a value.
        """
        content = read_with_base(Path(path))
        check_kind(path, content, RECIPE)
        return cls(open_section(RecipeFile, fill_variables(content, variables or {}), 'recipe'), data, out)

    def continuing(self, step: str, changes: Mapping[str, Any]) -> 'Recipe':
        """This recipe, with changes to a training that was begun without them and is not finished.

        Raises:
            UserError: no training has that name.
        """
        check_known('--from-step: training', step, self.trainings)
        training = self.trainings[step]
        changed = training.model_copy(update={'set': merge(training.set, changes)})
        file = self.file.model_copy(update={'steps': self.file.steps | {step: changed}})
        recipe = Recipe(file, self.data, self.out)
        recipe.continued = step
        return recipe

    def with_only(self, steps: Iterable[str]) -> 'Recipe':
        """This recipe, with only some of its steps, and those that they start from."""
        needed: set[str] = set()
        todo = [*steps]
        while todo:
            if (name := todo.pop()) in self.file.steps and name not in needed:
                needed.add(name)
                todo += self.sources(name)
        kept = {name: step for name, step in self.file.steps.items() if name in needed}
        return Recipe(self.file.model_copy(update={'steps': kept}), self.data, self.out)

    # ----------------------------------------------------------------------------------------------------- references

    def _check(self) -> None:
        check_scale(self.file.scale)
        seen: set[str] = set()
        for name, step in self.file.steps.items():
            for who in step.sources:
                self._check_reference(who, seen, f"step '{name}'")
            if isinstance(step, TrainStep) and step.d_sr and step.d_sr not in self._steps_of(GenerateStep):
                raise UserError(f"recipe, step '{name}': 'd_sr' is '{step.d_sr}', which is no `generate` step.")
            seen.add(name)
        if report := self.file.report:
            check_names('report', report.tests, report.recognizers)
            domains = [who for pair in report.domains.values() for who in pair.values()]
            for who in [*report.also_after, *report.rows.values(), *report.recognizers.values(), *domains]:
                self._check_reference(who, seen, 'report')

    @staticmethod
    def _check_reference(who: str, seen: set[str], where: str) -> None:
        if who not in seen and named_recognizer(who).suffix not in ('.pth', '.onnx'):
            raise UserError(f"recipe, {where}: '{who}' is not an earlier step; {nearest(who, seen)}")

    def weights_of(self, who: str, label: str) -> Path:
        """The file that a step (`net_<label>_latest.pth`) or a path names."""
        return self.out / who / 'models' / f'net_{label}_latest.pth' if who in self.file.steps else \
            named_recognizer(who)

    def leaders(self, step: str) -> set[str]:
        """The files of the recognizers that led a loss of a step's generator, in all steps that it comes from."""
        found: set[str] = set()
        while step in self.trainings:
            found |= {str(named_recognizer(file).absolute()) for file in leading_recognizers(self.compose(step))}
            step = self.trainings[step].weights.get('network_g', '')
        return found

    def origins(self, recognizer: str) -> set[str]:
        """The files of the recognizers that the one of a step was fine-tuned from; none for a file of no step.

        Args:
            recognizer: absolute path of its file.
        """
        steps = {str(self.weights_of(name, 'r').absolute()): name for name in self.trainings}
        found: set[str] = set()
        while recognizer in steps:
            opt = self.compose(steps[recognizer])
            start = opt['path'].get('pretrain_network_r') or (opt.get('network_r') or {}).get('file')
            recognizer = str(named_recognizer(start).absolute()) if start else ''
            found |= {recognizer} - {''}
        return found

    @property
    def train_folder(self) -> Path:
        """The identities trained on."""
        return train_folder(self.data)

    @property
    def test_folder(self) -> Path:
        """The identities held out."""
        return self.data / 'test'

    def sources(self, name: str) -> list[str]:
        """Steps and files that a step starts from: weights, the index that its data read, D_SR."""
        step = self.file.steps[name]
        reads_index = isinstance(step, TrainStep) and self.compose(name)['datasets']['train'].get('compare_index')
        return [*step.sources, *(self._steps_of(IndexStep) if reads_index else ())]

    @property
    def trainings(self) -> dict[str, TrainStep]:
        """The steps that are trainings, in order."""
        return self._steps_of(TrainStep)

    def _steps_of(self, kind: type[_Kind]) -> dict[str, _Kind]:
        return {name: step for name, step in self.file.steps.items() if isinstance(step, kind)}

    # -------------------------------------------------------------------------------------------- options of a training

    def compose(self, name: str) -> dict[str, Any]:
        """The full options of a training step; `write_option_file` adds the plugin line that BasicSR reads first."""
        step = self.file.steps[name]
        base = deepcopy(self._read(step.options))
        opt = merge(merge(base, only_existing(self.file.common, base)), step.set)
        opt.pop('plugin', None)
        opt['name'] = name
        opt['path'] = {'experiments_root': str(self.out.absolute())} | {
            f'pretrain_{network}': str(self.weights_of(who, network[-1]).absolute())
            for network, who in step.weights.items()}
        generator = self.file.steps[step.d_sr].generate if step.d_sr else None
        with errors_of(f"step '{name}'"):
            check_frame(opt)
            return with_stores(set_scale(opt, self.file.scale), lambda path: self._place(path, generator))

    def check_options(self) -> None:
        """Check the options of all trainings, so that nothing is wrong with the last one when the others are done.

        Raises:
            UserError: with the step, and the option in it.
        """
        import cface_basicsr.register  # noqa: F401  an option file names classes of BasicSR
        for name in self.trainings:
            with errors_of(f"step '{name}'"):
                opt = self.compose(name)
                check_training_options(opt | {'plugin': ''})
                self._check_neighbours(opt['datasets']['train'])

    def _check_neighbours(self, data: Mapping[str, Any]) -> None:
        """Check that the index that a step makes has the k neighbours among which a training draws compare faces."""
        steps = self._steps_of(IndexStep)
        if not (steps and data.get('compare_index') and data.get('compare_mode', 'nearest') == 'nearest'):
            return
        from cface_basicsr.data.dataset_options import TripletOptions
        name, held = next((name, step.k) for name, step in steps.items())
        if (wanted := data.get('k', TripletOptions.model_fields['k'].default)) > held:
            raise UserError(f"option 'datasets.train.k': 'k' is {wanted}, but step '{name}' makes an index of {held} "
                            f'neighbours. Lower it, or in a recipe give that step k: {wanted}.')

    def check_leaders(self, made_in: Path) -> None:
        """Check that the recognizers which lead a loss are there, so that no training waits for one in vain.

        Args:
            made_in: the run folder, where those that are not there yet are trained.

        Raises:
            UserError: with the step, and the file that is missing.
        """
        for name in self.trainings:
            for path in map(named_recognizer, leading_recognizers(self.compose(name))):
                if not path.is_file() and made_in.absolute() not in path.absolute().parents:
                    raise UserError(f"step '{name}': the recognizer's file '{path}' is missing.")

    def _place(self, path: str, generator: str | None) -> Path:
        """Where a store or index of a stage file is in this recipe's data folder; D_SR is that of `generator`."""
        name = Path(path).name
        if name.startswith('sr_x'):
            return self.generated_store(generator).absolute()
        if name == 'index':
            return self.index_folder().absolute()
        return store_in(self.data, path, self.file.scale).absolute()

    def generated_store(self, generator: str | None = None) -> Path:
        """Where stage 2 writes D_SR: next to hr.lmdb, named after the generator's weights."""
        from cface_basicsr.files.manifest import file_hash
        step = generator or next((step.generate for step in self._steps_of(GenerateStep).values()), None)
        if step is None:
            raise UserError("the recipe has no 'generate' step, but a training step reads D_SR.")
        weights = self.weights_of(step, 'g')
        mark = file_hash(weights) if weights.is_file() else f'of_{step}'
        return self.train_folder / f'sr_x{self.file.scale}_{mark}.lmdb'

    def index_folder(self, recognizer: str | None = None) -> Path:
        """The folder of a recognizer's compare index."""
        from cface_basicsr.files.recognizer_file import recognizer_hash
        who = recognizer or next((step.index for step in self._steps_of(IndexStep).values()), None)
        if who is None:
            return self.train_folder / 'index'
        weights = self.weights_of(who, 'r')
        return self.train_folder / 'index' / (recognizer_hash(weights) if weights.is_file() else f'of_{who}')

    # --------------------------------------------------------------------------------------------------------- budgets

    def own_images(self, name: str) -> int:
        """How many images a training takes, without those of the steps that it starts from."""
        opt = self.compose(name)
        return iterations(opt) * opt['datasets']['train']['batch_size']

    def images(self, name: str) -> int:
        """How many images have gone through a step's generator, with those of the steps that it starts from."""
        if name not in self.trainings or 'network_g' not in self.compose(name):
            return 0
        return self.own_images(name) + self.images(self.trainings[name].weights.get('network_g', ''))

    def recognizer_images(self, name: str) -> int:
        """How many images have trained a step's recognizer, with those of the steps that it starts from."""
        if name not in self.trainings:
            return 0
        opt = self.compose(name)
        sides = 2 if 'network_g' in opt else 1  # stage 4 sees SR and HR
        own = sides * self.own_images(name) if opt['train'].get('recognition_opt') else 0  # else it is frozen
        return own + self.recognizer_images(self.trainings[name].weights.get('network_r', ''))


@contextmanager
def errors_of(what: str) -> Iterator[None]:
    """Errors in the block begin with what they are about, such as a step."""
    try:
        yield
    except UserError as error:
        raise UserError(f'{what}: {error}') from error


def only_existing(changes: Mapping[str, Any], base: Mapping[str, Any]) -> dict[str, Any]:
    """`changes` without the sections that `base` does not have: a stage without network_d is not given one.

    Every stage has a logger, so what is in it is kept.

    >>> only_existing({'seed': 1, 'network_d': {'num_feat': 8}, 'train': {'lr': 2}}, {'train': {}})
    {'seed': 1, 'train': {'lr': 2}}
    """
    kept = {}
    for key, value in changes.items():
        if not isinstance(value, Mapping) or key == 'logger':
            kept[key] = value
        elif isinstance(base.get(key), Mapping):
            kept[key] = only_existing(value, base[key])
    return kept


def iterations(opt: Mapping[str, Any]) -> int:
    """How many steps a training of composed options takes."""
    train, data = opt['train'], opt['datasets']['train']
    if 'total_iter' in train:
        return train['total_iter']
    images = (count_images(data) or 0) * data.get('dataset_enlarge_ratio', 1)
    return train['total_epoch'] * math.floor(images / data['batch_size'])
