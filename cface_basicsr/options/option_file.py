"""The frame of an option file: its top level, data sets, paths, validation and log; and the file of each model."""

import re
from collections.abc import Mapping
from difflib import get_close_matches
from functools import cache
from importlib.util import find_spec
from typing import Annotated, Any, Literal, get_args

from pydantic import AfterValidator, Field, WithJsonSchema, create_model, model_validator

from cface_basicsr.errors import UserError, nearest
from cface_basicsr.options.sections import FilledIn, FolderName, Section, open_section, problem
from cface_basicsr.options.signatures import DataSection, Discriminator, Metric, Network, registered
from cface_basicsr.options.training import BASICSR_TRAINING, OUR_TRAINING, OtherTraining, Training

Seed = Annotated[int, Field(ge=0, lt=2 ** 32 - 1024)]  # NumPy's, to which BasicSR adds the rank
"""Of a training."""

_NETWORKS = {'g': 'N_SR', 'd': 'N_D', 'r': 'CNN_R', 'c': "CNN_R's classifier"}


class _Folders(Section):
    """The `path:` section: files to start from, folders to write to."""

    experiments_root: str | None = None
    """Where a training writes, instead of `experiments/<name>`."""
    results_root: str | None = None
    """Where a test writes, instead of `results/<name>`."""
    resume_state: str | None = None
    """A `.state` file to continue from; `--auto_resume` on the command line finds the newest."""
    ignore_resume_networks: str | list[str] | None = None
    """Networks that a resumed training reads from their own files; filled in for a frozen CNN_R."""
    models: FilledIn[str] = None
    training_states: FilledIn[str] = None
    log: FilledIn[str] = None
    visualization: FilledIn[str] = None


def _for_each_network(key: str, kind: Any, default: Any, text: str) -> dict[str, Any]:
    return {f'{key}_{label}': (kind, Field(default, description=text.format(name)))
            for label, name in _NETWORKS.items()}


PathSection = create_model(
    'PathSection', __base__=_Folders, __doc__=_Folders.__doc__, __module__=__name__,
    **_for_each_network('pretrain_network', str | None, None, 'File that {} starts from.'),
    **_for_each_network('param_key', str, 'params', 'Entry of that file: `params`, or `params_ema`, the average.'),
    **_for_each_network('strict_load', bool, True, '`false`: load the weights that fit, and ignore the others.'))


class ValSection(Section):
    """The `val:` section."""

    val_freq: int | None = Field(default=None, ge=1)
    """Iterations between two validations."""
    save_img: bool
    """Keep the pictures of each validation."""
    suffix: FolderName | None = None
    """Appended to the names of a test's pictures; by default the name of the run."""
    metrics: dict[str, Metric] | None = None
    """Name in the log -> a metric of two images."""
    batch_size: int = Field(default=1, ge=1)
    """Images of one size that go through the generator at a time; more are faster, and last digits may differ."""
    pbar: bool = True
    """Show a progress bar."""
    num_tb_images: int = Field(default=8, ge=0)
    """How many faces TensorBoard shows as LR, SR and HR; for our own models."""


class Verification(Section):
    """Verification at each validation: pairs of super-resolved faces of the validation set, as a recognizer sees them.

    Pairs are drawn with seed 0, as `cface evaluate pairs` draws them; the accuracy is the mean over the folds.
    """

    recognizer: Annotated[str, Field(min_length=1)] = 'dlib'
    """The judge: `dlib`, which comes with the plugin and takes aligned faces, or the file of a recognizer; better one
    that leads no loss."""
    folds: int = Field(default=10, ge=2)
    """Folds that share no identity; the threshold of each comes from the others."""
    pairs_per_fold: Annotated[int, Field(ge=2)] | Literal['most'] = 'most'
    """Pairs in each fold, half of them of one person; `most`: as many as the faces of the set allow."""


class TrainingValSection(ValSection):
    """The `val:` section of a training."""

    val_freq: int = Field(ge=1)
    """Iterations between two validations."""
    verification: Verification | None = None
    """Verification accuracy of the super-resolved faces by a judge, in log and TensorBoard; the judge takes time for
    each face. Nothing: none."""

    def check(self) -> None:
        """See `Section.check`."""
        if self.verification and 'verification' in (self.metrics or {}):
            raise problem('wrong', "has the name of 'val.verification' in the log; give it another.",
                          'metrics.verification')


class Wandb(Section):
    """BasicSR's connection to Weights & Biases."""

    project: str | None = None
    """Its name there; without one nothing is sent."""
    resume_id: str | None = None
    """A run there to go on with."""


class LoggerSection(Section):
    """The `logger:` section."""

    print_freq: int = Field(ge=1)
    """Iterations between two lines of the log."""
    save_checkpoint_freq: int = Field(ge=1)
    """Iterations between two checkpoints."""
    keep_last: int | None = Field(default=None, ge=1)
    """How many checkpoints stay: older ones are removed when a new one is whole. Nothing: all. With 2 or more a damaged
    one can be replaced by the one before."""
    keep_best: bool = False
    """Whether those stay, too, whose validation was the best so far by one of the metrics; needs `keep_last`."""
    use_tb_logger: bool
    """TensorBoard: every loss, the learning rates, CNN_R's accuracy on the batch and the spread of its features (0:
    collapsed), faces."""
    wandb: Wandb | None = None
    """BasicSR's: `project` and `resume_id` of Weights & Biases; needs `use_tb_logger`."""

    def check(self) -> None:
        """See `Section.check`."""
        if self.keep_best and not self.keep_last:
            raise problem('wrong', "needs 'logger.keep_last': without it all checkpoints stay.", 'keep_best')
        asked = self.wandb and self.wandb.project is not None
        if asked and not self.use_tb_logger:
            raise problem('wrong', "'project' needs 'logger.use_tb_logger: true'.", 'wandb')
        if asked and not find_spec('wandb'):
            raise problem('wrong', "'project' needs the package wandb: `pip install wandb`.", 'wandb')


class TrainingDatasets(Section, extra='allow'):
    """The `datasets:` section of a training. If there are several for validation, they are `val_1`, `val_2`, …"""

    __pydantic_extra__: dict[str, DataSection]

    train: DataSection
    """The training set."""
    val: DataSection = None
    """The validation set."""

    @model_validator(mode='before')
    @classmethod
    def _lay_the_phase(cls, values: Any) -> Any:
        """As BasicSR's parser does it."""
        if not isinstance(values, Mapping):
            return values
        return {key: {**section, 'phase': str(key).split('_')[0]} if isinstance(section, Mapping) else section
                for key, section in values.items()}

    def check(self) -> None:
        """See `Section.check`. BasicSR keeps best values and pictures by the name of a set."""
        phases: dict[Any, str] = {}
        for phase, section in {**dict(self), **(self.model_extra or {})}.items():
            first = phases.setdefault(section['name'], phase) if section and phase != 'train' else phase
            if first != phase:
                raise problem('wrong', f"{section['name']!r} is the name of '{first}', too; give each its own.",
                              f'{phase}.name')

    @classmethod
    def knows(cls, key: str) -> bool:
        """Whether it is one of these; the validation set may have a number."""
        return key == 'train' or key.split('_')[0] == 'val'


class Datasets(TrainingDatasets):
    """The `datasets:` section of a test. If there are several of a kind, they are `test_1`, `test_2`, …"""

    train: FilledIn[DataSection] = None
    test: DataSection = None
    """The test set."""

    def check(self) -> None:
        """See `Section.check`."""
        super().check()
        if self.train:
            raise problem('wrong', "a test takes its images one by one, and a training set comes in batches. Leave it "
                                   "out, or call it 'test'.", 'train')
        if not (self.model_fields_set or self.model_extra):
            raise problem('missing', '', 'test')

    @classmethod
    def knows(cls, key: str) -> bool:
        """Whether it is one of these, with or without a number."""
        return key.split('_')[0] in cls.model_fields


class DistParams(Section, extra='allow'):
    """What BasicSR hands to torch.distributed; other keys are handed on, too."""

    backend: str = 'nccl'
    """How the processes talk to each other; without a GPU it is always gloo."""
    port: int | None = Field(default=None, ge=0)
    """Where they meet, with `--launcher slurm`."""


class Frame(Section):
    """What every option file has."""

    name: FolderName
    """Name of the run, whose folder is `experiments/<name>`."""
    model_type: str
    """The model that is trained or tested."""
    num_gpu: Literal['auto'] | Annotated[int, Field(ge=0)]
    """Number of devices: 0 is the CPU, `auto` all GPUs."""
    datasets: dict[str, Any]
    """The data sets."""
    path: dict[str, Any]
    """Files to start from, and folders to write to; `{}` where there is nothing to say."""
    manual_seed: Seed | None = None
    """Seed of the weights, of the order of images and of all draws; without it BasicSR takes a random one."""
    dist_params: DistParams = None
    """BasicSR's, for several processes: `backend` and `port`."""


class _ParsedData(Section, extra='allow'):
    dataroot_gt: str | list[str] | None = None
    dataroot_lq: str | list[str] | None = None
    compare_index: str | None = None
    out: str | None = None


def _check_paths(path: dict[str, Any]) -> dict[str, Any]:
    for key, value in path.items():
        if re.search('pretrain_network|resume_state|_root$', key) and not isinstance(value, str | None):
            raise problem('wrong', f'expected a path, got {value!r}.', key)
    return path


class _ParsedFile(Frame, extra='allow'):
    """What BasicSR's parser reads, and what recipes put together, before a model is known.

    A parser that meets another kind here ends in a KeyError or TypeError.
    """

    datasets: dict[str, _ParsedData]
    path: Annotated[dict[str, Any], AfterValidator(_check_paths)]
    train: dict[str, Any] | None = None
    val: dict[str, Any] | None = None
    logger: dict[str, Any] | None = None
    network_g: dict[str, Any] | None = None
    network_d: dict[str, Any] | None = None
    network_r: dict[str, Any] | None = None
    network_c: dict[str, Any] | None = None


def _check_common(changes: dict[str, Any]) -> dict[str, Any]:
    known = (*_ParsedFile.model_fields, *OptionFile.model_fields)
    for key in changes:
        if key not in known and not key.startswith('network_'):
            raise problem('unknown', nearest(key, known), key)
    return changes


Common = Annotated[dict[str, Any], AfterValidator(_check_common)]
"""What several option files have in common: sections and keys of their top level."""


def check_frame(opt: Mapping[str, Any]) -> None:
    """Check what BasicSR's parser reads before any of our code runs, and that sections are sections.

    Raises:
        UserError: a key is missing (the message names a misspelt one, where one is near) or of another kind.
    """
    missing = [key for key, field in Frame.model_fields.items() if field.is_required() and key not in opt]
    misspelt = {near for key in missing for near in get_close_matches(key, map(str, opt))}
    open_section(Frame, {key: value for key, value in opt.items() if key in misspelt or key in Frame.model_fields})
    open_section(_ParsedFile, opt)


class OptionFile(Frame):
    """The top level of an option file."""

    plugin: Annotated[str, WithJsonSchema({})]  # an editor sees a tag that it does not know
    """The line that loads the plugin; leave it as it is."""
    scale: int | None = Field(default=None, ge=1)
    """2, 4 or 8; must fit the LR store and `network_g`."""
    datasets: Datasets
    """The data sets."""
    path: PathSection
    """Files to start from, and folders to write to; `{}` where there is nothing to say."""
    val: ValSection | None = None
    """Validation."""
    logger: LoggerSection | None = None
    """The log."""
    find_unused_parameters: bool = False
    """BasicSR's, for several processes: torch's option of that name."""
    sync_batchnorm: bool = True
    """For several processes: BatchNorm takes its statistics from the whole global batch, as one process would; `false`:
    each process from its own part."""
    rank: FilledIn[int] = None
    world_size: FilledIn[int] = None
    dist: FilledIn[bool] = None
    auto_resume: FilledIn[bool] = None
    is_train: FilledIn[bool] = None
    root_path: FilledIn[str] = None

    @classmethod
    def hint(cls, key: str) -> str:
        """As for any section; for a network that the model does not build, those that it builds."""
        if key in [f'network_{label}' for label in _NETWORKS]:
            built = [name for name in cls.model_fields if name.startswith('network_')]
            return f"{get_args(cls.model_fields['model_type'].annotation)[0]} builds only {', '.join(built)}."
        return super().hint(key)


class TrainingFile(OptionFile):
    """The top level of an option file that trains."""

    datasets: TrainingDatasets
    """The data sets."""
    val: TrainingValSection | None = None
    """Validation."""
    logger: LoggerSection
    """The log."""


class _GeneratePath(PathSection):
    """The `path:` section of stage 2."""

    pretrain_network_g: str
    """File that N_SR starts from."""


class GenerateFile(OptionFile):
    """The top level of an option file for stage 2, a test of GenerateModel."""

    model_type: Literal['GenerateModel']
    """The model that is tested."""
    network_g: Network
    """N_SR, whose weights stay as they are."""
    path: _GeneratePath
    """The file of N_SR, and folders to write to."""
    scale: int = Field(ge=1)
    """2, 4 or 8; must fit the LR store and `network_g`."""


class OtherFile(Section, extra='allow'):
    """An option file of a model that is neither ours nor of a compared system; its other keys are not checked."""

    datasets: dict[str, DataSection]
    """The data sets."""
    network_g: Network | None = None
    """The generator."""
    network_d: Discriminator | None = None
    """The discriminator."""
    train: OtherTraining | None = None
    """How it is trained."""


TRAINING: dict[str, type[Training]] = {**OUR_TRAINING, **BASICSR_TRAINING}
"""Model -> its `train:` section."""


@cache
def file_of(model_type: str, training: bool = True) -> type[Section]:
    """The section of a whole option file of this model, for a training or a test."""
    section = TRAINING.get(model_type)
    if section is None:
        return GenerateFile if model_type == 'GenerateModel' else OtherFile
    kinds = {'g': Network, 'd': Discriminator | None}
    networks = {f'network_{label}': (kinds.get(label, Network | None),
                                     Field(... if label == 'g' else None, description=f'{name}.'))
                for label, name in _NETWORKS.items() if f'network_{label}' in section.networks}
    train = (section, Field(description='How it is trained.')) if training else (section | None, None)
    if 'network_g' in networks:  # what enlarges needs to know by how much
        networks['scale'] = (int, Field(ge=1, description=OptionFile.model_fields['scale'].description))
    return create_model(
        f'{model_type}File', __base__=TrainingFile if training else OptionFile, __doc__=OptionFile.__doc__,
        model_type=(Literal[model_type], Field(description='The model that is trained.')), train=train, **networks)


def open_file(opt: Mapping[str, Any], training: bool = True) -> Any:
    """An option file as BasicSR's parser hands it over, as its typed view.

    Raises:
        UserError: one line that names the option, what was expected and what was given.
    """
    model, known = opt.get('model_type'), registered('models')
    if not isinstance(model, str) or model not in known:
        raise UserError(f"option 'model_type': {model!r} is not registered; {nearest(str(model), known)}")
    return open_section(file_of(model, training), opt)
