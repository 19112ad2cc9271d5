"""What BasicSR's own super-resolution models read under `train:`; they silently ignore all other keys.

The compared systems are trained by SRModel, SRGANModel and ESRGANModel. The keys are those of BasicSR 1.4.2, and `bias`
of an optimizer.
"""

from typing import Annotated, ClassVar

from pydantic import ConfigDict, Field

from cface_basicsr.options.sections import Section, problem
from cface_basicsr.options.signatures import AdversarialLoss, ImageLoss, Loss, PerceptualTerms, Scheduler, check_call
from cface_basicsr.options.training import Multipliers, Needs, Training, check_for_a_loss


class BasicSROptimizer(Section):
    """An optimizer of a model of BasicSR; the arguments of its class of `torch.optim` are further keys."""

    model_config = ConfigDict(extra='allow')

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


class OtherTraining(Training):
    """The `train:` section of any other model: only losses with these usual names are checked."""

    model_config = ConfigDict(extra='allow')

    pixel_opt: Loss | None = None
    """A loss of images."""
    perceptual_opt: Loss | None = None
    """A loss of images by their VGG19 features."""
    gan_opt: Loss | None = None
    """The adversarial loss."""


BASICSR_TRAINING: dict[str, type[SRTraining]] = {'SRModel': SRTraining, 'SRGANModel': SRGANTraining,
                                                 'ESRGANModel': SRGANTraining}
"""Model -> its `train:` section."""
