"""CFaceModel: a step is Algorithm 1, each gradient goes where it belongs, and nowhere else."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from cface_basicsr.data.images.image_tensor import batch_on
from cface_basicsr.errors import UserError
from cface_basicsr.models.recognition import features_of
from tests.references.literal_training_step import discriminator_loss, recognition_loss, total_loss
from tests.tiny_stages import batch_of, build, parameters, same, stage_options, write_recognizer

Make = Callable[..., Any]


@pytest.fixture
def make(data: Path, tmp_path: Path) -> Make:
    """make(stage, changes) -> the model, fed with the first four faces."""
    def stage(number: int, changes: dict[str, Any] | None = None) -> Any:
        model = build(stage_options(number, data, changes), tmp_path / 'run')
        sent = batch_of(model)
        model.feed_data(sent)
        model.batch = batch_on('cpu', sent)  # for literal loops: floats
        return model
    return stage


def networks(model: Any) -> str:
    return ''.join(label for label in 'gdrc' if getattr(model, f'net_{label}', None) is not None)


def gradients(model: Any, label: str) -> list[torch.Tensor | None]:
    return [p.grad for p in getattr(model, f'net_{label}').parameters()]


def clear(model: Any) -> None:
    for label in networks(model):
        getattr(model, f'net_{label}').zero_grad(set_to_none=True)


def literal_gradients(loss: torch.Tensor, model: Any, labels: str) -> list[torch.Tensor]:
    wanted = [p for label in labels for p in getattr(model, f'net_{label}').parameters()]
    return list(torch.autograd.grad(loss, wanted, retain_graph=True))


def assert_close(mine: list[torch.Tensor | None], literal: list[torch.Tensor]) -> None:
    for one, other in zip(mine, literal, strict=True):
        torch.testing.assert_close(one, other, rtol=2e-3, atol=1e-6)


# ------------------------------------------------------------------------------------------------------ the equations

def test_the_terms_of_a_stage_sum_up_to_equation_7_computed_by_hand(make: Make) -> None:
    model = make(1)
    sr = model.net_g(model.lq)
    losses = model.generator_losses(sr)
    assert list(losses) == ['l_g_content', 'l_g_gan', 'l_cf_self', 'l_cf_compare']
    literal = total_loss(model, sr, model.batch, pixel=2.0, alpha=0.1, gamma1=0.05, gamma2=0.1)
    torch.testing.assert_close(sum(losses.values()), literal, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize('stage', [1, 4])
def test_after_a_whole_step_each_network_holds_the_gradient_of_its_own_equation(make: Make, stage: int) -> None:
    zero = {'lr': 1e-30}  # the updates of one step must not change what the next one of the same step sees
    rates = {'optim_g': zero, 'optim_d': zero} | ({'optim_r': zero} if stage == 4 else {})
    model = make(stage, {'train': rates})
    sr = model.net_g(model.lq)
    gamma2 = {1: 0.1, 4: 0.05}[stage]
    model.net_r.requires_grad_(True)
    of_g = literal_gradients(total_loss(model, sr, model.batch, pixel=2.0, alpha=0.1, gamma1=0.05, gamma2=gamma2),
                             model, 'g')
    of_d = literal_gradients(discriminator_loss(model, sr.detach(), model.gt), model, 'd')
    if stage == 4:
        both, labels = torch.cat((sr.detach(), model.gt)), torch.cat((model.label, model.label))
        of_r = literal_gradients(recognition_loss(model, both, labels, step=1), model, 'rc')
    model.net_r.requires_grad_(stage == 4)
    model.optimize_parameters(1)
    assert_close(gradients(model, 'g'), of_g)
    assert_close(gradients(model, 'd'), of_d)
    if stage == 4:
        assert_close(gradients(model, 'r') + gradients(model, 'c'), of_r)
    else:
        assert gradients(model, 'r') == [None] * len(gradients(model, 'r'))


@pytest.mark.parametrize('reuse', [False, True])
@pytest.mark.parametrize('stage', [1, 4])
def test_each_loss_reaches_every_parameter_of_the_generator_and_of_no_other_network(
        make: Make, stage: int, reuse: bool) -> None:
    model = make(stage, {'train': {'pixel_opt': {'type': 'L1Loss'}, 'cface_opt': {'margin': False},
                                   'net_d_reuse_fake': reuse}})
    of_all = model.generator_losses
    names = list(of_all(model.lq.new_zeros(4, 3, 128, 128)))
    assert len(names) == 5
    for name in names:
        clear(model)
        model.generator_losses = lambda sr, name=name: {name: of_all(sr)[name]}
        model.update_generator(model.net_g(model.lq))
        assert all(grad is not None and grad.abs().sum() > 0 for grad in gradients(model, 'g')), name
        others = [grad for label in networks(model).replace('g', '') for grad in gradients(model, label)]
        assert others == [None] * len(others), name


@pytest.mark.parametrize('stage', [1, 4])
def test_a_discriminator_that_judges_sr_once_learns_bit_for_bit_as_one_that_does_it_twice(
        make: Make, stage: int) -> None:
    learned, moved = [], []
    for reuse in (False, True):
        torch.manual_seed(0)
        model = make(stage, {'train': {'net_d_reuse_fake': reuse}})
        for iteration in (1, 2, 3):
            model.optimize_parameters(iteration)
        state = {label: parameters(model, label) for label in networks(model)}
        moved.append({int(value) for key, value in state['d'].items() if key.endswith('num_batches_tracked')})
        state['d'] = dict(model.net_d.named_parameters())
        learned.append((state, model.get_current_log()))
    assert moved == [{3 * 3}, {3 * 2}]
    assert learned[0][1] == learned[1][1]
    assert all(same(learned[0][0][label], learned[1][0][label]) for label in learned[0][0])


def cface_terms(model: Any, sr: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    losses = model.generator_losses(sr)
    return losses['l_cf_self'], losses['l_cf_compare']


def test_the_margin_of_equation_6_leaves_a_face_alone_that_is_near_enough(make: Make) -> None:
    model = make(1)
    sr = model.gt.clone().requires_grad_(True)  # as near to the compare face as HR itself
    terms = cface_terms(model, sr)
    assert terms[0].item() == pytest.approx(0, abs=1e-8)
    assert terms[1].item() == pytest.approx(0, abs=1e-7)


# ----------------------------------------------------------------------------------------------- what changes what

def test_the_discriminators_update_changes_only_the_discriminator(make: Make) -> None:
    model = make(4)
    before = {label: parameters(model, label) for label in 'gdrc'}
    losses = model.update_discriminator(model.net_g(model.lq).detach())
    assert list(losses) == ['l_d_real', 'out_d_real', 'l_d_fake', 'out_d_fake']
    after = {label: parameters(model, label) for label in 'gdrc'}
    before['g'] = {key: value for key, value in before['g'].items() if 'running' not in key and 'batches' not in key}
    after['g'] = {key: value for key, value in after['g'].items() if key in before['g']}  # the forward pass above
    assert [label for label in 'gdrc' if not same(before[label], after[label])] == ['d']


def test_stage_1_leaves_the_recognizer_frozen_in_eval_mode_and_unchanged(make: Make) -> None:
    model = make(1)
    before = parameters(model, 'r')
    model.optimize_parameters(1)
    assert same(before, parameters(model, 'r'))
    assert not model.net_r.training
    assert not any(p.requires_grad for p in model.net_r.parameters())


def test_in_stage_4_all_four_networks_learn_and_stay_trainable(make: Make) -> None:
    model = make(4, {'train': {'optim_r': {'lr': 0.01}}})
    before = {label: parameters(model, label) for label in 'gdrc'}
    model.optimize_parameters(1)
    for label in 'gdrc':
        assert not same(before[label], parameters(model, label)), label
        assert all(p.requires_grad for p in getattr(model, f'net_{label}').parameters()), label
    assert model.net_c.step.item() == 1


def test_without_the_second_term_the_compare_faces_are_never_used(make: Make) -> None:
    model = make(1, {'train': {'cface_opt': {'gamma2': 0.0}}})
    model.compare = None
    seen: list[int] = []
    model.net_r.register_forward_hook(lambda network, inputs, output: seen.append(len(inputs[0])))
    losses = model.generator_losses(model.net_g(model.lq))
    assert sum(seen) == 8  # four SR faces and four HR faces
    assert losses['l_cf_compare'] == 0
    assert losses['l_cf_self'] > 0


def test_faces_without_a_compare_image_add_nothing_and_count_in_the_mean(make: Make) -> None:
    model = make(1, {'train': {'cface_opt': {'margin': False}}})
    sr = model.net_g(model.lq).detach()
    whole = cface_terms(model, sr)[1]
    model.has_compare = torch.tensor([True, False, False, False])
    alone = cface_terms(model, sr)[1]
    model.has_compare = torch.tensor([False, True, True, True])
    torch.testing.assert_close(alone + cface_terms(model, sr)[1], whole)


def test_a_warm_up_needs_neither_discriminator_nor_recognizer(make: Make) -> None:
    model = make(1, {'network_d': None, 'network_r': None, 'path': {'pretrain_network_r': None},
                     'datasets': {'train': {'compare_mode': 'none'}},
                     'train': {'gan_opt': None, 'cface_opt': None, 'optim_d': None}})
    model.optimize_parameters(1)
    assert list(model.get_current_log()) == ['l_g_content', 'lr_g']
    assert networks(model) == 'g'


# --------------------------------------------------------------------------------------------- schedules, average, logs

def test_each_optimizer_follows_its_own_schedule(make: Make) -> None:
    model = make(4, {'train': {'optim_g': {'lr': 0.5, 'schedule': {'gamma': 0.9}},
                               'optim_d': {'lr': 0.25, 'schedule': {'gamma': 0.5}},
                               'optim_r': {'lr': 1.0, 'schedule': {'type': 'steps', 'milestones': [4], 'gamma': 0.1}}}})
    assert model.stage.iterations_an_epoch == 3  # 12 images in batches of 4
    for iteration in range(1, 11):
        model.update_learning_rate(iteration)
        epoch = (iteration - 1) // 3
        assert model.current_lrs() == pytest.approx({
            'lr_g': 0.5 * 0.9 ** epoch, 'lr_d': 0.25 * 0.5 ** epoch, 'lr_r': 0.1 if iteration > 4 else 1.0}), iteration


def test_the_log_has_every_loss_and_every_learning_rate(make: Make) -> None:
    model = make(4)
    model.optimize_parameters(1)
    log = model.get_current_log()
    assert list(log) == ['l_g_content', 'l_g_gan', 'l_cf_self', 'l_cf_compare', 'l_d_real', 'out_d_real', 'l_d_fake',
                         'out_d_fake', 'l_fr', 'acc', 'spread', 'si_sr_hr', 'si_sr_compare', 'si_hr_compare',
                         'si_margin', 'lr_g', 'lr_d', 'lr_r']
    assert all(isinstance(value, float) for value in log.values())


@pytest.mark.parametrize(('stage', 'parts'), [(1, 1), (1, 2), (4, 1)])
def test_the_log_has_the_distances_of_which_the_cface_loss_is_made(make: Make, stage: int, parts: int) -> None:
    model = make(stage, {'train': {'accum_iter': parts}})
    model.has_compare = torch.tensor([True, True, True, False])
    with torch.no_grad():
        sr, hr, c = (torch.nn.functional.normalize(features_of(model, model.net_r.eval(), each)) for each in
                     (torch.cat(list(map(model.net_g, model.lq.chunk(parts)))), model.gt, model.compare))
    model.net_r.train(stage == 4)
    model.optimize_parameters(1)
    log = model.get_current_log()
    mean, people = torch.mean, torch.arange(3)
    literal = {'si_sr_hr': mean(((sr - hr) ** 2).sum(1)),
               'si_sr_compare': mean(((sr - c) ** 2).sum(1)[people]),
               'si_hr_compare': mean(((hr - c) ** 2).sum(1)[people])}  # also where a part has one such face fewer
    for name, value in literal.items():
        assert log[name] == pytest.approx(value.item(), rel=1e-3, abs=1e-6), name
    assert log['si_margin'] == pytest.approx(log['si_sr_compare'] - log['si_hr_compare'], abs=1e-6)
    assert log['l_cf_self'] == pytest.approx(0.05 * log['si_sr_hr'], rel=1e-4)  # gamma1, in both stages


def test_without_the_second_term_only_the_distance_to_hr_is_logged(make: Make) -> None:
    model = make(1, {'train': {'cface_opt': {'gamma2': 0.0}}})
    model.optimize_parameters(1)
    assert [name for name in model.get_current_log() if name.startswith('si_')] == ['si_sr_hr']


def test_another_memory_layout_changes_no_result(make: Make) -> None:
    logs = []
    for layout in (False, True):
        torch.manual_seed(0)
        model = make(1, {'train': {'use_channels_last': layout}})
        for iteration in (1, 2):
            model.optimize_parameters(iteration)
        assert model.net_g.tail.weight.is_contiguous(memory_format=torch.channels_last) is layout
        assert all(p.is_contiguous() for p in model.net_d.parameters())  # it would be slower on a CPU
        logs.append(model.get_current_log())
    assert logs[0] == pytest.approx(logs[1], rel=1e-3, abs=1e-4)


def test_on_a_cpu_the_discriminator_computes_in_the_default_layout(make: Make) -> None:
    model = make(4, {'train': {'use_channels_last': True, 'relativistic': True}})
    seen: dict[str, list[bool]] = {label: [] for label in 'gd'}
    for label, found in seen.items():
        for layer in getattr(model, f'net_{label}').modules():
            if isinstance(layer, torch.nn.Conv2d):
                layer.register_forward_hook(lambda layer, given, result, found=found: found.append(
                    given[0].is_contiguous() and result.is_contiguous()))
    model.optimize_parameters(1)
    assert all(seen['d']) and not any(seen['g'][1:])


def test_the_averaged_generator_follows_the_literal_recurrence(make: Make) -> None:
    model = make(1, {'train': {'ema_decay': 0.7}})
    average = parameters(model, 'g')
    assert same(average, model.net_g_ema.state_dict())
    for iteration in (1, 2):
        model.optimize_parameters(iteration)
        now = parameters(model, 'g')
        average = {key: 0.7 * average[key] + 0.3 * now[key] for key, _ in model.net_g.named_parameters()}
    for key, value in average.items():
        torch.testing.assert_close(model.net_g_ema.state_dict()[key], value)


def test_a_resumed_average_continues_where_it_was(make: Make, data: Path, tmp_path: Path) -> None:
    model = make(1, {'train': {'ema_decay': 0.7}})
    model.optimize_parameters(1)
    model.save(0, 1)
    folder = tmp_path / 'run/experiments/cface_stage1'
    again = make(1, {'train': {'ema_decay': 0.7}, 'path': {
        'resume_state': str(folder / 'training_states/1.state'),
        'pretrain_network_g': str(folder / 'models/net_g_1.pth')}})
    assert same(parameters(again, 'g'), parameters(model, 'g'))
    assert same(again.net_g_ema.state_dict(), model.net_g_ema.state_dict())


# ---------------------------------------------------------------------------------------------------------- bad input

@pytest.mark.parametrize('reading', ['log', 'checkpoint'])
def test_a_nan_ends_the_run_at_the_next_reading_with_its_own_step_losses_and_images(make: Make, reading: str) -> None:
    model = make(1)
    model.optimize_parameters(6)
    model.get_current_log()
    model.save(0, 6)
    folder = Path(model.opt['path']['experiments_root'])
    saved = {path.name: path.read_bytes() for path in (folder / 'models').iterdir()}
    model.gt[2] = float('nan')
    model.optimize_parameters(7)
    model.feed_data(batch_of(model, 3))  # other images; the networks hold NaN now
    model.optimize_parameters(8)
    with pytest.raises(UserError, match='^l_g_content, .*l_d_real.* became NaN or Inf at iteration 7; the ') as caught:
        model.save(0, 8) if reading == 'checkpoint' else model.get_current_log()
    assert len(str(caught.value).splitlines()) <= 3
    record = json.loads((folder / 'nan_iter7_rank0.json').read_text())
    assert record['images'] == model.batch['gt_path'] == ['0000000/000', '0000000/001', '0000000/002', '0000001/000']
    assert record['losses'][0] == 'l_g_content' and 'l_g_gan' not in record['losses']  # SR itself was finite
    assert {path.name: path.read_bytes() for path in (folder / 'models').iterdir()} == saved


def test_an_infinite_loss_of_the_discriminator_or_the_recognizer_is_named_too(make: Make) -> None:
    model = make(4)
    model.cri_gan = lambda logits, real, is_disc: logits.mean() * (float('inf') if is_disc and not real else 1)
    model.cri_recognition = lambda features, *rest: features.mean() * float('nan')
    model.optimize_parameters(2)
    with pytest.raises(UserError, match='^l_d_fake, l_fr became NaN or Inf at iteration 2;'):
        model.get_current_log()


@pytest.mark.parametrize('average', [0.0, 0.5])
def test_weights_that_are_not_finite_are_never_saved(make: Make, average: float) -> None:
    model = make(1, {'train': {'ema_decay': average}})
    with torch.no_grad():
        model.net_g.tail.bias[0] = float('inf')
    with pytest.raises(UserError, match='^net_g holds NaN or Inf at iteration 8, so it is not saved'):
        model.save(2, 8)
    folder = Path(model.opt['path']['experiments_root'])
    assert not [*folder.rglob('*.pth'), *folder.rglob('*.state')]


def test_a_discriminator_for_faces_of_another_size_is_refused_with_both_sizes(make: Make) -> None:
    model = make(1, {'network_d': {'input_size': 64}})
    with pytest.raises(UserError, match='64x64.*128x128'):
        model.optimize_parameters(1)


@pytest.mark.parametrize(('spoil', 'message'), [
    (lambda path: path.unlink(), 'is missing'),
    (lambda path: path.write_bytes(path.read_bytes()[:-5000]), 'cut off'),
    (lambda path: path.write_text('not a network'), 'cut off or not a PyTorch'),
    (lambda path: torch.save({'other': 1}, path), "has no entry 'params'; found: other.\n`cface convert`"),
    (lambda path: write_recognizer(path, num_feat=3), 'does not fit SphereFace20'),
    (lambda path: write_recognizer(path, input_size=[112, 96]), 'does not fit SphereFace20: size mismatch for fc5'),
])
def test_weights_that_cannot_be_used_are_refused_in_three_lines(
        make: Make, tmp_path: Path, spoil: Callable[[Path], object], message: str) -> None:
    path = write_recognizer(tmp_path / 'net_r.pth')
    spoil(path)
    with pytest.raises(UserError, match=message) as caught:
        make(1, {'path': {'pretrain_network_r': str(path)}})
    assert str(path) in str(caught.value)
    assert len(str(caught.value).splitlines()) <= 3


def test_a_validation_uses_the_bare_generator_in_eval_mode_and_hands_it_back(make: Make) -> None:
    """Through DDP it would wait for the ranks that do not validate: BatchNorm's buffers are broadcast there."""
    model = make(1)
    model.optimize_parameters(1)
    bare = model.net_g
    model.net_g = torch.nn.parallel.DataParallel(bare)  # any wrapper; the test must not go through it
    model.net_g.forward = lambda *args: pytest.fail('called through the wrapper')
    buffers = {key: value.clone() for key, value in bare.named_buffers()}
    model.test()
    assert bare.training
    assert all(torch.equal(buffers[key], value) for key, value in bare.named_buffers())
    with torch.no_grad():
        torch.testing.assert_close(model.output, bare.eval()(model.lq))


def test_fused_optimizers_and_the_other_memory_layout_have_the_same_losses(make: Make) -> None:
    """Sums are taken in another order, so the last digits differ."""
    fused, separate = ({name: {'fused': value} for name in ('optim_g', 'optim_d')} for value in (True, False))
    models = [make(1, {'train': changes}) for changes in (separate, {**fused, 'use_channels_last': True})]
    assert models[1].optimizer_g.param_groups[0]['fused'] and not models[0].optimizer_g.param_groups[0]['fused']
    for number in (1, 2, 3):
        for model in models:
            model.optimize_parameters(number)
        plain, fast = (model.get_current_log() for model in models)
        assert fast == pytest.approx(plain, rel=1e-3)


def test_fused_is_refused_for_an_optimizer_that_has_no_such_kernel(make: Make) -> None:
    with pytest.raises(UserError, match="^option 'train.optim_g.fused' is unknown"):
        make(1, {'train': {'optim_g': {'type': 'RMSprop', 'lr': 0.1, 'betas': None, 'fused': True}}})


def step_in_float64(model: Any) -> list[torch.Tensor | None]:
    """All gradients of a step that changes nothing."""
    for label in networks(model):
        getattr(model, f'net_{label}').double()
    model.feed_data({key: value.double() if torch.is_tensor(value) and value.is_floating_point() else value
                     for key, value in model.batch.items()})
    model.optimize_parameters(1)
    return [grad for label in networks(model) for grad in gradients(model, label)]


def test_features_that_serve_both_losses_give_every_network_the_gradients_of_two_computations(make: Make) -> None:
    still = {'optim_g': {'lr': 1e-30}, 'optim_d': {'lr': 1e-30}, 'optim_r': {'lr': 1e-30}}
    found, faces = [], []
    for reuse in (False, True):
        torch.manual_seed(0)
        model = make(4, {'train': {**still, 'net_r_reuse_features': reuse}})
        seen: list[int] = []
        model.net_r.register_forward_hook(lambda network, inputs, output, seen=seen: seen.append(len(inputs[0])))
        found.append(step_in_float64(model))
        faces.append(sum(seen))
    assert faces == [4 + 8 + 8, 4 + 4 + 4]  # SR, HR and compare for L_CF, SR and HR for L_FR; each once
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-13)
