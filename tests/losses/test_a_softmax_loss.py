import pytest
import torch
from torch.nn import functional

from cface_basicsr.losses.a_softmax_loss import ASoftmaxLoss, a_softmax_logits, annealed_lambda
from tests.references import slow_identity


@pytest.fixture
def problem() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    return torch.randn(10, 4, dtype=torch.float64), torch.randn(4, 6, dtype=torch.float64), torch.arange(10) % 6


@pytest.mark.parametrize('step', [1, 200, 5000])
def test_equals_the_literal_loop_at_the_lambda_of_the_step(problem, step):
    features, weight, labels = problem
    expected = slow_identity.a_softmax(features.tolist(), weight.T.tolist(), labels.tolist(), 4,
                                       max(5, 1000 / (1 + 0.12 * step)))
    assert ASoftmaxLoss()(*problem, step).item() == pytest.approx(expected)


def test_the_step_buffer_of_a_head_gives_the_same_loss_as_a_number(problem):
    torch.testing.assert_close(ASoftmaxLoss()(*problem, torch.tensor(300)), ASoftmaxLoss()(*problem, 300))


def test_counting_the_step_up_before_the_backward_pass_does_no_harm(problem):
    features, weight, labels = (problem[0].requires_grad_(), *problem[1:])
    step = torch.tensor(3)
    loss = ASoftmaxLoss()(features, weight, labels, step)
    step += 1
    loss.backward()
    assert features.grad.isfinite().all()


def test_a_later_step_asks_for_more(problem):
    losses = [ASoftmaxLoss()(*problem, step).item() for step in (1, 10, 100, 1000)]
    assert losses == sorted(losses) and losses[0] < losses[-1]


def test_every_setting_reaches_the_formula(problem):
    loss = ASoftmaxLoss(margin=2, lambda_base=20.0, lambda_gamma=1.0, lambda_power=2.0, lambda_min=0.5)
    assert loss.lambda_at(3) == 20 / 16 and loss.lambda_at(100) == 0.5
    expected = functional.cross_entropy(a_softmax_logits(*problem, margin=2, lambda_=20 / 16), problem[2])
    torch.testing.assert_close(loss(*problem, 3), expected)


def test_the_floor_of_the_default_schedule_is_reached_at_iteration_1659():
    loss = ASoftmaxLoss()
    assert loss.lambda_at(1658) > 5 == loss.lambda_at(1659) == annealed_lambda(1659)


def test_features_and_weight_get_a_gradient(problem):
    features, weight, labels = problem
    ASoftmaxLoss()(features.requires_grad_(), weight.requires_grad_(), labels, 5).backward()
    assert features.grad.abs().sum() > 0 and (weight.grad.abs().sum(0) > 0).all()


def test_descending_it_separates_three_faces():
    features, labels = torch.eye(3) + 0.3, torch.arange(3)
    weight = torch.full((3, 3), 0.1).requires_grad_()
    optimizer = torch.optim.SGD([weight], lr=0.5)
    for step in range(1, 100):
        optimizer.zero_grad()
        ASoftmaxLoss(lambda_gamma=10.0)(3 * features, weight, labels, step).backward()
        optimizer.step()
    assert (features @ functional.normalize(weight, dim=0)).argmax(1).tolist() == [0, 1, 2]
