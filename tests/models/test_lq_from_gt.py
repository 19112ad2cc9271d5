"""A training that makes its LR faces on the device ends with the weights of one that reads them."""

from pathlib import Path
from typing import Any

import pytest
import torch

from cface_basicsr.data.cface_triplet_dataset import CFaceTripletDataset
from tests.tiny_stages import batch_of, build, stage_options, write_tiny_data


@pytest.fixture(scope='module')
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_data(tmp_path_factory.mktemp('lq'))


@pytest.mark.parametrize('changes', [{'lq_from_gt': True}, {'lq_from_gt': True, 'dataroot_lq': None}])
def test_its_weights_are_those_of_a_training_that_is_given_floats(folder: Path, tmp_path: Path,
                                                                  changes: dict[str, Any]) -> None:
    ends = [end_of(folder, tmp_path / str(number), floats=number == 0, **options)
            for number, options in enumerate(({}, {}, changes))]
    for end in ends[1:]:
        assert all(torch.equal(one, two) for one, two in zip(ends[0], end, strict=True))


def end_of(folder: Path, run: Path, floats: bool, **data: Any) -> list[torch.Tensor]:
    """N_SR's weights after two steps of stage 1; `floats`: of items whose images are floats already."""
    model = build(stage_options(1, folder, {'datasets': {'train': {'use_hflip': True} | data}}), run)
    section = model.opt['datasets']['train']
    assert section['uint8'] is True
    if floats:
        section['uint8'] = False
    assert isinstance(CFaceTripletDataset(section)[0]['gt'][0, 0, 0].item(), float if floats else int)
    for step in (1, 2):
        model.feed_data(batch_of(model, 4))
        model.optimize_parameters(step)
    return list(model.net_g.parameters())
