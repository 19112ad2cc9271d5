"""Several devices compute what one computes from the same batch."""

from pathlib import Path

import pytest
import torch
from torch import nn

from cface_basicsr.models.recognition import recognition_step
from tests.tiny_stages import batch_of, build, stage_options


class _SharedByTwo(nn.DataParallel):
    """What DataParallel does on two GPUs: each gets half of the batch, and the results are joined along dimension 0."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.cat([self.module(half) for half in x.chunk(2)])


def test_a_process_with_two_gpus_trains_the_recognizer_as_with_one(data: Path, tmp_path: Path) -> None:
    losses = []
    for wrap in (nn.Identity, _SharedByTwo):
        model = build(stage_options(0, data), tmp_path)
        model.feed_data(batch_of(model))
        if wrap is _SharedByTwo:
            model.net_r, model.net_c = wrap(model.net_r), wrap(model.net_c)
        losses.append([recognition_step(model, model.gt, model.label, 1)['l_fr'].item() for _ in range(3)])
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)
