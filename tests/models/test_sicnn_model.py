"""SICNNModel: which network each turn changes, by which loss, and in which order."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from cface_basicsr.errors import UserError
from cface_basicsr.options import merge
from tests.references.literal_training_step import recognition_loss
from tests.tiny_stages import batch_of, build, parameters, parsed, same, tiny

NARROW = {'network_g': {'num_block': None, 'num_grow_ch': 2, 'num_dense': 1}}
Make = Callable[..., Any]


def sicnn_options(data: Path, changes: dict[str, Any] | None = None) -> dict[str, Any]:
    return merge(tiny('baselines/sicnn_x8.yml', data, NARROW, handed_over='rc'), changes or {})


@pytest.fixture
def make(data: Path, tmp_path: Path) -> Make:
    """make(changes) -> the model, fed with the first four faces."""
    def model_of(changes: dict[str, Any] | None = None) -> Any:
        model = build(sicnn_options(data, changes), tmp_path / 'run')
        model.feed_data(batch_of(model))
        return model
    return model_of


def changed(model: Any, before: dict[str, dict[str, torch.Tensor]]) -> str:
    return ''.join(label for label in 'grc' if not same(before[label], parameters(model, label)))


def test_each_turn_changes_its_own_networks_and_no_other(make: Make) -> None:
    model = make()
    sr = model.net_g(model.lq)
    before = {label: parameters(model, label) for label in 'grc'}
    losses = model.update_recognizer(sr.detach())
    assert changed(model, before) == 'rc' and 'l_fr' in losses
    between = {label: parameters(model, label) for label in 'grc'}
    losses = model.update_generator(sr)
    assert changed(model, between) == 'g' and list(losses) == ['l_g_pix', 'l_g_identity']
    assert all(p.requires_grad for p in model.net_r.parameters())


def test_a_step_is_the_recognizers_turn_and_then_the_generators_by_the_new_recognizer(make: Make) -> None:
    model = make()
    seen = []

    def note(name: str) -> None:
        turn = getattr(model, name)

        def noting(*args: Any) -> Any:
            seen.append((name, parameters(model, 'r')))
            return turn(*args)

        setattr(model, name, noting)

    note('update_recognizer')
    note('update_generator')
    start = parameters(model, 'r')
    model.optimize_parameters(1)
    assert [name for name, _ in seen] == ['update_recognizer', 'update_generator']
    assert same(seen[0][1], start) and not same(seen[1][1], start)
    assert same(seen[1][1], parameters(model, 'r'))


def test_the_generators_loss_is_the_authors_on_their_pixels_written_out(make: Make) -> None:
    """0.001 Euclid(SR, HR) of (v - 127.5) / 128, 0.01 Euclid of unit features; Euclid: summed, over 2 N."""
    from cface_basicsr.ops.recognizer_input import recognizer_features
    model = make()
    sr = model.net_g(model.lq)
    losses = model.generator_losses(sr)
    theirs, wanted = ((255 * image - 127.5) / 128 for image in (sr, model.gt))
    pixels = sum((theirs[i] - wanted[i]).square().sum() for i in range(4)) / (2 * 4)
    features = [recognizer_features(model.net_r, image) for image in (sr, model.gt)]
    a, b = (each / each.norm(dim=1, keepdim=True) for each in features)
    torch.testing.assert_close(losses['l_g_pix'], 0.001 * pixels, rtol=1e-5, atol=0)
    torch.testing.assert_close(losses['l_g_identity'], 0.01 * (a - b).square().sum() / (2 * 4))


def test_both_terms_reach_every_parameter_of_the_generator_and_none_of_the_recognizer(make: Make) -> None:
    model = make()
    for name, loss in model.generator_losses(model.net_g(model.lq)).items():
        for label in 'grc':
            getattr(model, f'net_{label}').zero_grad(set_to_none=True)
        loss.backward(retain_graph=True)
        assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in model.net_g.parameters()), name
        assert all(p.grad is None for label in 'rc' for p in getattr(model, f'net_{label}').parameters()), name


def test_the_recognizer_learns_sr_and_hr_under_the_same_labels_at_a_constant_lambda_of_12(make: Make) -> None:
    model = make()
    assert [model.cri_recognition.lambda_at(step) for step in (1, 10, 100000)] == [12, 12, 12]
    loss = model.cri_recognition
    loss.lambda_base = loss.lambda_min = 5.0  # the floor that the literal loss has after annealing
    model.net_c.step.fill_(5000)
    sr = model.net_g(model.lq).detach()
    both, labels = torch.cat((sr, model.gt)), torch.cat((model.label, model.label))
    literal = recognition_loss(model, both, labels, step=5001)
    torch.testing.assert_close(model.update_recognizer(sr)['l_fr'], literal, rtol=1e-4, atol=1e-6)


def test_every_loss_and_both_learning_rates_are_logged(make: Make) -> None:
    model = make()
    model.optimize_parameters(1)
    log = model.get_current_log()
    assert {key for key in log if key.startswith('l_')} == {'l_fr', 'l_g_pix', 'l_g_identity'}
    assert log['lr_g'] == log['lr_r'] == 0.01


def test_the_learning_rates_fall_by_a_fifth_every_3000_batches(make: Make) -> None:
    model = make()
    for optimizer, scheduler in zip(model.optimizers, model.schedulers, strict=True):
        factor = scheduler.lr_lambdas[0]
        assert [round(factor(it), 6) for it in (0, 2999, 3000, 6000, 29999)] == [1, 1, 0.8, 0.64, round(0.8 ** 9, 6)]
        assert optimizer.param_groups[0]['momentum'] == 0.9
    decays = [[group['weight_decay'] for group in optimizer.param_groups] for optimizer in model.optimizers]
    assert decays == [[0, 0], [2.5e-4, 0]]  # CNN_H does not decay, nor do biases


def test_all_three_networks_are_saved(make: Make, tmp_path: Path) -> None:
    model = make()
    model.optimize_parameters(1)
    model.save(0, 1)
    assert {path.name for path in Path(model.opt['path']['models']).iterdir()} == {
        'net_g_1.pth', 'net_r_1.pth', 'net_c_1.pth'}


@pytest.mark.parametrize(('changes', 'message'), [
    ({'path': {'pretrain_network_r': None}}, "'path.pretrain_network_r' is missing: 'train.identity_opt' needs a "),
    ({'train': {'identity_opt': None}}, "'train.identity_opt' is missing"),
    ({'train': {'gan_opt': {'type': 'GANLoss', 'gan_type': 'vanilla'}}}, "'train.gan_opt' is unknown"),
    ({'network_c': None}, "'train.recognition_opt' needs 'network_c', which is missing")])
def test_what_the_two_turns_need_is_checked_before_any_work(
        data: Path, tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        parsed(sicnn_options(data, changes), tmp_path)
