"""Two ranks with parts of a batch against torch's own batch normalization of the whole batch."""

from collections import OrderedDict
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from cface_basicsr.archs.batchnorm import SyncedBatchNorm, sync_batchnorms
from cface_basicsr.errors import UserError
from tests.two_ranks import on_both_ranks

Arrays = dict[str, np.ndarray]
KINDS = {2: nn.BatchNorm1d, 3: nn.BatchNorm1d, 4: nn.BatchNorm2d, 5: nn.BatchNorm3d}


def problem(shape: tuple[int, ...], offset: float = 0.0) -> tuple[torch.Tensor, torch.Tensor]:
    """A batch and the gradient of its result, float64."""
    generator = torch.Generator().manual_seed(0)
    batch, gradient = torch.randn(2, *shape, generator=generator, dtype=torch.float64)
    return batch + offset, gradient


def network(kind: type[nn.Module], arguments: dict[str, Any]) -> nn.Module:
    """A normalization with gains and shifts that are no ones and zeros; it is in a network, as always."""
    norm = kind(3, **arguments).double()
    with torch.no_grad():
        for number, parameter in enumerate(norm.parameters()):
            parameter.copy_(torch.arange(1, 4) + number)
    return nn.Sequential(OrderedDict(norm=norm))


def results(net: nn.Module, batch: torch.Tensor, gradient: torch.Tensor) -> Arrays:
    """Two passes in training mode: the second one's outputs and gradients, and the buffers after both."""
    with torch.no_grad():
        net(2 * batch + 1)
    batch = batch.clone().requires_grad_()
    output = net(batch)
    output.backward(gradient)
    found = {'output': output, 'batch.grad': batch.grad, **dict(net.named_buffers())}
    found |= {f'{name}.grad': parameter.grad for name, parameter in net.named_parameters()}
    return {name: value.detach().numpy() for name, value in found.items()}


def results_of_a_part(shape: tuple[int, ...], cuts: tuple[int, int], arguments: dict[str, Any]) -> Arrays:
    part = slice(*cuts) if torch.distributed.get_rank() else slice(cuts[0])
    net = network(KINDS[len(shape)], arguments)
    sync_batchnorms(net)
    return results(net, *(whole[part] for whole in problem(shape)))


@pytest.mark.parametrize('shape', [(7, 3), (7, 3, 5), (7, 3, 4, 2), (7, 3, 2, 2, 2)])
@pytest.mark.parametrize('arguments', [{}, {'momentum': None}, {'momentum': 0.3, 'eps': 0.1}, {'affine': False},
                                       {'track_running_stats': False}], ids=str)
@pytest.mark.parametrize('cut', [4, 1])  # parts of 4 and 3 images, of 1 and 6
def test_forward_running_statistics_and_gradients_are_those_of_the_whole_batch(
        shape: tuple[int, ...], arguments: dict[str, Any], cut: int) -> None:
    whole = results(network(KINDS[len(shape)], arguments), *problem(shape))
    parts = on_both_ranks(results_of_a_part, shape, (cut, len(problem(shape)[0])), arguments)
    for name, value in whole.items():
        if name in ('output', 'batch.grad'):
            found = np.concatenate([part[name] for part in parts])
        elif name.endswith('.grad'):
            found = sum(part[name] for part in parts)  # of the sum of both ranks' losses
        else:
            found = parts[0][name]
            np.testing.assert_array_equal(found, parts[1][name])
        np.testing.assert_allclose(found, value, rtol=1e-10, atol=1e-12, err_msg=name)


def far_from_zero() -> float:
    """The largest error of normalized single-precision values around 1000, against double precision."""
    batch = problem((64, 3, 8, 8), offset=1000.0)[0]
    net = nn.Sequential(nn.BatchNorm2d(3))
    sync_batchnorms(net)
    mine = net(batch.float()[torch.distributed.get_rank()::2])
    right = nn.functional.batch_norm(batch.float().double(), None, None, training=True)
    return (mine - right[torch.distributed.get_rank()::2]).abs().max().item()


def test_the_variance_of_values_far_from_zero_survives_in_single_precision() -> None:
    assert max(on_both_ranks(far_from_zero)) < 1e-3  # the difference of single-precision sums would be off by tenths


def layouts_and_lonely_evaluation() -> tuple[bool, bool]:
    net = nn.Sequential(nn.BatchNorm2d(3))
    sync_batchnorms(net)
    batch = torch.rand(4, 3, 6, 6).to(memory_format=torch.channels_last)
    kept = net(batch).is_contiguous(memory_format=torch.channels_last)
    if torch.distributed.get_rank() == 0:  # only rank 0 validates: the other one must not be waited for
        net.eval()
        want = nn.functional.batch_norm(batch, net[0].running_mean, net[0].running_var)
        return kept, torch.allclose(net(batch), want)
    return kept, True


def test_the_memory_layout_is_passed_on_and_an_evaluation_waits_for_nobody() -> None:
    assert on_both_ranks(layouts_and_lonely_evaluation) == [(True, True)] * 2


def test_names_parameters_and_buffers_stay_and_one_process_computes_as_before() -> None:
    net = network(nn.BatchNorm2d, {})
    state, parameters = net.state_dict(keep_vars=True), list(net.parameters())
    before = results(network(nn.BatchNorm2d, {}), *problem((7, 3, 4, 2)))
    sync_batchnorms(net)
    sync_batchnorms(net)  # a second time changes nothing
    assert isinstance(net.norm, SyncedBatchNorm)
    assert list(net.state_dict()) == list(state)
    assert all(one is other for one, other in zip(net.parameters(), parameters, strict=True))
    after = results(net, *problem((7, 3, 4, 2)))
    assert all(np.array_equal(before[name], after[name]) for name in before)


def test_a_normalization_of_another_kind_is_refused_by_its_name() -> None:
    class OwnBatchNorm(nn.BatchNorm2d):
        """One with a forward of its own."""

    with pytest.raises(UserError, match="Sequential: '1.norm' is a OwnBatchNorm.*'sync_batchnorm: false'"):
        sync_batchnorms(nn.Sequential(nn.ReLU(), network(OwnBatchNorm, {})))
