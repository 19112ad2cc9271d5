"""The `train:` sections of our own models: length, optimizers, losses, and what a loss needs; and those of BasicSR's.

The compared systems are trained by BasicSR's SRModel, SRGANModel and ESRGANModel, which silently ignore all keys but
their own: those of BasicSR 1.4.2, and `bias` of an optimizer.
"""

import math
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from cface_basicsr.errors import UserError
from cface_basicsr.options.sections import FilledIn, Section, problem
from cface_basicsr.options.signatures import Loss, Scheduler, check_call, loss_of, weighs

ImageLoss, AdversarialLoss = loss_of('two of a kind'), loss_of('logits')
PerceptualTerms = loss_of('images, in two terms')
ContentLoss = loss_of('two of a kind', 'images, in two terms')
TripletLoss, ClassifierLoss = loss_of('three features'), loss_of('features and labels')


class Needs:
    """Annotation of a loss's section: the networks and optimizers that the loss needs, by their keys."""

    def __init__(self, *parts: str) -> None:
        self.parts = parts


class Schedule(Section):
    """How a learning rate falls.

    `epoch`: times gamma each epoch, which needs LMDB stores, since their size is known; `steps`: times gamma at each
    milestone; `cosine`: along half a cosine, from `lr` to gamma times `lr`, within `period` iterations.
    """

    type: Literal['epoch', 'steps', 'cosine', 'constant'] = 'constant'
    """The shape of the fall."""
    gamma: float | None = Field(default=None, ge=0, le=1)
    """Factor of each fall of `epoch` and `steps`; for `cosine` the share of `lr` that is left, 0 by default."""
    milestones: list[Annotated[int, Field(ge=0)]] = Field(default_factory=list)
    """Iterations at which `steps` lowers the learning rate."""
    period: int | None = Field(default=None, ge=1)
    """Iterations that `cosine` takes; afterwards the learning rate stays."""

    def check(self) -> None:
        """See `Section.check`."""
        if (self.type == 'cosine') != (self.period is not None):
            raise ValueError("'period' (iterations) goes with the schedule 'cosine'")
        if self.type == 'constant' and self.gamma is not None:
            raise ValueError("a constant schedule has no 'gamma'; 'type' is one of epoch, steps, cosine")
        if (self.type == 'steps') != bool(self.milestones):
            raise ValueError("'milestones' (iterations) go with the schedule 'steps'")
        if self.type in ('epoch', 'steps') and self.gamma is None:
            raise ValueError(f"the schedule '{self.type}' needs 'gamma', by which the learning rate is multiplied")

    def factor(self, iteration: int, iterations_an_epoch: int) -> float:
        """What the first learning rate is multiplied by at an iteration (counted from 0).

        >>> Schedule(type='epoch', gamma=0.5).factor(iteration=20, iterations_an_epoch=10)
        0.25
        >>> Schedule(type='cosine', period=100, gamma=0.2).factor(iteration=50, iterations_an_epoch=10)
        0.6
        """
        if self.type == 'cosine':
            least = self.gamma or 0.0
            return least + (1 - least) * (1 + math.cos(math.pi * min(iteration / self.period, 1))) / 2
        if self.type == 'epoch':
            return self.gamma ** (iteration // iterations_an_epoch)
        if self.type == 'steps':
            return self.gamma ** sum(iteration >= milestone for milestone in self.milestones)
        return 1.0


class Multipliers(Section):
    """What the learning rate and the weight decay of some parameters are multiplied by, as in a net file of Caffe."""

    lr: float = Field(default=1, ge=0)
    """Factor of the learning rate (`lr_mult`), throughout its schedule; 0: these parameters stay as they are."""
    decay: float = Field(default=1, ge=0)
    """Factor of the weight decay (`decay_mult`)."""


class Optimizer(Section):
    """An optimizer with its own schedule, and gradients clipped before each of its steps where that is asked for."""

    type: Literal['Adam', 'AdamW', 'SGD', 'RMSprop'] = 'Adam'
    """The class of `torch.optim`."""
    lr: float = Field(gt=0)
    """The first learning rate."""
    betas: Annotated[list[float], Field(min_length=2, max_length=2)] | None = None
    """Of Adam and AdamW: decay of the averages of the gradient and of its square; torch's default: 0.9 and 0.999."""
    momentum: float | None = Field(default=None, ge=0, lt=1)
    """Of SGD and RMSprop; torch's default: 0."""
    weight_decay: float | None = None
    """Factor of the weights that is added to the gradient (AdamW: taken from the weights); torch's default."""
    eps: float | None = Field(default=None, gt=0)
    """Added to a denominator, so that nothing is divided by 0; torch's default: 1e-8."""
    bias: Multipliers | None = None
    """Multipliers for the biases, the shifts of normalizations among them; by default they learn as the weights do."""
    fused: bool | None = None
    """All weights in one kernel (Adam, AdamW, SGD): faster, equal to rounding."""
    clip_norm: float | None = Field(default=None, gt=0)
    """Before a step, all gradients together are scaled down to at most this Euclidean norm."""
    clip_step: float | None = Field(default=None, gt=0)
    """Each gradient is kept within ± clip_step / lr, so no weight moves by more than clip_step (before momentum), as in
    VDSR."""
    schedule: Schedule = Field(default_factory=Schedule)
    """How the learning rate falls; by default it stays."""

    def check(self) -> None:
        """See `Section.check`."""
        arguments = {key: value for key, value in self.arguments().items() if key != 'bias'}
        check_call('optimizers', {'type': self.type, 'lr': self.lr, **arguments})

    def arguments(self) -> dict[str, Any]:
        """Keyword arguments for BasicSR's `get_optimizer`: what the file sets, without schedule and clipping."""
        return self.model_dump(exclude={'type', 'schedule', 'lr', 'clip_norm', 'clip_step'}, exclude_none=True)


def check_for_a_loss(losses: Mapping[str, Any]) -> None:
    """Check that a generator has a loss to learn by.

    Raises:
        ValueError: all of them are absent, or have the weight 0.
    """
    if not any(map(weighs, losses.values())):
        raise ValueError(f"no loss: expected one of {', '.join(losses)}, with a weight above 0")


class Training(Section):
    """What the `train:` sections of all models have. A file gives either `total_iter` or `total_epoch`.

    Attributes:
        networks: the sections of networks that the model builds.
    """

    networks: ClassVar[tuple[str, ...]] = ('network_g',)

    total_iter: int | None = Field(default=None, ge=1)
    """How many iterations."""
    total_epoch: int | None = Field(default=None, ge=1)
    """How many epochs: they become iterations by the true size of the data set, which must be in LMDB stores."""
    iterations_an_epoch: FilledIn[int] = None
    """Full batches of one epoch, for each rank."""
    warmup_iter: int = Field(default=-1, ge=-1)
    """BasicSR's: iterations in which the learning rate rises from 0; -1: none."""

    @classmethod
    def needs(cls) -> dict[str, tuple[str, ...]]:
        """Section of a loss -> the sections of networks and optimizers that it needs."""
        return {name: each.parts for name, field in cls.model_fields.items() for each in field.metadata
                if isinstance(each, Needs)}

    def losses(self) -> dict[str, dict[str, Any] | None]:
        """Section of a loss -> its content; None where the file has no such loss."""
        return {name: getattr(self, name) for name in type(self).model_fields if name.endswith('_opt')}

    def needed(self) -> set[str]:
        """The networks and optimizers that the losses of this file need."""
        return {part for name, parts in self.needs().items() if getattr(self, name) for part in parts}

    def compared_by_features(self) -> list[str]:
        """The losses of this file that compare features of CNN_R without training it, so it must be trained already."""
        return [name for name, parts in self.needs().items()
                if getattr(self, name) and 'network_r' in parts and 'optim_r' not in parts]


class _StageTraining(Training):
    """What all of our own models have."""

    use_channels_last: bool = False
    """Another memory layout of all networks and images, VGG19's among them: faster on a CPU (but for N_D, which keeps
    its own there), and on a GPU with `use_amp`; the last digits differ."""
    use_amp: bool = False
    """Networks compute in half precision, float16: three digits are left, and a step whose gradients overflow is
    skipped. Losses, identity distance and VGG19 stay in float32. Take `fused`, or each step waits for the GPU."""
    amp_bf16: bool = False
    """With `use_amp`: bfloat16, which cannot overflow but has only two to three digits. On a CPU without bfloat16 it is
    slower than float32."""
    fast_matmul: bool = False
    """TF32 for products of matrices on a GPU, as torch takes it for convolutions anyway: three digits are left."""
    use_compile: bool = False
    """torch.compile for the networks: minutes before the first step, and again for images of another size. Its backward
    passes compute everything, so nothing is reused in a step."""
    compile_mode: Literal['default', 'reduce-overhead', 'max-autotune', 'max-autotune-no-cudagraphs'] = 'default'
    """Of `use_compile`: `reduce-overhead` takes CUDA graphs, and more memory; `max-autotune` many more minutes."""


class _Averaged(_StageTraining):
    """What models with a generator have."""

    ema_decay: float = Field(default=0, ge=0, lt=1)
    """Above 0: an averaged copy of `network_g` is kept, and used for validation and files."""


class Views(Section):
    """Random views before CNN_R, the same for SR, HR and compare face; another one in each step, drawn by the seed."""

    shift: float = Field(default=0, ge=0)
    """Most pixels up, down, left and right."""
    mirror: bool = False
    """Mirror every second view."""
    scale: float = Field(default=0, ge=0, le=0.5)
    """Larger or smaller by at most this share."""
    blur: float = Field(default=0, ge=0)
    """Largest standard deviation of a Gaussian, in pixels."""

    def check_within(self, side: int) -> None:
        """Check that views show the image and not what lies around it.

        Args:
            side: the smaller one of the image, in pixels.

        Raises:
            UserError: a view may reach further beyond the image than `MOST_OUTSIDE`.
        """
        from cface_basicsr.ops.views import MOST_OUTSIDE, view_outside
        outside = view_outside(self.shift, self.scale, side)
        if outside > MOST_OUTSIDE:
            raise UserError(f"option 'train.views': a view may leave the image of {side} pixels by {100 * outside:.0f} "
                            f"% of its side, expected at most {100 * MOST_OUTSIDE:g} %. Lower 'shift' or 'scale'.")


class _InParts(Section):
    """What models have that can sum up gradients."""

    accum_iter: int = Field(default=1, ge=1)
    """A batch goes through the networks in this many parts, whose gradients add up: the memory of one part, and a
    little more time. The batch stays as large as it is; batch normalization sees only a part of it."""


class CFaceTraining(_Averaged, _InParts):
    """The `train:` section of CFaceModel (stages 1 and 4): the terms of equation (7). Each loss is optional."""

    networks: ClassVar[tuple[str, ...]] = ('network_g', 'network_d', 'network_r', 'network_c')

    optim_g: Optimizer
    """The optimizer of N_SR."""
    optim_d: Optimizer | None = None
    """The optimizer of N_D."""
    optim_r: Optimizer | None = None
    """The optimizer of CNN_R and its classifier."""
    pixel_opt: ImageLoss | None = None
    """A loss of images, such as L1Loss."""
    content_opt: ContentLoss | None = None
    """β L_P, equation (2): a loss of images by their VGG19 features."""
    gan_opt: Annotated[AdversarialLoss | None, Needs('network_d', 'optim_d')] = None
    """α L_GAN, equation (1); it makes N_D a part of the training."""
    cface_opt: Annotated[TripletLoss | None, Needs('network_r')] = None
    """L_CF, equation (5) or (6), by a trained CNN_R; without it the model is SRGAN."""
    more_recognizers: list[Annotated[str, Field(min_length=1)]] = Field(default_factory=list)
    """Files of further recognizers that lead L_CF, each frozen, or `dlib`: its terms are the means over all of them."""
    views: Views | None = None
    """L_CF compares random views of the faces, so that a pattern for one recognizer in one place gains less."""
    relativistic: bool = False
    """ESRGAN's relativistic average GAN loss: N_D says whether an image is more real than the others are on average."""
    recognition_opt: Annotated[ClassifierLoss | None, Needs('network_r', 'network_c', 'optim_r')] = None
    """L_FR, equation (3), by which CNN_R is trained, too: it turns stage 1 into stage 4."""
    net_d_reuse_fake: bool = True
    """N_D judges SR once in a step, for the update of N_SR and for its own. Exact; only the running statistics of its
    batch normalizations differ: they move twice a step, not three times. Nothing uses them."""
    net_r_reuse_features: bool = True
    """In stage 4, the features of SR and HR are computed once in a step, for L_CF and for L_FR. Exact; only for a CNN_R
    that computes the same in training as in evaluation (SphereFace20), and some more memory on a GPU."""

    def check(self) -> None:
        """See `Section.check`."""
        check_for_a_loss({name: loss for name, loss in self.losses().items() if name != 'recognition_opt'})
        for name, loss in (('more_recognizers', 'cface_opt'), ('views', 'cface_opt'), ('relativistic', 'gan_opt')):
            if getattr(self, name) and not getattr(self, loss):
                raise problem('wrong', f"it changes 'train.{loss}', which is missing.", name)


class SICNNTraining(_Averaged):
    """The `train:` section of SICNNModel."""

    networks: ClassVar[tuple[str, ...]] = ('network_g', 'network_r', 'network_c')

    optim_g: Optimizer
    """The optimizer of CNN_H, the generator."""
    optim_r: Optimizer
    """The optimizer of CNN_R and its classifier."""
    pixel_opt: ImageLoss
    """L_SR, a loss of images."""
    identity_opt: Annotated[ImageLoss, Needs('network_r')]
    """L_SI, equation (4), a loss of features."""
    recognition_opt: Annotated[ClassifierLoss, Needs('network_r', 'network_c', 'optim_r')]
    """L_FR, by which CNN_R is trained in turn."""


class RecognitionTraining(_StageTraining, _InParts):
    """The `train:` section of RecognitionModel (stages 0 and 3)."""

    networks: ClassVar[tuple[str, ...]] = ('network_r', 'network_c')

    optim_r: Optimizer
    """The optimizer of CNN_R and its classifier."""
    recognition_opt: Annotated[ClassifierLoss, Needs('network_r', 'network_c', 'optim_r')]
    """L_FR, equation (3)."""
    head_only_iter: int = Field(default=0, ge=0)
    """First iterations in which only the classifier learns: for a new classifier on a trained CNN_R."""


SPEED_OPTIONS = frozenset(CFaceTraining.model_fields) - frozenset(Training.model_fields) - {'ema_decay'} - {
    name for name in CFaceTraining.model_fields if name.endswith('_opt') or name.startswith('optim_')}
"""Options of our own models, besides losses, that decide how long a step takes."""

OUR_TRAINING: dict[str, type[Training]] = {'CFaceModel': CFaceTraining, 'RecognitionModel': RecognitionTraining,
                                           'SICNNModel': SICNNTraining}
"""Model -> its `train:` section."""


def leading_recognizers(opt: Mapping[str, Any]) -> list[str]:
    """The files of the recognizers that lead a loss of a generator, by the options of its training."""
    kind, train = OUR_TRAINING.get(str(opt.get('model_type'))), opt.get('train') or {}
    if not kind or not any(train.get(loss) and 'network_r' in parts and 'network_g' in opt
                           for loss, parts in kind.needs().items()):
        return []
    first = (opt.get('path') or {}).get('pretrain_network_r') or (opt.get('network_r') or {}).get('file')
    return [file for file in (first, *train.get('more_recognizers', ())) if file]


class BasicSROptimizer(Section, extra='allow'):
    """An optimizer of a model of BasicSR; the arguments of its class of `torch.optim` are further keys."""

    type: str
    """The class of `torch.optim`."""
    lr: float = Field(gt=0)
    """The first learning rate."""
    bias: Multipliers | None = None
    """Multipliers for the biases, the shifts of normalizations among them; by default they learn as the weights do."""

    def check(self) -> None:
        """See `Section.check`."""
        check_call('optimizers', {'type': self.type, 'lr': self.lr, **(self.model_extra or {})})


class SRTraining(Training):
    """The `train:` section of SRModel: pixels, perceptual term or both."""

    ema_decay: float = Field(default=0, ge=0, lt=1)
    """Above 0: an averaged copy of `network_g` is kept, and used for validation and files."""
    optim_g: BasicSROptimizer
    """Optimizer of the generator."""
    scheduler: Scheduler
    """One schedule for all optimizers: `type`, MultiStepLR or CosineAnnealingRestartLR, and the arguments of that class
    of BasicSR."""
    pixel_opt: ImageLoss | None = None
    """A loss of images."""
    perceptual_opt: PerceptualTerms | None = None
    """A loss of images by their VGG19 features, with a perceptual and a style term."""

    def check(self) -> None:
        """Biases keep their rate, and there is a loss."""
        optimizers = (getattr(self, name) for name in type(self).model_fields if name.startswith('optim_'))
        if self.scheduler.get('eta_min') and any(each.bias for each in optimizers):
            raise problem('wrong', "biases would fall to the rate of the weights; leave it out, or 'bias'.",
                          'scheduler.eta_min')
        check_for_a_loss(self.losses())


class SRGANTraining(SRTraining):
    """The `train:` section of SRGANModel and ESRGANModel."""

    networks: ClassVar[tuple[str, ...]] = ('network_g', 'network_d')

    optim_d: Annotated[BasicSROptimizer, Needs('network_d')]
    """Optimizer of the discriminator."""
    gan_opt: AdversarialLoss
    """The adversarial loss."""
    ldl_opt: ImageLoss | None = None
    """BasicSR's loss of local artifacts."""
    net_d_iters: int = Field(default=1, ge=1)
    """Updates of the discriminator for each update of the generator."""
    net_d_init_iters: int = Field(default=0, ge=0)
    """First iterations in which only the discriminator learns."""


class OtherTraining(Training, extra='allow'):
    """The `train:` section of any other model: only losses with these usual names are checked."""

    pixel_opt: Loss | None = None
    """A loss of images."""
    perceptual_opt: Loss | None = None
    """A loss of images by their VGG19 features."""
    gan_opt: Loss | None = None
    """The adversarial loss."""


BASICSR_TRAINING: dict[str, type[SRTraining]] = {'SRModel': SRTraining, 'SRGANModel': SRGANTraining,
                                                 'ESRGANModel': SRGANTraining}
"""Model -> its `train:` section."""
