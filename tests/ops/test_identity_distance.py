import pytest
import torch

from cface_basicsr.errors import UserError
from cface_basicsr.ops.identity_distance import DISTANCES, identity_distance
from tests.references import slow_identity


@pytest.fixture
def pair() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return tuple(3 * torch.randn(5, 7, generator=generator, dtype=torch.float64) for _ in range(2))


@pytest.mark.parametrize('distance', DISTANCES)
def test_equals_the_literal_loop(pair, distance):
    rows = zip(pair[0].tolist(), pair[1].tolist(), strict=True)
    expected = [slow_identity.DISTANCES[distance](a, b) for a, b in rows]
    torch.testing.assert_close(identity_distance(*pair, distance), torch.tensor(expected, dtype=torch.float64))


def test_normalized_is_twice_cosine_and_blind_to_length(pair):
    a, b = pair
    torch.testing.assert_close(identity_distance(a, b), 2 * identity_distance(a, b, 'cosine'))
    torch.testing.assert_close(identity_distance(a, b), identity_distance(7 * a, b / 3))


def test_opposite_features_are_four_apart_and_equal_ones_zero():
    a = torch.tensor([[2.0, 0.0], [0.0, 5.0]])
    assert identity_distance(a, -a).tolist() == [4.0, 4.0]
    assert identity_distance(a, a).tolist() == [0.0, 0.0]


@pytest.mark.parametrize('distance', DISTANCES)
def test_the_gradient_is_right(pair, distance):
    inputs = [features.requires_grad_() for features in pair]
    assert torch.autograd.gradcheck(lambda a, b: identity_distance(a, b, distance), inputs)


def test_a_misspelt_distance_names_the_nearest():
    with pytest.raises(UserError, match="got 'cosin'; did you mean 'cosine'?"):
        identity_distance(torch.ones(1, 2), torch.ones(1, 2), 'cosin')


def test_features_that_would_only_fit_by_broadcasting_are_refused():
    with pytest.raises(ValueError, match=r'\(4, 3\) and \(1, 3\)'):
        identity_distance(torch.ones(4, 3), torch.ones(1, 3))
