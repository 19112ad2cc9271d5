"""What the models of all stages share: weights, optimizers with their own schedules, checks, logs.

BasicSR has one scheduler section for all optimizers and logs one learning rate; in the stages of the paper each network
has its own learning rate, decay and optimizer, so these few methods replace BasicSR's.
"""

from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from typing import Any, ClassVar

import torch
from basicsr.archs import build_network
from basicsr.losses import build_loss
from basicsr.models.base_model import BaseModel
from basicsr.utils import get_root_logger
from torch import Tensor, nn
from torch.optim.lr_scheduler import LambdaLR

from cface_basicsr.errors import UserError, first_few
from cface_basicsr.files.network_file import load_weights
from cface_basicsr.losses.a_softmax_loss import ASoftmaxLoss
from cface_basicsr.models.precision import allow_tf32, check_compiler, half_precision
from cface_basicsr.models.step_log import GO_ON, StepLog
from cface_basicsr.ops.ranks import share_buffers
from cface_basicsr.options import Optimizer, Training, open_section

BATCH = ('lq', 'gt', 'compare', 'phi_gt', 'phi_compare', 'has_compare', 'label', 'draws')
"""The tensors of a batch, as attributes of a model."""


def clip_before_each_step(optimizer: torch.optim.Optimizer, clip_norm: float | None = None,
                          clip_step: float | None = None) -> None:
    """Make an optimizer clip the gradients of its parameters itself; see `options.Optimizer` for the two kinds."""
    def clip(stepped: torch.optim.Optimizer, *_: Any) -> None:
        for group in (group for group in stepped.param_groups if clip_step and group['lr']):
            nn.utils.clip_grad_value_(group['params'], clip_step / group['lr'])  # VDSR, section 3.2: +-theta / gamma
        if clip_norm:
            nn.utils.clip_grad_norm_([p for group in stepped.param_groups for p in group['params']], clip_norm)

    if clip_norm or clip_step:
        optimizer.register_step_pre_hook(clip)


class StageModel(BaseModel):
    """Base of CFaceModel and RecognitionModel.

    Attributes:
        train_section: the class of the `train:` section.
        stage: that section, checked.
    """

    train_section: ClassVar[type[Training]]
    stage: Any
    keys: list[str]  # of the batch's images
    first_part = last_part = True  # of the batch; see parts
    losses_of_parts: list[dict[str, Tensor]]
    recognized: tuple[Tensor, Tensor] | None = None  # where CNN_R learns: features and labels of the last step
    spread_at_start: Tensor | None = None  # of the features of the first step

    def open_stage(self) -> set[str]:
        """Check the `train:` section; returns the keys of the networks and optimizers that its losses need."""
        self.stage = open_section(self.train_section, self.opt['train'], 'train')
        self.step_log = StepLog(self.opt['path'].get('experiments_root', ''), self.opt['rank'])
        self.half = half_precision(self.stage.use_amp, self.stage.amp_bf16, self.device)
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=self.half == torch.float16)
        if self.stage.fast_matmul:
            allow_tf32(self.device)
        return self.stage.needed()

    # ------------------------------------------------------------------------------------------- networks and losses

    def make_network(self, label: str, trained: bool = True) -> nn.Module:
        """Build `network_<label>`, load its weights if a file is named, move it to the device.

        A network that is not trained is frozen, put into eval mode and never wrapped by DDP.
        """
        network = build_network(self.opt[f'network_{label}'])
        path = self.opt['path'].get(f'pretrain_network_{label}')
        if path:
            strict = self.opt['path'].get(f'strict_load_{label}', True)
            self.load_network(network, path, strict, self.opt['path'].get(f'param_key_{label}', 'params'))
        if trained:
            return self.model_to_device(network).train()
        return network.to(self.device).requires_grad_(False).eval()

    def load_network(self, net: nn.Module, load_path: str, strict: bool = True, param_key: str = 'params') -> None:
        """Load a file's weights into a network.

        Raises:
            UserError: see `load_weights`; other than BasicSR's models, none takes `params` for a missing `param_key`.
        """
        left = load_weights(self.get_bare_model(net), load_path, (param_key,), strict=strict)
        if left:
            get_root_logger().warning(f"'{load_path}' does not hold all weights; as they were: {first_few(left)}.")

    def speed_up(self, *networks: nn.Module | None, keep_layout: bool = False) -> None:
        """Give networks the memory layout that the options ask for, which images follow, and compile them.

        Args:
            keep_layout: compile them only; their images must be in the default layout.

        Raises:
            UserError: they are to be compiled, and there is no compiler.
        """
        if self.stage.use_compile:
            check_compiler(self.device)
        for network in filter(None, networks):
            if self.stage.use_channels_last and not keep_layout:
                network.to(memory_format=torch.channels_last)
            if self.stage.use_compile:
                self.get_bare_model(network).compile(mode=self.stage.compile_mode)

    def make_losses(self) -> None:
        """Build the loss of each section `<name>_opt` as `cri_<name>`; None if the file has no such section."""
        for key, section in self.stage.losses().items():
            loss = build_loss(dict(section)).to(self.device) if section else None
            if isinstance(loss, ASoftmaxLoss):
                loss.seed = self.opt.get('manual_seed') or 0  # BasicSR draws one where the file has none
            setattr(self, f"cri_{key.removesuffix('_opt')}", loss)

    # -------------------------------------------------------------------------------------------- the parts of a step

    def parts(self) -> Iterator[None]:
        """Give the batch to the step in `accum_iter` equal parts: gradients add up, and the last changes networks."""
        if self.stage.use_compile:
            torch.compiler.cudagraph_mark_step_begin()
        count = getattr(self.stage, 'accum_iter', 1)
        whole = {name: getattr(self, name) for name in BATCH if getattr(self, name, None) is not None}
        self.losses_of_parts = []
        for number in range(count):
            self.first_part, self.last_part = number == 0, number == count - 1
            for name, values in whole.items() if count > 1 else ():
                setattr(self, name, values.chunk(count)[number])
            yield
        for name, values in whole.items():
            setattr(self, name, values)

    def through(self, network: nn.Module, x: Tensor) -> Tensor:
        """What a network makes of a tensor, in float32, computed as the options ask for.

        DDP averages gradients over the ranks only in the last part, where those of all parts have been added up.
        """
        network = network if self.last_part else self.bare(network)
        if self.half is None:
            return network(x)
        with torch.autocast(self.device.type, self.half):
            result = network(x)
        return result.float() if isinstance(result, Tensor) else tuple(each.float() for each in result)  # SRFBN's steps

    def bare(self, network: nn.Module) -> nn.Module:
        """A network without DDP, so that its gradients stay this rank's; DataParallel shares work and stays."""
        return self.get_bare_model(network) if self.opt['dist'] else network

    def clear(self, optimizer: torch.optim.Optimizer) -> None:
        """Forget the gradients of the step before."""
        if self.first_part:
            optimizer.zero_grad(set_to_none=True)

    def pull(self, loss: Tensor, optimizer: torch.optim.Optimizer, keep: bool = False) -> None:
        """Add the gradient of a loss to those of an optimizer's parameters, and of no others; `keep` its graph."""
        share = loss / getattr(self.stage, 'accum_iter', 1)
        learning = [p for group in optimizer.param_groups for p in group['params']]
        self.scaler.scale(share).backward(inputs=learning, retain_graph=keep)

    def descend(self, optimizer: torch.optim.Optimizer) -> None:
        """Change an optimizer's parameters, when all parts have added their gradients."""
        if self.last_part:
            if self.scaler.is_enabled():
                self.scaler.unscale_(optimizer)  # before they are clipped
            self.scaler.step(optimizer)

    def end_part(self, losses: Mapping[str, Tensor]) -> None:
        """Remember the losses of a part."""
        self.losses_of_parts.append({name: loss.detach() for name, loss in losses.items()})

    def end_step(self, current_iter: int) -> None:
        """Keep a step's losses on the device until they are read, by the log or before a checkpoint."""
        self.step_log.keep(current_iter, self.losses_of_parts, self.keys)
        self.scaler.update()

    # -------------------------------------------------------------------------------------- optimizers and schedules

    def make_optimizer(self, section: Optimizer, networks: Iterable[nn.Module]) -> torch.optim.Optimizer:
        """The optimizer of an option section for the networks' parameters, with its own schedule."""
        parameters = [p for network in networks for p in network.parameters() if p.requires_grad]
        optimizer = self.get_optimizer(section.type, parameters, section.lr, **section.arguments())
        factor = partial(section.schedule.factor, iterations_an_epoch=self.stage.iterations_an_epoch or 1)
        clip_before_each_step(optimizer, section.clip_norm, section.clip_step)
        self.optimizers.append(optimizer)
        self.schedulers.append(LambdaLR(optimizer, factor))
        return optimizer

    def current_lrs(self) -> dict[str, float]:
        """The learning rates lr_g, lr_d, lr_r of the optimizers that this stage has, for the log."""
        named = {f'lr_{label}': getattr(self, f'optimizer_{label}', None) for label in 'gdr'}
        return {name: optimizer.param_groups[0]['lr'] for name, optimizer in named.items() if optimizer}

    # -------------------------------------------------------------------------------------------- checks, logs, files

    def more_for_the_state(self) -> dict[str, Tensor]:
        """What a resumed training needs besides networks, optimizers and random numbers."""
        return {} if self.spread_at_start is None else {'spread_at_start': self.spread_at_start.cpu()}

    def restore(self, saved: Mapping[str, Tensor]) -> None:
        """Take up what `more_for_the_state` gave."""
        if 'spread_at_start' in saved:
            self.spread_at_start = saved['spread_at_start'].to(self.device)

    def more_for_the_log(self) -> dict[str, Tensor]:
        """What the log shows of the last step besides its losses, computed only when it is read."""
        return {}

    def get_current_log(self) -> dict[str, float]:
        """The last step's losses, averaged over the ranks, and the learning rates; BasicSR asks every `print_freq`.

        Raises:
            UserError: a loss of a step since the last reading was NaN or infinite; see `StepLog.check`.
        """
        return self.step_log.read(self.more_for_the_log(), self.opt['world_size']) | self.current_lrs()

    def save_network(self, net: nn.Module | list[nn.Module], net_label: str, current_iter: int,
                     param_key: str | list[str] = 'params') -> None:
        """BasicSR's `save_network`, if all weights are finite: a gradient can spoil them even if every loss was.

        Raises:
            UserError: a weight is NaN or Inf; nothing is written.
        """
        for network in net if isinstance(net, list) else [net]:
            if not all(torch.isfinite(value).all() for value in network.state_dict().values()):
                raise UserError(f'{net_label} holds NaN or Inf at iteration {current_iter}, so it is not saved.\n'
                                f'The last checkpoint is unharmed: lower the learning rate. {GO_ON}')
        super().save_network(net, net_label, current_iter, param_key)

    def save_networks(self, labels: str, current_iter: int) -> None:
        """Save `net_<label>` of each label; buffers (BatchNorm, step counters) are rank 0's on every rank."""
        for label in labels:
            network = getattr(self, f'net_{label}')
            share_buffers(self.get_bare_model(network))
            self.save_network(network, f'net_{label}', current_iter)
