import pytest
import torch
from torch.nn import functional

from cface_basicsr.errors import UserError
from cface_basicsr.losses.a_softmax_loss import ASoftmaxLoss, a_softmax_logits, annealed_lambda
from cface_basicsr.ops.class_sample import sampled_classes
from tests.references import slow_identity
from tests.two_ranks import on_both_ranks


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


# ---------------------------------------------------------------------------------------------------- sampled classes

def many_classes() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(4)
    features, weight = (torch.randn(size, generator=generator, dtype=torch.float64) for size in ((8, 5), (5, 60)))
    return features.requires_grad_(), weight.requires_grad_(), torch.arange(8) * 7


def test_a_sampled_loss_is_the_literal_loop_over_the_sampled_classes() -> None:
    features, weight, labels = many_classes()
    loss = ASoftmaxLoss(sample_rate=0.25)
    loss.seed = 9
    kept = sampled_classes(labels, 60, 0.25, seed=9, step=3).tolist()
    columns = weight.T.tolist()
    expected = slow_identity.a_softmax(features.tolist(), [columns[number] for number in kept],
                                       [kept.index(label) for label in labels.tolist()], 4, 1000 / (1 + 0.12 * 3))
    value = loss(features, weight, labels, torch.tensor(3))
    assert value.item() == pytest.approx(expected, rel=1e-10)
    value.backward()
    assert (weight.grad.abs().sum(0) > 0).nonzero().flatten().tolist() == kept and len(kept) == 15
    assert features.grad.abs().min() > 0


def test_at_the_rate_1_it_is_the_full_loss_bit_for_bit_and_so_it_is_when_all_classes_are_sampled() -> None:
    results = []
    for rate in (None, 1.0, 0.999):  # 59.94 classes of 60: all
        features, weight, labels = many_classes()
        value = (ASoftmaxLoss() if rate is None else ASoftmaxLoss(sample_rate=rate))(features, weight, labels, 3)
        value.backward()
        results.append((value, features.grad, weight.grad))
    for other in results[1:]:
        assert all(map(torch.equal, results[0], other))


@pytest.mark.parametrize('rate', [0, -0.1, 1.01, float('nan')])
def test_a_rate_that_is_no_share_is_refused(rate: float) -> None:
    with pytest.raises(UserError, match=r'^ASoftmaxLoss: sample_rate: expected a number above 0, at most 1, got'):
        ASoftmaxLoss(sample_rate=rate)


def part_of_a_rank(ranks: int) -> tuple[float, list[list[float]]]:
    """The loss of this rank's part of the batch, and the gradient of the weight."""
    features, weight, labels = many_classes()
    rank = torch.distributed.get_rank() if ranks > 1 else 0
    value = ASoftmaxLoss(sample_rate=0.25)(features[rank::ranks], weight, labels[rank::ranks], torch.tensor(3))
    value.backward()
    return value.item(), weight.grad.tolist()


def test_two_ranks_sample_the_classes_of_the_whole_batch_and_have_the_loss_of_one() -> None:
    value, gradient = part_of_a_rank(1)
    parts = on_both_ranks(part_of_a_rank, 2)
    assert sum(part[0] for part in parts) / 2 == pytest.approx(value, rel=1e-12)
    mean = (torch.tensor(parts[0][1]) + torch.tensor(parts[1][1])) / 2
    torch.testing.assert_close(mean, torch.tensor(gradient))
