"""One update of CNN_R by L_FR, equation (3): the same in stages 0, 3 and 4."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from cface_basicsr.data.compare_index import INDEX_COMMAND, find_index, read_index_manifest
from cface_basicsr.data.dataset_options import index_folder
from cface_basicsr.errors import UserError
from cface_basicsr.files.recognizer_file import recognizer_hash
from cface_basicsr.ops.angular_margin import by_directions
from cface_basicsr.ops.ranks import moments_over_ranks
from cface_basicsr.ops.recognizer_input import as_written, recognizer_features, unit
from cface_basicsr.recognizers.load import load_recognizer

COLLAPSED = 0.01
"""The share of the spread that a recognizer's unit features had at the first step, below which it has collapsed."""
_ROUNDING = 1e-2
"""The share of their length by which features of one face may differ between two batches; TF32 needs the most."""


def check_feature_length(model: Any) -> None:
    """Check that `net_c` classifies features of the length that `net_r` has.

    Raises:
        UserError: their lengths differ; names both.
    """
    gives = model.get_bare_model(model.net_r).feature_length
    wants = len(model.get_bare_model(model.net_c).weight)
    if gives != wants:
        raise UserError(f"option 'network_c.feature_length' is {wants}, but network_r gives features of {gives}.")


@contextmanager
def without_gradients(network: nn.Module) -> Iterator[nn.Module]:
    """A network whose parameters get no gradient inside the block; after it, the same ones learn as before."""
    learning = [p for p in network.parameters() if p.requires_grad]
    for parameter in learning:
        parameter.requires_grad_(False)
    try:
        yield network
    finally:
        for parameter in learning:
            parameter.requires_grad_(True)


@contextmanager
def frozen(network: nn.Module) -> Iterator[nn.Module]:
    """A network that learns nothing inside the block, is not random and does not count; after it, it is as before.

    Its parameters get no gradient, and all its modules are in evaluation mode: dropout passes its input on, and batch
    normalization uses its running statistics and leaves them as they are.
    """
    training = [module for module in network.modules() if module.training]  # some keep part of themselves in eval mode
    for module in training:
        module.training = False  # as `eval` does, which visits every module several times in some recognizers
    try:
        with without_gradients(network):
            yield network
    finally:
        for module in training:
            module.training = True


@torch.no_grad()
def check_repeatable(network: nn.Module, device: torch.device) -> None:
    """Check that a frozen recognizer gives a face the same feature every time; if not, L_SI(HR, HR) would not be 0.

    This finds modules that are random, count or mix the faces of a batch in evaluation mode too, whatever their names.

    Args:
        network: the bare recognizer.
        device: where it is.

    Raises:
        UserError: it does not.
    """
    spec = network.input_spec
    faces = torch.rand(4, 3, spec.height, spec.width, generator=torch.Generator().manual_seed(0)).to(device)
    before = {name: buffer.clone() for name, buffer in network.named_buffers()}
    with frozen(network):
        in_four, in_two = recognizer_features(network, faces)[:2], recognizer_features(network, faces[:2])
    changed = [name for name, buffer in network.named_buffers() if not torch.equal(buffer, before[name])]
    if changed or (in_four - in_two).norm() > _ROUNDING * in_two.norm():
        what = f"changes '{changed[0]}'" if changed else 'gives one face different features in two batches'
        raise UserError(f"option 'network_r': {type(network).__name__} {what}, in evaluation mode too, so L_SI(HR, HR) "
                        'is not 0. Take one without randomness, counters or statistics of the batch.')


def frozen_recognizer(file: str, device: torch.device) -> nn.Module:
    """A further recognizer that leads a loss, from its file, on a device; nothing about it changes.

    Raises:
        UserError: see `load_recognizer` and `check_repeatable`.
    """
    network = load_recognizer(Path(file)).to(device).requires_grad_(False).eval()
    check_repeatable(network, device)
    return network


def check_index_of(network: nn.Module, opt: Mapping[str, Any]) -> None:
    """Check that the compare index whose features are used was made by this recognizer, with the same input.

    Args:
        network: the bare recognizer.
        opt: the options of the training.

    Raises:
        UserError: it was not.
    """
    data = opt['datasets']['train']
    folder = find_index(index_folder(data.get('compare_index'), data['dataroot_gt']))
    made_with, file = read_index_manifest(folder), opt['path'].get('pretrain_network_r') or opt['network_r']['file']
    for what, name, ours in (('recognizer', 'recognizer', recognizer_hash(file)),
                             ('input', 'input_spec', as_written(network.input_spec))):
        if made_with.get(name) != ours:
            raise UserError(f"option 'datasets.train.reference_features': the features of '{folder}' are of another "
                            f"{what} than network_r's: {made_with.get(name)}, not {ours}. "
                            f'Make an index with {INDEX_COMMAND}, or take compute.')


def recognition_step(model: Any, images: Tensor, labels: Tensor, *, head_only: bool = False,
                     features: Tensor | None = None) -> dict[str, Tensor]:
    """Update `net_r` and `net_c` of a model on a labelled batch.

    Args:
        model: a StageModel with net_r, net_c, cri_recognition, optimizer_r.
        images: (B, 3, H, W) RGB in [0, 1]; labels: (B,).
        head_only: leave the recognizer as it is and train only its classifier.
        features: (B, D) of the images, where net_r has computed them in this step.

    Returns:
        l_fr.
    """
    head = model.get_bare_model(model.net_c)
    model.clear(model.optimizer_r)
    if features is None:
        with torch.set_grad_enabled(not head_only):
            features = features_of(model, model.net_r, images)
    head.step += model.first_part  # the annealing of lambda counts from 1
    # Called through DDP, its gradient is averaged over the ranks; DataParallel would pile up the weights of all GPUs.
    weight = (model.net_c if model.opt['dist'] and model.last_part else head)(features)  # (D, C)
    loss = model.cri_recognition(features, weight, labels, head.step)  # L_FR, eq. (3)
    model.pull(loss, model.optimizer_r)
    model.descend(model.optimizer_r)
    before = () if model.first_part else [model.recognized]
    model.recognized = tuple(map(torch.cat, zip(*before, (features.detach(), labels), strict=True)))
    if model.last_part and model.spread_at_start is None:
        model.spread_at_start = _spread(model.recognized[0])
    return {'l_fr': loss}


def features_of(model: Any, network: nn.Module, images: Tensor) -> Tensor:
    """Features (B, D) of images (B, 3, H, W), by `net_r` or what it wraps; the network computes as the options ask."""
    return recognizer_features(partial(model.through, network), images, bare=model.get_bare_model(network))


def accuracy_and_spread(model: Any) -> dict[str, Tensor]:
    """For the log: the accuracy of a model's last recognition step and the spread of its features, shares in [0, 1]."""
    features, labels = model.recognized
    return {'acc': _accuracy(features, model.get_bare_model(model.net_c).weight, labels), 'spread': _spread(features)}


@torch.no_grad()
def _spread(features: Tensor) -> Tensor:
    """Mean squared distance of a global batch's unit features from their mean, in [0, 1]; 0 if all are equal."""
    return moments_over_ranks(unit(features))[1].sum()


def check_collapse(model: Any, current_iter: int) -> None:
    """Check, before CNN_R is saved, that it still tells faces apart as it did at the first step.

    Raises:
        UserError: the features of the last batch have lost nearly all their spread.
    """
    if model.recognized is None:  # no step since the weights were read: those of a state passed when it was saved
        return
    # the same on every rank, unlike the log
    spread, at_start = torch.stack((_spread(model.recognized[0]), model.spread_at_start)).tolist()
    if spread < COLLAPSED * at_start:
        raise UserError(f'the recognizer has collapsed at iteration {current_iter}, and is not saved: it gives all '
                        f'faces the same feature (spread {spread:.1e}, {at_start:.1e} at the first step).'
                        "\nLower 'train.optim_r.lr', or train a new head by itself for longer "
                        "('train.head_only_iter').")


@torch.no_grad()
def _accuracy(features: Tensor, weight: Tensor, labels: Tensor) -> Tensor:
    """The share of the batch whose own identity has the largest cosine of all classes."""
    return (by_directions(features, weight).argmax(1) == labels).float().mean()
