import math

import pytest
import torch
from torch import nn

from cface_basicsr.errors import UserError
from cface_basicsr.losses.cface_loss import CFaceLoss, cface_loss, cface_terms
from cface_basicsr.ops.recognizer_input import RecognizerInput, recognizer_features
from tests.references import slow_identity

GAMMAS = {'gamma1': 0.05, 'gamma2': 0.1}


def on_circle(*degrees: float) -> torch.Tensor:
    """(B, 2) features of length 1 at these angles."""
    angles = torch.tensor(degrees, dtype=torch.float64).deg2rad()
    return torch.stack([angles.cos(), angles.sin()], dim=1)


def l_si(degrees: float) -> float:
    return 2 - 2 * math.cos(math.radians(degrees))


@pytest.fixture
def faces() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(3)
    return tuple(2 * torch.randn(9, 4, generator=generator, dtype=torch.float64) for _ in range(3))


@pytest.mark.parametrize('distance', ['normalized', 'l2', 'cosine'])
@pytest.mark.parametrize('margin', [True, False])
@pytest.mark.parametrize('masked', [(), (0, 4, 8), tuple(range(9))])
def test_equals_the_literal_loop(faces, distance, margin, masked):
    has = [row not in masked for row in range(9)]
    got = cface_loss(*faces, **GAMMAS, margin=margin, distance=distance, has_compare=torch.tensor(has))
    expected = slow_identity.cface(*(f.tolist() for f in faces), **GAMMAS, margin=margin, distance=distance,
                                   has_compare=has)
    assert got.item() == pytest.approx(expected, rel=1e-10)


def test_without_a_margin_both_distances_count_whole():
    """Equation (5): SR at 0 degrees, HR at 60, C at 90."""
    own, other = cface_terms(on_circle(0), on_circle(60), on_circle(90), gamma1=0.5, gamma2=3.0, margin=False)
    assert own.item() == pytest.approx(0.5 * 1) and other.item() == pytest.approx(3 * 2)


def test_with_a_margin_the_distance_from_hr_to_c_is_free():
    """Equation (6): L_SI(SR, C) = 2, L_SI(HR, C) = 2 - sqrt(3)."""
    own, other = cface_terms(on_circle(0), on_circle(60), on_circle(90), gamma1=0.5, gamma2=3.0)
    assert own.item() == pytest.approx(0.5) and other.item() == pytest.approx(3 * math.sqrt(3))


def test_a_face_nearer_to_c_than_its_original_pays_nothing_and_is_not_pushed():
    sr = on_circle(70).requires_grad_()
    _, other = cface_terms(sr, on_circle(60), on_circle(90), **GAMMAS)
    other.backward()
    assert other == 0 and (sr.grad == 0).all()


def test_the_hinge_is_taken_face_by_face():
    """The second face is far better than needed, which must not make up for the first."""
    _, other = cface_terms(on_circle(0, 90), on_circle(60, 0), on_circle(90, 90), gamma1=1.0, gamma2=1.0)
    assert other.item() == pytest.approx((l_si(90) - l_si(30)) / 2)


def test_a_face_without_a_compare_face_counts_in_the_batch_but_adds_nothing():
    has = torch.tensor([True, False])
    own, other = cface_terms(on_circle(0, 0), on_circle(60, 60), on_circle(90, 180), gamma1=1.0, gamma2=1.0,
                             margin=False, has_compare=has)
    assert own.item() == pytest.approx(1) and other.item() == pytest.approx(l_si(90) / 2)


def test_a_batch_without_any_compare_face_gives_zero_and_no_gradient_from_the_second_term(faces):
    sr = faces[0].requires_grad_()
    _, other = cface_terms(sr, *faces[1:], **GAMMAS, has_compare=torch.zeros(9, dtype=torch.bool))
    other.backward()
    assert other == 0 and (sr.grad == 0).all()


@pytest.mark.parametrize('distance', ['normalized', 'l2', 'cosine'])
@pytest.mark.parametrize('margin', [True, False])
def test_both_terms_reach_sr_and_neither_reaches_the_references(faces, distance, margin):
    for term in (0, 1):
        sr, hr, compare = (f.clone().requires_grad_() for f in faces)
        cface_terms(sr, hr, compare, **GAMMAS, margin=margin, distance=distance)[term].backward()
        assert sr.grad.abs().sum() > 0 and hr.grad is None and compare.grad is None


def test_through_a_frozen_recognizer_it_reaches_the_super_resolved_image_and_nothing_else():
    recognizer = nn.Sequential(nn.Flatten(), nn.Linear(3 * 8 * 8, 5)).requires_grad_(False)
    recognizer.input_spec = RecognizerInput(8, 8, channels='bgr')
    sr, hr, compare = (torch.rand(2, 3, 16, 16, requires_grad=True) for _ in range(3))
    features = [recognizer_features(recognizer, images) for images in (sr, hr, compare)]
    cface_loss(*features, **GAMMAS).backward()
    assert (sr.grad.abs().amax((1, 2, 3)) > 0).all() and hr.grad is None and compare.grad is None
    assert all(p.grad is None for p in recognizer.parameters())


@pytest.mark.parametrize('margin', [True, False])
def test_the_gradient_is_right(faces, margin):
    sr, hr, compare = faces
    has = torch.arange(9) % 3 != 0
    assert torch.autograd.gradcheck(
        lambda sr: cface_loss(sr, hr, compare, **GAMMAS, margin=margin, has_compare=has), sr.requires_grad_())


def test_the_class_equals_the_function(faces):
    has = torch.arange(9) % 2 == 0
    loss = CFaceLoss(**GAMMAS, margin=False, distance='cosine')
    expected = cface_terms(*faces, **GAMMAS, margin=False, distance='cosine', has_compare=has)
    assert loss.terms(*faces, has) == expected
    assert loss(*faces, has) == sum(expected)


def test_it_is_built_by_name_from_an_option_file(faces):
    from basicsr.losses import build_loss

    import cface_basicsr.register  # noqa: F401  hands the losses to BasicSR
    loss = build_loss({'type': 'CFaceLoss', 'gamma1': 0.05, 'gamma2': 0.05})
    assert loss(*faces) == cface_loss(*faces, gamma1=0.05, gamma2=0.05)


def test_a_misspelt_distance_is_refused_before_any_work():
    with pytest.raises(UserError, match="did you mean 'normalized'?"):
        CFaceLoss(**GAMMAS, distance='normalised')


@pytest.mark.parametrize('mask', [torch.ones(9), torch.ones(8, dtype=torch.bool), torch.ones(9, 1, dtype=torch.bool)])
def test_a_mask_of_another_kind_or_length_is_refused(faces, mask):
    with pytest.raises(ValueError, match=r'has_compare: expected \(9,\) bool'):
        cface_loss(*faces, **GAMMAS, has_compare=mask)
