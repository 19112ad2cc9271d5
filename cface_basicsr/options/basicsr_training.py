"""What BasicSR's own super-resolution models read under `train:`; what they do not read they ignore without a word.

The compared systems are trained by SRModel, SRGANModel and ESRGANModel. The keys are those of BasicSR 1.4.2; optimizers
and schedulers are left to it, since it hands their keys on to classes that refuse unknown ones themselves.
"""

from typing import Any, ClassVar

from pydantic import Field

from cface_basicsr.options.sections import Section


class SRTraining(Section):
    """The `train:` section of SRModel: pixels, perceptual term or both.

    Attributes:
        networks: the sections of networks that the model builds.
    """

    networks: ClassVar[frozenset[str]] = frozenset({'network_g'})

    total_iter: int | None = Field(default=None, ge=1)
    total_epoch: int | None = Field(default=None, ge=1)  # ours: it becomes iterations before BasicSR reads them
    iterations_an_epoch: int | None = None  # filled in, never written in a file
    warmup_iter: int = -1
    ema_decay: float = Field(default=0, ge=0, lt=1)
    optim_g: dict[str, Any]
    scheduler: dict[str, Any]
    pixel_opt: dict[str, Any] | None = None
    perceptual_opt: dict[str, Any] | None = None


class SRGANTraining(SRTraining):
    """The `train:` section of SRGANModel and ESRGANModel."""

    networks: ClassVar[frozenset[str]] = frozenset({'network_g', 'network_d'})

    optim_d: dict[str, Any]
    gan_opt: dict[str, Any] | None = None
    ldl_opt: dict[str, Any] | None = None
    net_d_iters: int = Field(default=1, ge=1)
    net_d_init_iters: int = Field(default=0, ge=0)


BASICSR_TRAINING: dict[str, type[SRTraining]] = {'SRModel': SRTraining, 'SRGANModel': SRGANTraining,
                                                 'ESRGANModel': SRGANTraining}
