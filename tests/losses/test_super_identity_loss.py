import pytest
import torch

from cface_basicsr.errors import UserError
from cface_basicsr.losses.super_identity_loss import SuperIdentityLoss, super_identity_loss
from tests.references import slow_identity


@pytest.fixture
def faces() -> tuple[torch.Tensor, torch.Tensor]:
    return torch.randn(6, 5, dtype=torch.float64), torch.randn(6, 5, dtype=torch.float64)


@pytest.mark.parametrize('distance', ['normalized', 'l2', 'cosine'])
def test_equals_the_mean_of_the_literal_loop(faces, distance):
    rows = zip(faces[0].tolist(), faces[1].tolist(), strict=True)
    expected = sum(slow_identity.DISTANCES[distance](a, b) for a, b in rows) / 6
    assert super_identity_loss(*faces, distance=distance).item() == pytest.approx(expected)


def test_only_the_super_resolved_features_get_a_gradient(faces):
    sr, hr = (f.requires_grad_() for f in faces)
    super_identity_loss(sr, hr).backward()
    assert sr.grad.abs().sum() > 0 and hr.grad is None


def test_the_class_weights_the_function(faces):
    loss = SuperIdentityLoss(loss_weight=0.5, distance='l2')
    torch.testing.assert_close(loss(*faces), 0.5 * super_identity_loss(*faces, distance='l2'))


def test_a_misspelt_distance_is_refused():
    with pytest.raises(UserError, match='distance: expected one of'):
        SuperIdentityLoss(distance='L1')
