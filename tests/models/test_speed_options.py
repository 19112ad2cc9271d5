"""Options that change how fast a step computes: what it learns stays the same, as near as each of them allows."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from cface_basicsr.errors import UserError
from cface_basicsr.files.yaml_file import read_yaml
from cface_basicsr.models import precision
from cface_basicsr.options import merge, read_option_file
from tests.models.test_two_ranks import SIDE, faces, options
from tests.tiny_stages import REPOSITORY, build, parsed, same, stage_options

Make = Callable[..., Any]
OPTIMIZERS = {0: 'r', 1: 'gd', 3: 'r', 4: 'gdr'}


@pytest.fixture
def make(data: Path, tmp_path: Path) -> Make:
    """make(stage, train options) -> the model, always from the same seed, fed with eight faces of 16x16."""
    def of(stage: int, train: dict[str, Any], **other: Any) -> Any:
        torch.manual_seed(0)
        plain = {1: {'ema_decay': 0.0}, 3: {'head_only_iter': 0}}.get(stage, {})
        model = build(merge(options(f'stage {stage}', data), {'train': plain | train, **other}), tmp_path / 'run')
        feed(model, torch.float32)
        return model
    return of


def feed(model: Any, kind: torch.dtype) -> None:
    """Give a model a batch of floats of a type."""
    model.feed_data({key: value.to(kind) if torch.is_tensor(value) and value.is_floating_point() else value
                     for key, value in faces(1, SIDE).items()})


def weights(model: Any) -> dict[str, torch.Tensor]:
    return {f'{label} {key}': value for label in 'gdrc' if getattr(model, f'net_{label}', None) is not None
            for key, value in getattr(model, f'net_{label}').state_dict().items()}


def logs(model: Any, steps: int, first: int = 1) -> list[dict[str, float]]:
    found = []
    for iteration in range(first, first + steps):
        model.update_learning_rate(iteration)
        model.optimize_parameters(iteration)
        found.append(model.get_current_log())
    return found


# ------------------------------------------------------------------------------------------------------ half precision

@pytest.mark.parametrize(('stage', 'half'), [
    (0, {'amp_bf16': True}), (1, {'amp_bf16': True}), (4, {'amp_bf16': True}), (1, {}), (4, {})], ids=str)
def test_50_steps_in_half_precision_stay_near_those_in_float32(make: Make, stage: int, half: dict[str, bool]) -> None:
    """bfloat16 has two to three digits, float16 three; each loss, over the last ten steps, stays within a twentieth."""
    calm = {'optim_r': {'lr': 0.01}} if stage == 0 else {}  # 50 times the same eight faces
    runs = [logs(make(stage, calm | train), 50)[-10:] for train in ({}, {'use_amp': True, **half})]
    assert runs[0] != runs[1]
    for name in (name for name in runs[0][0] if name.startswith('l_')):
        full, half = (sum(step[name] for step in run) / len(run) for run in runs)
        assert half == pytest.approx(full, rel=0.05, abs=0.005), name


def test_networks_compute_in_half_precision_and_everything_between_them_in_float32(make: Make) -> None:
    model = make(4, {'use_amp': True, 'amp_bf16': True})
    inside: dict[str, set[torch.dtype]] = {label: set() for label in 'gdr'}
    between: list[torch.dtype] = []
    for label in inside:
        layers = [each for each in getattr(model, f'net_{label}').modules() if isinstance(each, (nn.Conv2d, nn.Linear))]
        layers[-1].register_forward_hook(lambda module, given, result, label=label: inside[label].add(result.dtype))
    for name in ('cri_content', 'cri_gan', 'cri_recognition'):
        getattr(model, name).register_forward_pre_hook(
            lambda module, given: between.extend(x.dtype for x in given[:2] if torch.is_tensor(x)))
    terms = model.cri_cface.terms
    model.cri_cface.terms = lambda *features, **rest: (between.extend(x.dtype for x in features), terms(
        *features, **rest))[1]
    model.optimize_parameters(1)
    assert inside == {label: {torch.bfloat16} for label in 'gdr'}
    assert len(between) == 2 + 3 + 3 + 2 and set(between) == {torch.float32}  # images, features, logits, and eq. (3)
    assert all(p.grad.dtype == torch.float32 for p in model.net_g.parameters())


@pytest.mark.parametrize('fused', [None, True])
def test_in_float16_gradients_are_scaled_and_clipped_at_their_true_length(make: Make, fused: bool | None) -> None:
    clipped = {'optim_g': {'fused': fused, 'clip_norm': 0.01}}
    models = [make(1, {**clipped, **half}) for half in ({}, {'use_amp': True})]
    assert [model.scaler.is_enabled() for model in models] == [False, True]
    models[1].scaler = torch.amp.GradScaler('cpu', init_scale=1024.0)
    for model in models:
        model.optimize_parameters(1)
        length = torch.stack([p.grad.norm() for p in model.net_g.parameters()]).norm().item()
        assert length == pytest.approx(0.01, rel=1e-3)


def test_a_step_whose_gradients_overflow_changes_no_weight_and_lowers_the_scale(make: Make) -> None:
    model = make(0, {'use_amp': True})
    before = {key: value.clone() for key, value in weights(model).items() if not key.endswith('step')}
    model.scaler = torch.amp.GradScaler('cpu', init_scale=3e38)
    model.optimize_parameters(1)
    assert same({key: value for key, value in weights(model).items() if not key.endswith('step')}, before)
    assert model.scaler.get_scale() == pytest.approx(1.5e38)
    assert model.get_current_log()['l_fr'] < 10


@pytest.mark.parametrize(('train', 'message'), [
    ({'amp_bf16': True}, "option 'train.amp_bf16': needs 'use_amp: true', or it changes nothing."),
    ({'fast_matmul': True}, "option 'train.fast_matmul': the CPU here lacks TF32, which GPUs have from Ampere on. "
                            'Leave it out.')])
def test_a_precision_that_the_device_lacks_is_refused_in_one_line(
        make: Make, train: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError) as caught:
        make(0, train)
    assert str(caught.value) == message


@pytest.fixture
def exact_products() -> Iterator[None]:
    """What a test asks of float32 products ends with it."""
    before = torch.get_float32_matmul_precision()
    yield
    torch.set_float32_matmul_precision(before)


def test_fast_matmul_asks_for_tf32_where_the_device_has_it(
        exact_products: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, 'get_device_capability', lambda device: (8, 0))
    precision.allow_tf32(torch.device('cuda'))
    assert torch.get_float32_matmul_precision() == 'high'


@pytest.mark.skipif(not torch.cuda.is_available() or torch.cuda.get_device_capability() < (8, 0), reason='needs TF32')
@pytest.mark.parametrize('stage', [0, 4])
def test_a_step_with_fast_matmul_has_the_losses_of_one_without(make: Make, exact_products: None, stage: int) -> None:
    """Ten bits of mantissa."""
    plain, fast = (logs(make(stage, train, num_gpu=1), 2) for train in ({}, {'fast_matmul': True}))
    for one, other in zip(fast, plain, strict=True):
        assert one == pytest.approx(other, rel=2e-2, abs=1e-3)


def test_so_is_one_in_which_it_cannot_convolve(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(precision, '_convolve', lambda kind, device: torch.ones(1).view(7))
    with pytest.raises(UserError, match=r"^option 'train\.use_amp': the CPU here lacks float16 \(.*\)\. Leave it out"):
        make(0, {'use_amp': True})


# --------------------------------------------------------------------------------------------------- order of the sums

@pytest.mark.parametrize('train', [{'use_channels_last': True}, {f'optim_{name}': {'fused': True} for name in 'gdr'}],
                         ids=['use_channels_last', 'fused'])
@pytest.mark.parametrize('stage', [0, 1, 3, 4])
def test_another_layout_or_one_kernel_for_all_weights_changes_no_more_than_last_digits(
        make: Make, stage: int, train: dict[str, Any]) -> None:
    """In float64, where the order of sums is all that can differ."""
    runs = []
    separate = {f'optim_{name}': {'fused': False} for name in 'gdr'}
    for changes in (separate, separate | train):
        model = without_batch_normalization(make(stage, {key: value for key, value in changes.items() if key in (
            'use_channels_last', *(f'optim_{name}' for name in OPTIMIZERS[stage]))}))
        runs.append((logs(model, 3), weights(model)))
        assert bool(changes.get('use_channels_last')) == any(
            not value.is_contiguous() for value in weights(model).values())
        assert {bool(group['fused']) for each in model.optimizers for group in each.param_groups} == {
            'optim_r' in train and changes is not separate}
    for one, other in zip(runs[1][0], runs[0][0], strict=True):
        assert one == pytest.approx(other, rel=1e-5, abs=1e-6)  # logs are float32
    for name, value in runs[0][1].items():
        torch.testing.assert_close(runs[1][1][name], value, rtol=1e-6, atol=1e-8, msg=name)


# --------------------------------------------------------------------------------------------------------- accumulation

def without_batch_normalization(model: Any) -> Any:
    """The model with what looks at a whole batch taken out, and in float64."""
    for network in (getattr(model, f'net_{label}', None) for label in 'gdrc'):
        for module in network.modules() if network else ():
            for name, child in module.named_children():
                if isinstance(child, nn.BatchNorm2d):
                    setattr(module, name, nn.Identity())
        if network:
            network.double()
    feed(model, torch.float64)
    return model


@pytest.mark.parametrize('stage', [0, 1, 3, 4])
def test_parts_of_a_batch_teach_what_the_whole_batch_teaches(make: Make, stage: int) -> None:
    runs = []
    for parts in (1, 2, 4):
        model = without_batch_normalization(make(stage, {'accum_iter': parts}))
        runs.append((logs(model, 3), weights(model)))
    for log, learned in runs[1:]:
        for step, (one, many) in enumerate(zip(runs[0][0], log, strict=True)):
            assert many == pytest.approx(one, rel=1e-5, abs=1e-6), step  # logs are float32
        for name, value in runs[0][1].items():
            torch.testing.assert_close(learned[name], value, rtol=1e-6, atol=1e-8, msg=name)
    assert runs[0][1].get('c step', torch.tensor(3)) == 3


def test_networks_see_one_part_at_a_time_and_change_after_the_last(make: Make) -> None:
    model = make(4, {'accum_iter': 2})
    seen: list[int] = []
    model.net_g.register_forward_hook(lambda network, inputs, output: seen.append(len(inputs[0])))
    steps = [0]
    step = model.optimizer_g.step
    model.optimizer_g.step = lambda *args: (steps.append(len(seen)), step(*args))[1]
    model.optimize_parameters(1)
    assert seen == [4, 4] and steps == [0, 2]
    assert len(model.gt) == len(model.label) == 8 and len(model.recognized[1]) == 16


def test_a_batch_that_cannot_be_divided_is_refused_before_any_work(data: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"^option 'train\.accum_iter': the 4 images of a device cannot be shared by 3"):
        parsed(stage_options(0, data, {'train': {'accum_iter': 3}}), tmp_path)


# --------------------------------------------------------------------------------------------------------------- resume

@pytest.mark.parametrize('train', [
    {'use_amp': True}, {'use_amp': True, 'amp_bf16': True}, {'use_channels_last': True}, {'accum_iter': 2},
    {'net_d_reuse_fake': False, 'net_r_reuse_features': False},
    {name: {'fused': True} for name in ('optim_g', 'optim_d', 'optim_r')}, {'use_compile': True}], ids=str)
def test_a_training_that_stops_after_two_steps_goes_on_bit_for_bit(
        make: Make, train: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    traced_only(monkeypatch)
    goes_on_bit_for_bit(make, train)


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which('g++'), reason='needs a C++ compiler')
def test_so_does_a_compiled_one(make: Make) -> None:
    goes_on_bit_for_bit(make, {'use_compile': True})


def goes_on_bit_for_bit(make: Make, train: dict[str, Any]) -> None:
    whole = make(4, train)
    folder = Path(whole.opt['path']['experiments_root'])
    logs(whole, 2)
    whole.scaler.update(1024.0 if whole.scaler.is_enabled() else None)
    whole.save(0, 2)
    expected = logs(whole, 2, first=3)
    state = torch.load(folder / 'training_states/2.state', weights_only=True)
    assert bool(state['scaler']) == whole.scaler.is_enabled()
    files = {f'pretrain_network_{label}': str(folder / f'models/net_{label}_2.pth') for label in 'gdrc'}
    again = make(4, train, path={**files, 'resume_state': str(folder / 'training_states/2.state')})
    again.resume_training(state)
    assert again.scaler.get_scale() == whole.scaler.get_scale()
    again.spread_at_start = whole.spread_at_start
    assert logs(again, 2, first=3) == expected
    assert same(weights(again), weights(whole))


# -------------------------------------------------------------------------------------------------------- pinned memory

TRAININGS = sorted(path for path in (REPOSITORY / 'options').rglob('*.yml')
                   if 'train' in (read_yaml(path).get('datasets') or {}))


@pytest.mark.parametrize('path', TRAININGS, ids=lambda path: path.stem)
def test_every_shipped_training_loads_into_pinned_memory(path: Path) -> None:
    assert read_option_file(path)['datasets']['train']['pin_memory'] is True


@pytest.mark.filterwarnings('error')
def test_without_a_gpu_nothing_is_pinned_and_nothing_warns(data: Path, tmp_path: Path) -> None:
    from basicsr.data import build_dataloader, build_dataset
    assert len(TRAININGS) >= 15
    opt = parsed(stage_options(1, data), tmp_path)
    section = opt['datasets']['train']
    loader = build_dataloader(build_dataset(section), section, num_gpu=0, sampler=None, seed=0)
    assert len(next(iter(loader))['gt_path']) == 4 and not loader.pin_memory


# ---------------------------------------------------------------------------------------------------------- compilation

def traced_only(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Networks are traced as for the compiler, which takes minutes, but run by PyTorch itself; the modes asked for."""
    modes, trace = [], torch.compile
    monkeypatch.setattr(torch, 'compile', lambda function, mode: (modes.append(mode), trace(
        function, backend='aot_eager'))[1])
    return modes


def test_compiled_networks_have_the_losses_of_others(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    plain, modes = logs(make(4, {}), 2), traced_only(monkeypatch)
    model = make(4, {'use_compile': True, 'compile_mode': 'reduce-overhead'})
    for one, other in zip(logs(model, 2), plain, strict=True):
        assert one == pytest.approx(other, rel=1e-4, abs=1e-5)
    assert modes == ['reduce-overhead'] * 4  # G, D, R and the content loss
    assert model.fake_logits is None and model.features is None


def test_without_a_compiler_that_is_refused_in_one_line(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(precision.shutil, 'which', lambda name: None)
    with pytest.raises(UserError) as caught:
        make(0, {'use_compile': True})
    assert str(caught.value) == "option 'train.use_compile': the CPU here lacks a C++ compiler. Leave it out."
