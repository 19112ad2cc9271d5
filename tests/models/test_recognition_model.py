"""RecognitionModel: equation (3) by its own step counter, and a new classifier that learns by itself first."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from cface_basicsr.errors import UserError
from cface_basicsr.files.recognizer_file import recognizer_marks
from cface_basicsr.models import recognition
from cface_basicsr.models.recognition import recognition_step
from tests.references.literal_training_step import recognition_loss
from tests.tiny_stages import batch_of, build, parameters, same, stage_options, train_one_step, write_head

Make = Callable[..., Any]


@pytest.fixture
def make(data: Path, tmp_path: Path) -> Make:
    """make(stage, changes) -> the model, fed with the first six faces."""
    def stage(number: int, changes: dict[str, Any] | None = None) -> Any:
        model = build(stage_options(number, data, changes), tmp_path / 'run')
        model.feed_data(batch_of(model, 6))
        return model
    return stage


def test_a_step_of_sgd_descends_equation_3_computed_by_hand(make: Make) -> None:
    model = make(0, {'train': {'optim_r': {'weight_decay': 0.0}}})
    names, both = zip(*model.net_r.named_parameters(), *model.net_c.named_parameters(), strict=True)
    literal = recognition_loss(model, model.gt, model.label, step=1)
    wanted = [p - (0.2 if name.endswith('bias') else 0.1) * g  # SphereFace's biases learn twice as fast
              for name, p, g in zip(names, both, torch.autograd.grad(literal, both), strict=True)]
    model.optimize_parameters(1)
    assert model.get_current_log()['l_fr'] == pytest.approx(literal.item(), rel=1e-4)
    for parameter, want in zip(both, wanted, strict=True):
        torch.testing.assert_close(parameter.detach(), want.detach(), rtol=1e-3, atol=1e-5)


def test_a_fine_tuned_recognizers_file_shares_a_mark_with_the_one_that_it_started_from(data: Path,
                                                                                      tmp_path: Path) -> None:
    """So it is no judge of a loss that the other led, and the other is none of its losses."""
    train_one_step(stage_options(3, data), tmp_path)
    (tuned,) = tmp_path.rglob('net_r_latest.pth')
    assert recognizer_marks(data / 'net_r.pth') < recognizer_marks(tuned)
    train_one_step(stage_options(4, data, {'path': {'pretrain_network_r': str(tuned)}}), tmp_path / 'stage4')
    (generator,), (learned,) = ((tmp_path / 'stage4').rglob(f'net_{label}_latest.pth') for label in 'gr')
    led_by = set(torch.load(generator, weights_only=True)['led_by'])
    assert led_by == recognizer_marks(tuned) < recognizer_marks(learned)


def test_the_accuracy_counts_the_faces_whose_own_class_is_nearest(make: Make) -> None:
    model = make(0)
    with torch.no_grad():
        features = model.net_r((model.gt * 255 - 127.5) / 128)
        for label, feature in zip(model.label[::3], features[::3], strict=True):  # faces 0 and 3 are two people
            model.net_c.weight[:, label] = feature
        cosines = torch.nn.functional.cosine_similarity(features[:, :, None], model.net_c.weight[None], dim=1)
        share = (cosines.argmax(1) == model.label).float().mean().item()
    model.optimize_parameters(1)
    assert model.get_current_log()['acc'] == pytest.approx(share)
    assert share >= 2 / 6


def test_the_annealing_counts_from_1_and_travels_with_the_classifiers_file(make: Make, tmp_path: Path) -> None:
    model = make(0)
    steps: list[int] = []
    forward = model.cri_recognition.forward
    model.cri_recognition.forward = lambda f, w, labels, step: (steps.append(int(step)), forward(f, w, labels, step))[1]
    model.optimize_parameters(1)
    model.optimize_parameters(2)
    assert steps == [1, 2]
    model.save(0, 2)
    path = tmp_path / 'run/experiments/cface_stage0/models/net_c_2.pth'
    after = make(3, {'path': {'pretrain_network_c': str(path)}})
    after.optimize_parameters(1)
    assert after.net_c.step.item() == 3


def test_the_spread_is_the_mean_squared_distance_from_the_mean_unit_feature(make: Make) -> None:
    model = make(0)
    with torch.no_grad():
        features = torch.nn.functional.normalize(model.net_r((model.gt * 255 - 127.5) / 128))
        literal = sum(((f - features.mean(0)) ** 2).sum() for f in features) / len(features)
    model.optimize_parameters(1)
    assert model.get_current_log()['spread'] == pytest.approx(literal.item(), rel=1e-3)
    assert model.spread_at_start.item() == pytest.approx(literal.item(), rel=1e-3)


def test_a_collapsed_recognizer_is_refused_and_not_saved(make: Make, tmp_path: Path) -> None:
    model = make(0)
    model.optimize_parameters(1)
    with torch.no_grad():
        model.net_r.fc5.weight.zero_()  # every face gets the bias
        model.net_r.fc5.bias.fill_(1.0)
    model.optimize_parameters(2)
    with pytest.raises(UserError, match=r'collapsed at iteration 2, and is not saved.*\n.*optim_r'):
        model.save(0, 2)
    assert not list(tmp_path.rglob('net_r_2.pth'))


def test_a_recognizer_that_collapsed_before_a_stop_is_refused_after_it(make: Make, tmp_path: Path) -> None:
    model = make(0)
    model.optimize_parameters(1)
    saved = model.more_for_the_state()
    resumed = make(0)
    resumed.restore(saved)
    with torch.no_grad():
        resumed.net_r.fc5.weight.zero_()
        resumed.net_r.fc5.bias.fill_(1.0)
    resumed.optimize_parameters(2)
    assert resumed.spread_at_start == model.spread_at_start
    with pytest.raises(UserError, match='collapsed at iteration 2'):
        resumed.save(0, 2)
    model.save_training_state(0, 1)
    state = torch.load(next(tmp_path.rglob('1.state')), weights_only=True)
    assert state['model'] == saved


@pytest.mark.parametrize('stage', [0, 4])
def test_a_training_that_stopped_behind_its_last_step_is_finished_without_another(make: Make, tmp_path: Path,
                                                                                  stage: int) -> None:
    model = make(stage)
    model.optimize_parameters(1)
    resumed = make(stage)
    resumed.restore(model.more_for_the_state())
    resumed.save(0, -1)
    path, = (tmp_path / 'run').rglob('net_r_latest.pth')
    assert same(torch.load(path, weights_only=True)['params'], resumed.net_r.state_dict())


def test_at_first_only_a_new_classifier_learns(make: Make) -> None:
    model = make(3, {'train': {'head_only_iter': 2}})
    recognizer, head = parameters(model, 'r'), parameters(model, 'c')
    for iteration in (1, 2):
        model.optimize_parameters(iteration)
        assert same(parameters(model, 'r'), recognizer)  # neither gradient, momentum nor weight decay
        assert not same(parameters(model, 'c'), head)
    model.optimize_parameters(3)
    assert not same(parameters(model, 'r'), recognizer)


def test_stage_3_sees_both_domains_and_takes_over_recognizer_and_classifier(
        make: Make, data: Path, tmp_path: Path) -> None:
    path = write_head(tmp_path / 'net_c.pth', identities=4, step=1700)
    model = make(3, {'path': {'pretrain_network_c': str(path)}})
    assert same(parameters(model, 'r'), torch.load(data / 'net_r.pth', weights_only=True)['params'])
    assert model.net_c.step == 1700  # lambda stays at its floor
    assert model.stage.iterations_an_epoch == 6  # twelve faces of D_HR and twelve of D_SR in batches of four


def test_the_log_has_loss_accuracy_and_learning_rate(make: Make) -> None:
    model = make(0)
    model.optimize_parameters(1)
    assert list(model.get_current_log()) == ['l_fr', 'acc', 'spread', 'lr_r']


@pytest.mark.parametrize('stage', [0, 4])
def test_no_accuracy_is_computed_in_a_step_that_is_not_logged(make: Make, monkeypatch: pytest.MonkeyPatch,
                                                              stage: int) -> None:
    counted, accuracy = [], recognition._accuracy
    monkeypatch.setattr(recognition, '_accuracy', lambda *given: (counted.append(1), accuracy(*given))[1])
    model = make(stage)
    for iteration in (1, 2, 3):
        model.optimize_parameters(iteration)
    assert not counted
    assert 0 <= model.get_current_log()['acc'] <= 1 and len(counted) == 1


def test_a_head_only_step_gives_the_recognizer_no_gradient(make: Make) -> None:
    model = make(0)
    recognition_step(model, model.gt, model.label, head_only=True)
    assert all(p.grad is None for p in model.net_r.parameters())
    assert model.net_c.weight.grad.abs().sum() > 0


@pytest.mark.parametrize('stage', [0, 4])
def test_a_classifier_for_features_of_another_length_is_refused_with_both_numbers(make: Make, stage: int) -> None:
    with pytest.raises(UserError, match='is 9, but network_r gives features of 8'):
        make(stage, {'network_c': {'feature_length': 9}, 'path': {'pretrain_network_c': None}})


SAMPLED = {'train': {'recognition_opt': {'sample_rate': 0.5}, 'optim_r': {'lr': 1e-4}}}


def learned_classes(model: Any, iteration: int) -> list[int]:
    """The classes whose directions a step pulls at, on two faces of person 0."""
    model.optimize_parameters(iteration)
    return (model.net_c.weight.grad.abs().sum(0) > 0).nonzero().flatten().tolist()


def test_a_step_of_a_sampled_classifier_pulls_at_the_own_class_and_at_others_drawn_by_seed_and_step(make: Make) -> None:
    drawn = {}
    for seed in (5, 5, 6):
        model = make(0, SAMPLED | {'manual_seed': seed})
        model.feed_data(batch_of(model, 2))
        classes = [learned_classes(model, iteration) for iteration in range(1, 9)]
        assert all(len(each) == 2 and each[0] == 0 for each in classes)
        assert drawn.setdefault(seed, classes) == classes
    assert len({other for _, other in drawn[5]}) > 1 and drawn[5] != drawn[6]


def test_a_sampled_training_resumes_bit_for_bit(make: Make, tmp_path: Path) -> None:
    whole = make(0, SAMPLED)
    whole.feed_data(batch_of(whole, 2))
    folder = Path(whole.opt['path']['experiments_root'])
    for iteration in (1, 2):
        whole.optimize_parameters(iteration)
    whole.save(0, 2)
    expected = [learned_classes(whole, iteration) for iteration in (3, 4, 5)]
    again = make(0, SAMPLED | {'path': {f'pretrain_network_{label}': str(folder / f'models/net_{label}_2.pth')
                                        for label in 'rc'}})
    again.resume_training(torch.load(folder / 'training_states/2.state', weights_only=True))
    again.feed_data(batch_of(again, 2))
    assert [learned_classes(again, iteration) for iteration in (3, 4, 5)] == expected
    for label in 'rc':
        assert same(parameters(again, label), parameters(whole, label))


@pytest.mark.parametrize('rate', [0, 1.5, -1])
def test_a_rate_outside_of_0_to_1_is_refused_in_one_line(make: Make, rate: float) -> None:
    with pytest.raises(UserError, match=r"^option 'train\.recognition_opt\.sample_rate'") as caught:
        make(0, {'train': {'recognition_opt': {'sample_rate': rate}}})
    assert len(str(caught.value).splitlines()) == 1
