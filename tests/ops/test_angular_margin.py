import math

import pytest
import torch
from torch.nn import functional

from cface_basicsr.errors import UserError
from cface_basicsr.ops.angular_margin import (
    a_softmax_logits,
    angular_psi,
    annealed_lambda,
    by_directions,
    chebyshev,
)
from tests.references import slow_identity


@pytest.fixture
def problem() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    features = 2 * torch.randn(12, 3, generator=generator, dtype=torch.float64)
    weight = torch.randn(3, 5, generator=generator, dtype=torch.float64)
    return features, weight, torch.arange(12) % 5


@pytest.mark.parametrize('order', range(7))
def test_chebyshev_is_the_cosine_of_a_multiple_angle(order):
    theta = torch.linspace(0, math.pi, 50, dtype=torch.float64)
    torch.testing.assert_close(chebyshev(theta.cos(), order), (order * theta).cos())


@pytest.mark.parametrize('margin', [1, 2, 3, 4, 5])
def test_psi_equals_its_definition_by_angles(margin):
    theta = torch.linspace(0.001, math.pi - 0.001, 999, dtype=torch.float64)
    k = (margin * theta / math.pi).floor()
    torch.testing.assert_close(angular_psi(theta.cos(), margin), (-1) ** k * (margin * theta).cos() - 2 * k)


@pytest.mark.parametrize('margin', [2, 3, 4])
def test_psi_falls_from_one_to_one_minus_two_m_without_a_jump(margin):
    cos = torch.linspace(1, -1, 4001, dtype=torch.float64)
    psi = angular_psi(cos, margin)
    steps = psi.diff()
    assert psi[0] == 1 and psi[-1] == 1 - 2 * margin
    assert (steps <= 0).all() and steps.abs().max() < 0.01


def test_the_four_fold_margin_is_the_papers_polynomial():
    cos = torch.tensor([0.9, 0.8], dtype=torch.float64)  # theta < pi / 4: k = 0
    torch.testing.assert_close(angular_psi(cos, 4), 8 * cos ** 4 - 8 * cos ** 2 + 1)


@pytest.mark.parametrize('cos', [1.0, -1.0])
def test_the_slope_of_psi_is_finite_and_upward_at_both_ends(cos):
    x = torch.tensor(cos, requires_grad=True)
    angular_psi(x, 4).backward()
    assert x.grad == 16  # m^2


@pytest.mark.parametrize('margin', [1, 2, 3, 4])
@pytest.mark.parametrize('lambda_', [0.0, 5.0, 1000.0])
def test_the_cross_entropy_equals_the_literal_loop(problem, margin, lambda_):
    features, weight, labels = problem
    logits = a_softmax_logits(features, weight, labels, margin=margin, lambda_=lambda_)
    expected = slow_identity.a_softmax(features.tolist(), weight.T.tolist(), labels.tolist(), margin, lambda_)
    assert functional.cross_entropy(logits, labels).item() == pytest.approx(expected, rel=1e-10)


def test_a_huge_lambda_leaves_the_plain_softmax_of_length_times_cosine(problem):
    features, weight, labels = problem
    plain = features @ functional.normalize(weight, dim=0)
    torch.testing.assert_close(a_softmax_logits(features, weight, labels, lambda_=1e12), plain)


def test_the_margin_lowers_the_true_logit_and_no_other(problem):
    features, weight, labels = problem
    plain = features @ functional.normalize(weight, dim=0)
    lowered = plain - a_softmax_logits(features, weight, labels, lambda_=5.0)
    true = functional.one_hot(labels, 5).bool()
    assert (lowered[true] > 0).all() and (lowered[~true].abs() < 1e-14).all()


def test_the_length_of_a_weight_column_does_not_matter(problem):
    features, weight, labels = problem
    scaled = weight * torch.arange(1, 6, dtype=torch.float64)
    torch.testing.assert_close(a_softmax_logits(features, weight, labels, lambda_=5.0),
                               a_softmax_logits(features, scaled, labels, lambda_=5.0))


def test_the_gradient_is_right(problem):
    features, weight, labels = problem
    inputs = [features.requires_grad_(), weight.requires_grad_()]
    assert torch.autograd.gradcheck(lambda f, w: a_softmax_logits(f, w, labels, lambda_=5.0), inputs)


@pytest.mark.parametrize('sign', [1, -1])
def test_gradients_stay_finite_for_a_feature_along_its_class(sign):
    weight = torch.randn(8, 3, generator=torch.Generator().manual_seed(2), requires_grad=True)
    features = (sign * 30 * weight.detach().T).requires_grad_()
    labels = torch.arange(3)
    functional.cross_entropy(a_softmax_logits(features, weight, labels, lambda_=0.0), labels).backward()
    assert features.grad.isfinite().all() and weight.grad.isfinite().all()


def test_a_feature_of_zeros_gives_finite_logits_and_gradients():
    features, weight = torch.zeros(1, 4, requires_grad=True), torch.eye(4, requires_grad=True)
    logits = a_softmax_logits(features, weight, torch.tensor([1]), lambda_=5.0)
    logits.sum().backward()
    assert (logits == 0).all() and features.grad.isfinite().all() and weight.grad.isfinite().all()


def test_lambda_follows_the_caffe_schedule():
    assert annealed_lambda(0) == 1000
    assert annealed_lambda(1) == pytest.approx(1000 / 1.12)
    assert annealed_lambda(100) == pytest.approx(1000 / 13)
    assert annealed_lambda(1658) > 5 == annealed_lambda(1659) == annealed_lambda(10 ** 6)


def test_lambda_of_other_settings():
    values = [annealed_lambda(step, base=1500, gamma=0.1, minimum=5) for step in (2989, 2990)]
    assert values[0] > 5 == values[1]
    assert annealed_lambda(3, base=10, gamma=1, power=2, minimum=0) == pytest.approx(10 / 16)


def test_a_tensor_step_gives_the_same_lambda_as_a_tensor():
    for step in (0, 7, 5000):
        value = annealed_lambda(torch.tensor(step))
        assert isinstance(value, torch.Tensor) and value.item() == pytest.approx(annealed_lambda(step))


@pytest.mark.parametrize('margin', [0, -1, 2.5, True])
def test_a_margin_that_is_not_a_whole_number_is_refused(problem, margin):
    with pytest.raises(UserError, match='margin: expected a whole number from 1 up'):
        a_softmax_logits(*problem, margin=margin, lambda_=5.0)


def test_a_negative_lambda_is_refused(problem):
    with pytest.raises(UserError, match='lambda: expected a number from 0 up, got -1'):
        a_softmax_logits(*problem, lambda_=-1)


@pytest.mark.parametrize(('kind', 'tolerance'), [(torch.float64, 1e-12), (torch.float32, 1e-6)])
def test_products_divided_by_lengths_have_the_values_and_gradients_of_columns_at_unit_length(
        kind: torch.dtype, tolerance: float) -> None:
    generator = torch.Generator().manual_seed(2)
    given = [torch.randn(shape, generator=generator, dtype=torch.float64).to(kind) for shape in ((8, 64), (64, 301))]
    given[1][:, 0] = 0  # a column without a direction
    pull = torch.randn(8, 301, generator=generator, dtype=torch.float64).to(kind)
    results = []
    for function in (by_directions, lambda x, weight: x @ functional.normalize(weight, dim=0)):
        x, weight = (each.clone().requires_grad_() for each in given)
        products = function(x, weight)
        of_x, of_weight = torch.autograd.grad(products, (x, weight), pull)
        results.append((products, of_x, of_weight[:, 1:]))
    for ours, theirs in zip(*results, strict=True):
        assert ((ours - theirs).norm() / theirs.norm()).item() < tolerance
