"""The sections of data sets: what BasicSR's loader needs of any, and what BasicSR's own data sets take."""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field

from cface_basicsr.options.sections import FilledIn, Section, problem

Root = Annotated[str, Field(min_length=1)]
"""The path of a store or folder."""


def _check_backend(backend: dict[str, Any]) -> dict[str, Any]:
    if (kind := backend.get('type')) != 'lmdb':
        raise problem('wrong', f'expected lmdb, got {kind!r}; pack folders of images with `cface prepare`.', 'type')
    return backend


class LoaderOptions(Section):
    """The options that all our data sets have."""

    name: str
    """Of the data set, for the log."""
    type: str = ''
    """The class of the data set."""
    phase: FilledIn[str] = 'train'
    scale: FilledIn[int] = None
    io_backend: Annotated[dict[str, Any], AfterValidator(_check_backend)] = {'type': 'lmdb'}
    """Only `{type: lmdb}`; `cface prepare` packs folders of pictures."""
    filename_tmpl: str = '{}'
    """BasicSR's, for folders of pictures; not used here."""
    batch_size: int | None = Field(default=None, ge=1)
    """Images in a batch, of all devices together; a training needs it, or BasicSR's `batch_size_per_gpu`."""
    batch_size_per_gpu: int | None = Field(default=None, ge=1)
    """Images in a batch of one device, instead of `batch_size`."""
    num_worker_per_gpu: int | None = Field(default=None, ge=0)
    """Processes that load images, for each device; 0 loads within the training itself. A training needs it."""
    dataset_enlarge_ratio: int = Field(default=1, ge=1)
    """How often each image is seen in an epoch."""
    prefetch_mode: Literal['cpu', 'cuda'] | None = None
    """BasicSR's: `cuda` or `cpu` loads a batch ahead; `cuda` needs `pin_memory`."""
    num_prefetch_queue: int = Field(default=1, ge=1)
    """BasicSR's: batches ahead, with `prefetch_mode: cpu`."""
    pin_memory: bool = False
    """Load into memory from which a GPU copies faster, while it computes; left out where there is none."""
    persistent_workers: bool = False
    """Keep the loading processes alive from epoch to epoch."""
    manual_seed: FilledIn[int] = None
    uint8: FilledIn[bool] = None
    seed: int | None = Field(default=None, ge=0)
    """Of the random choices; by default the file's `manual_seed`."""

    def check(self) -> None:
        """See `Section.check`."""
        if self.prefetch_mode == 'cuda' and not self.pin_memory:
            raise problem('wrong', "'cuda' needs 'pin_memory: true'.", 'prefetch_mode')

    def draw_seed(self) -> int:
        """The seed of all random choices: `seed`, or else `manual_seed`, or else 0."""
        return next((seed for seed in (self.seed, self.manual_seed) if seed is not None), 0)


class _Backend(Section, extra='allow'):
    """Where BasicSR's data sets read pictures from; other keys are passed on to it."""

    type: Literal['disk', 'lmdb', 'memcached']

    def check(self) -> None:
        """See `Section.check`."""
        if 'sys_path' in (self.model_extra or {}):
            raise problem('wrong', 'BasicSR would import a module from a folder that a file names. Install the client '
                          'of memcached, and leave this out.', 'sys_path')


class AnyDataOptions(LoaderOptions, extra='allow'):
    """The section of a data set that is not ours: what BasicSR's have in common, and any other key."""

    io_backend: _Backend | None = None
    """`type`: disk, lmdb or memcached, and the arguments of that class of BasicSR."""
    dataroot_gt: str | list[str] | None = None
    """Pictures in HR: a folder or an LMDB store."""
    dataroot_lq: str | list[str] | None = None
    """Pictures in LR: a folder or an LMDB store."""
    gt_size: int | None = Field(default=None, ge=1)
    """Side of the squares that are cut out of HR; the whole face where it is as large."""
    use_hflip: bool | None = None
    """Mirror half of the draws."""
    use_rot: bool | None = None
    """Turn and mirror in all eight ways."""
    mean: list[float] | None = Field(default=None, min_length=1, max_length=3)
    """Subtracted from each channel."""
    std: list[float] | None = Field(default=None, min_length=1, max_length=3)
    """Each channel is divided by it."""


class PairedImageOptions(AnyDataOptions, extra='forbid'):
    """The section of BasicSR's PairedImageDataset; what it does not find there it misses at the first image only."""

    io_backend: _Backend
    """`type`: disk, lmdb or memcached, and the arguments of that class of BasicSR."""
    dataroot_gt: Root
    """Pictures in HR: a folder or an LMDB store."""
    dataroot_lq: Root
    """Pictures in LR: a folder or an LMDB store."""
    meta_info_file: str | None = None
    """A list of the pictures to take from a folder."""
    color: Literal['y'] | None = None
    """Luminance only."""

    def check(self) -> None:
        """Also: what is read together is there."""
        super().check()
        learned = 'phase' in self.model_fields_set and self.phase == 'train'  # BasicSR's parser says so
        for key in ('gt_size', 'use_hflip', 'use_rot') if learned else ():
            if getattr(self, key) is None:
                raise problem('missing', '', key)
        if (self.mean is None) != (self.std is None):
            raise problem('wrong', "'mean' and 'std' go together.", 'mean')


DATA_OF_BASICSR: dict[str, type[LoaderOptions]] = {'PairedImageDataset': PairedImageOptions}
"""Data set of BasicSR -> its section; any other has `AnyDataOptions`."""
