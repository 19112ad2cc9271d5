import pytest
import torch

from cface_basicsr.archs.a_softmax_head_arch import ASoftmaxHead
from cface_basicsr.errors import UserError


def test_it_has_the_published_number_of_parameters():
    with torch.device('meta'):
        head = ASoftmaxHead(feature_length=512, num_classes=10_574)
    assert sum(p.numel() for p in head.parameters()) == 5_413_888


def test_forward_gives_the_trainable_weight_itself():
    head = ASoftmaxHead(feature_length=4, num_classes=3)
    weight = head(torch.rand(2, 4))
    assert weight is head.weight and weight.shape == (4, 3) and weight.requires_grad


def test_columns_start_at_about_unit_length():
    torch.manual_seed(0)
    lengths = ASoftmaxHead(feature_length=512, num_classes=20).weight.norm(dim=0)
    torch.testing.assert_close(lengths, torch.ones(20), atol=0.1, rtol=0)


def test_the_annealing_step_is_saved_and_loaded():
    head, other = ASoftmaxHead(feature_length=4, num_classes=3), ASoftmaxHead(feature_length=4, num_classes=3)
    assert head.step.dtype == torch.int64 and head.step.ndim == 0 and head.step == 0
    head.step += 41
    other.load_state_dict(head.state_dict())
    assert other.step == 41 and torch.equal(other.weight, head.weight)


@pytest.mark.parametrize('name', ['feature_length', 'num_classes'])
def test_sizes_below_one_are_refused(name):
    with pytest.raises(UserError, match=f'{name}: expected a whole number from 1 up, got 0'):
        ASoftmaxHead(**{'feature_length': 2, 'num_classes': 2, name: 0})
