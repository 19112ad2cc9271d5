import pytest
import torch

from cface_basicsr.losses.sum_squared_loss import SumSquaredLoss, sum_squared


def test_equals_caffes_euclidean_loss_written_out():
    prediction, target = torch.rand(2, 3, 3, 4, 5, dtype=torch.float64)
    total = sum((p - t) ** 2 for p, t in zip(prediction.flatten().tolist(), target.flatten().tolist(), strict=True))
    assert sum_squared(prediction, target).item() == pytest.approx(total / (2 * 3))


def test_on_faces_it_is_half_their_number_of_values_times_the_mean_squared_error():
    from basicsr.losses.basic_loss import MSELoss
    prediction, target = torch.rand(2, 2, 3, 128, 128)
    torch.testing.assert_close(SumSquaredLoss()(prediction, target), 24576 * MSELoss()(prediction, target))


def test_only_the_prediction_gets_a_gradient_its_difference_over_the_batch():
    prediction, target = (torch.rand(4, 3, 2, 2, requires_grad=True) for _ in range(2))
    SumSquaredLoss(loss_weight=3.0)(prediction, target).backward()
    torch.testing.assert_close(prediction.grad, 3 * (prediction - target).detach() / 4)
    assert target.grad is None
