import pytest
import torch

from cface_basicsr.errors import UserError
from cface_basicsr.losses.multi_step_l1_loss import MultiStepL1Loss, multi_step_l1


def test_equals_the_mean_over_steps_of_the_mean_over_pixels_written_out():
    outputs, target = torch.rand(4, 2, 3, 2, 2, dtype=torch.float64), torch.rand(2, 3, 2, 2, dtype=torch.float64)
    wanted = target.flatten().tolist()
    of_steps = [sum(abs(p - t) for p, t in zip(step.flatten().tolist(), wanted, strict=True)) / 24 for step in outputs]
    assert multi_step_l1(tuple(outputs), target).item() == pytest.approx(sum(of_steps) / 4)


def test_every_step_gets_the_same_share_of_the_gradient_and_the_target_none():
    outputs = [torch.full((1, 3, 2, 2), value, requires_grad=True) for value in (0.2, 0.4, 0.9)]
    target = torch.full((1, 3, 2, 2), 0.5, requires_grad=True)
    MultiStepL1Loss(loss_weight=6.0)(tuple(outputs), target).backward()
    for output, sign in zip(outputs, (-1, -1, 1), strict=True):
        torch.testing.assert_close(output.grad, torch.full((1, 3, 2, 2), sign * 6.0 / 3 / 12))
    assert target.grad is None


def test_one_step_is_basicsrs_l1_loss():
    from basicsr.losses.basic_loss import L1Loss
    output, target = torch.rand(2, 2, 3, 4, 4)
    torch.testing.assert_close(MultiStepL1Loss()([output], target), L1Loss()(output, target))


def test_a_single_image_is_refused_rather_than_taken_for_steps():
    with pytest.raises(UserError, match='expected the images of all steps .* got one image'):
        MultiStepL1Loss()(torch.rand(2, 3, 4, 4), torch.rand(2, 3, 4, 4))
