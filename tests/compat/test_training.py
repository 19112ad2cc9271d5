"""EMA of BatchNorm buffers; optimizers beyond Adam."""

from typing import Any

import pytest
import torch
from torch import nn

from cface_basicsr import compat
from cface_basicsr.errors import UserError
from tests.compat.tiny_training import holds_by_row, patched


def model_with(network: nn.Module, average: nn.Module | None = None) -> Any:
    from basicsr.models.base_model import BaseModel
    model = BaseModel({'num_gpu': 0, 'is_train': True, 'dist': False})
    model.net_g, model.net_g_ema = network, average
    return model


def normalized() -> nn.Module:
    return nn.Sequential(nn.Conv2d(1, 2, 1), nn.BatchNorm2d(2))


def test_the_averaged_network_has_the_running_statistics_of_the_trained_one() -> None:
    def check() -> None:
        model = model_with(normalized(), normalized())
        before = model.net_g_ema[1].weight.clone()
        nn.init.constant_(model.net_g[1].weight, 3.)
        model.net_g(torch.randn(8, 1, 4, 4) + 5)
        model.model_ema(0.9)
        torch.testing.assert_close(model.net_g_ema[1].weight, 0.9 * before + 0.1 * 3.)  # parameters are averaged
        assert torch.equal(model.net_g_ema[1].running_mean, model.net_g[1].running_mean)
        assert model.net_g_ema[1].num_batches_tracked == 1

    holds_by_row(check, 'ema-buffers')


def test_any_optimizer_of_torch_can_be_chosen() -> None:
    def check() -> None:
        optimizer = model_with(normalized()).get_optimizer('SGD', [nn.Parameter(torch.ones(1))], lr=0.1, momentum=0.9)
        assert type(optimizer) is torch.optim.SGD
        assert (optimizer.defaults['lr'], optimizer.defaults['momentum']) == (0.1, 0.9)

    holds_by_row(check, 'optimizers', defect=NotImplementedError)


def test_a_misspelt_optimizer_is_named_with_its_neighbour() -> None:
    with patched(), pytest.raises(UserError, match="'Adem'.*did you mean 'Adam'"):
        if 'optimizers' not in compat.applied():
            pytest.skip('this BasicSR knows more than Adam and is left as it is')
        model_with(normalized()).get_optimizer('Adem', [nn.Parameter(torch.ones(1))], lr=0.1)
