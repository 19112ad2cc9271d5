"""One update of CNN_R by L_FR, equation (3): the same in stages 0, 3 and 4."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from cface_basicsr.errors import UserError
from cface_basicsr.ops.recognizer_input import recognizer_features, unit

COLLAPSED = 0.01
"""The share of the spread that a recognizer's unit features had at the first step, below which it has collapsed."""


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
def frozen(network: nn.Module) -> Iterator[nn.Module]:
    """A network whose parameters get no gradient inside the block; after it, the same ones learn as before."""
    learning = [p for p in network.parameters() if p.requires_grad]
    for parameter in learning:
        parameter.requires_grad_(False)
    try:
        yield network
    finally:
        for parameter in learning:
            parameter.requires_grad_(True)


def recognition_step(model: Any, images: Tensor, labels: Tensor, current_iter: int, *,
                     head_only: bool = False) -> dict[str, Tensor]:
    """Update `net_r` and `net_c` of a model on a labelled batch.

    Args:
        model: a StageModel with net_r, net_c, cri_recognition, optimizer_r.
        images: (B, 3, H, W) RGB in [0, 1]; labels: (B,).
        current_iter: for the message about a NaN.
        head_only: leave the recognizer as it is and train only its classifier.

    Returns:
        l_fr, and for the log the accuracy on the batch and the spread of its features, shares in [0, 1].

    Raises:
        UserError: the loss is NaN or infinite.
    """
    head = model.get_bare_model(model.net_c)
    model.optimizer_r.zero_grad(set_to_none=True)
    with torch.set_grad_enabled(not head_only):
        features = recognizer_features(model.net_r, images, bare=model.get_bare_model(model.net_r))
    head.step += 1  # the annealing of lambda counts from 1
    weight = model.net_c()  # (D, C); called through DDP, so that its gradient is averaged over the ranks
    losses = {'l_fr': model.cri_recognition(features, weight, labels, head.step)}  # L_FR, eq. (3)
    model.check_finite(losses, current_iter)
    losses['l_fr'].backward()
    model.optimizer_r.step()
    losses['acc'] = _accuracy(features, weight, labels)
    losses['spread'] = _spread(features)
    if model.spread_at_start is None:
        model.spread_at_start = losses['spread'].item()
    return losses


@torch.no_grad()
def _spread(features: Tensor) -> Tensor:
    """Mean squared distance of a batch's unit features from their mean, in [0, 1]; 0 if all features are equal."""
    return unit(features).var(dim=0, unbiased=False).sum()


def check_collapse(model: Any, current_iter: int) -> None:
    """Check, before CNN_R is saved, that it still tells faces apart as it did at the first step.

    Raises:
        UserError: the features of the last batch have lost nearly all their spread.
    """
    if model.spread_at_start is None:  # no step has been taken since the weights were read
        return
    spread = model.log_dict['spread']
    if spread < COLLAPSED * model.spread_at_start:
        raise UserError(f'the recognizer has collapsed at iteration {current_iter}, and is not saved: it gives all '
                        f'faces the same feature (spread {spread:.1e}, {model.spread_at_start:.1e} at the first step).'
                        "\nLower 'train.optim_r.lr', or train a new head by itself for longer "
                        "('train.head_only_iter').")


@torch.no_grad()
def _accuracy(features: Tensor, weight: Tensor, labels: Tensor) -> Tensor:
    """The share of the batch whose own identity has the largest cosine of all classes."""
    cosines = features @ functional.normalize(weight, dim=0)  # (B, C), up to ||x||
    return (cosines.argmax(1) == labels).float().mean()
