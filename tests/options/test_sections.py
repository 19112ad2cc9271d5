"""Sections: each field says what it is, and one function tells what is wrong with a file."""

import random
from collections.abc import Iterator
from typing import Annotated, Any, Literal, get_args, get_origin

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from pydantic_core import PydanticCustomError

import cface_basicsr.benchmark.file
import cface_basicsr.data.dataset_options
import cface_basicsr.register
import cface_basicsr.training.recipe  # noqa: F401  all modules that describe sections
from cface_basicsr.errors import UserError
from cface_basicsr.options import CFaceTraining, FilledIn, Section, open_section
from cface_basicsr.options.sections import is_filled_in
from cface_basicsr.options.signatures import Loss, argument_texts, check_call, registered, section_of
from cface_basicsr.options.training import Needs


def all_sections(base: type[Section] = Section) -> Iterator[type[Section]]:
    for section in base.__subclasses__():
        yield section
        yield from all_sections(section)


def public_sections() -> list[type[Section]]:
    return sorted({section for section in all_sections() if section.__module__.startswith('cface_basicsr')
                   and not section.__name__.startswith('_')},
                  key=lambda section: section.__name__)


@pytest.mark.parametrize('section', public_sections(), ids=lambda section: section.__name__)
def test_each_field_of_a_section_has_a_sentence(section: type[Section]) -> None:
    silent = [name for name, field in section.model_fields.items()
              if not is_filled_in(field) and not (field.description or '').endswith('.')]
    assert silent == []


@pytest.mark.parametrize(('room', 'name'), [
    (room, name) for room in ('archs', 'losses', 'metrics') for name, kind in sorted(registered(room).items())
    if kind.__module__.startswith('cface_basicsr')])
def test_each_argument_of_a_registered_class_has_a_sentence(room: str, name: str) -> None:
    section = section_of(room, name)
    assert [key for key, field in section.model_fields.items() if not (field.description or '').endswith('.')] == []


# ------------------------------------------------------------------------------------------------------- what is wrong

class Inner(Section):
    """A section within one."""

    width: int
    """A width."""
    sides: tuple[int, int] | int = 1
    """One or two sides."""


class Outer(Section):
    """A section."""

    inner: Inner | None = None
    """A section."""
    named: dict[str, Inner] = {}
    """Several."""
    made: FilledIn[int] = None


@pytest.mark.parametrize(('values', 'message'), [
    ({'iner': {}}, "option 'iner' is unknown; did you mean 'inner'?"),
    ({'width': 1}, "option 'width' is unknown; did you mean 'inner.width'?"),
    ({'xyz': 1}, "option 'xyz' is unknown; valid: inner, named"),
    ({'inner': {'widht': 1}}, "option 'inner.widht' is unknown; did you mean 'width'?"),
    ({'named': {'a': {'widht': 1}}}, "option 'named.a.widht' is unknown; did you mean 'width'?"),
    ({'inner': {}}, "option 'inner.width' is missing."),
    ({'named': {'a': {}}}, "option 'named.a.width' is missing."),
    ({'inner': {}, 'named': {'a': {'widht': 1}}}, "option 'named.a.widht' is unknown; did you mean 'width'?"),
    ({'inner': {'width': 'x'}}, "option 'inner.width': input should be a valid integer, got 'x'."),
    ({'inner': {'width': 1, 'sides': 'x'}}, "option 'inner.sides': input should be a valid tuple or input should be a "
                                            "valid integer, got 'x'."),
    ({'inner': []}, "option 'inner': input should be a section, got [].")])
def test_what_is_wrong_is_told_in_one_line(values: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError) as caught:
        open_section(Outer, values)
    assert str(caught.value) == message


def test_a_key_that_is_filled_in_is_taken_and_not_offered() -> None:
    assert open_section(Outer, {'made': 3}).made == 3
    with pytest.raises(UserError, match='valid: inner, named$'):
        open_section(Outer, {'xyz': 1})
    assert set(Outer.model_json_schema()['properties']) == {'inner', 'named'}


# ------------------------------------------------------------------------------------------ classes and their arguments

def test_the_section_of_a_class_is_its_signature() -> None:
    section = section_of('losses', 'CFaceLoss')
    assert list(section.model_fields) == ['type', 'gamma1', 'gamma2', 'margin', 'distance']
    assert section.model_json_schema()['required'] == ['type', 'gamma1', 'gamma2']
    assert section.model_fields['margin'].default is True
    assert section.model_fields['gamma1'].description == argument_texts(registered('losses')['CFaceLoss'])['gamma1']


def test_arguments_are_neither_converted_nor_taken_as_text() -> None:
    for wrong in ({'num_feat': '64'}, {'num_feat': 64.0}, {'num_feat': True}, {'icnr': 1}, {'scale': None}):
        key = next(iter(wrong))
        with pytest.raises(UserError, match=f"option 'network_g.{key}': "):
            open_section(section_of('archs', 'SRResNet'), {'type': 'SRResNet', **wrong}, 'network_g')
    open_section(section_of('losses', 'CFaceLoss'), {'type': 'CFaceLoss', 'gamma1': 1, 'gamma2': 0}, 'loss')


def a_value_of(kind: Any) -> Any:
    """Anything of a kind."""
    if get_origin(kind) is Annotated:
        return a_value_of(get_args(kind)[0])
    if get_origin(kind) is Literal:
        return get_args(kind)[0]
    if get_origin(kind) in (list, dict):
        return [] if get_origin(kind) is list else {}
    return {int: 8, float: 0.5, str: 'x', bool: True, Any: 1}[kind]


@pytest.mark.parametrize(('room', 'name'), [
    (room, name) for room in ('archs', 'losses', 'metrics') for name, kind in sorted(registered(room).items())
    if not kind.__module__.startswith('cface_basicsr')])
def test_what_basicsr_has_by_default_is_of_the_kind_that_its_section_takes(room: str, name: str) -> None:
    section = section_of(room, name)
    defaults = {key: field.default for key, field in section.model_fields.items() if not field.is_required()}
    written = {key: list(value) if isinstance(value, tuple) else value for key, value in defaults.items()}
    needed = {key: a_value_of(field.rebuild_annotation()) for key, field in section.model_fields.items()
              if field.is_required()}
    open_section(section, needed | {'type': name} | written)
    for key, value in written.items():
        if isinstance(value, (int, float)):
            with pytest.raises(UserError, match=f"option '{key}': input should be a valid"):
                open_section(section, needed | {'type': name, key: str(value)})


@pytest.mark.parametrize(('room', 'values', 'message'), [
    ('archs', {'type': 'EDSR', 'num_in_ch': 3, 'num_out_ch': 3, 'upscale': 5}, 'refuses this: ValueError: scale 5 is'),
    ('archs', {'type': 'VGGStyleDiscriminator', 'num_in_ch': 3, 'num_feat': 4, 'input_size': 9}, 'must be 128 or 256'),
    ('optimizers', {'type': 'Adam', 'lr': -1.0}, 'Adam refuses this: ValueError: Invalid learning rate: -1.0'),
    ('optimizers', {'type': 'Adam', 'lr': 0.1, 'betas': [0.9, 1.5]}, 'Invalid beta parameter at index 1: 1.5'),
    ('optimizers', {'type': 'Adam', 'lr': 0.1, 'betas': [0.9]}, 'at least 2 items'),
    ('optimizers', {'type': 'Adam', 'lr': 0.1, 'amsgrad': 'no'}, 'valid boolean'),
    ('optimizers', {'type': 'SGD', 'lr': 0.1, 'betas': [0.9, 0.99]}, 'valid: dampening'),
    ('optimizers', {'type': 'Adam'}, 'Field required'),
    ('optimizers', {'type': 'Adaam', 'lr': 0.1}, "did you mean 'Adam'"),
    ('schedulers', {'type': 'MultiStepLR', 'milestones': 5}, 'valid list'),
    ('schedulers', {'type': 'MultiStepLR', 'milestones': [5], 'gamma': -1}, 'greater than or equal to 0'),
    ('schedulers', {'type': 'CosineAnnealingRestartLR', 'periods': [5, 5]}, 'should have the same length'),
    ('schedulers', {'type': 'CosineAnnealingRestartLR', 'periods': [0]}, 'RestartLR refuses this: ZeroDivision'),
    ('schedulers', {'type': 'StepLR', 'step_size': 5}, 'is not registered')])
def test_what_a_class_of_torch_or_basicsr_refuses_is_refused_in_its_words(
        room: str, values: dict[str, Any], message: str) -> None:
    with pytest.raises((PydanticCustomError, ValidationError), match=message):
        check_call(room, values)


@pytest.mark.parametrize(('room', 'values'), [
    ('archs', {'type': 'ECBSR', 'num_in_ch': 3, 'num_out_ch': 3, 'num_block': 1, 'num_channel': 4, 'with_idt': False,
               'act_type': 'prelu', 'scale': 2}),  # it cannot be built without memory
    ('archs', {'type': 'EDSR', 'num_in_ch': 3, 'num_out_ch': 3, 'upscale': 8, 'num_feat': 4, 'res_scale': 0.1}),
    ('optimizers', {'type': 'AdamW', 'lr': 1, 'betas': [0.0, 0.99], 'fused': None}),
    ('optimizers', {'type': 'SGD', 'lr': 0}),
    ('schedulers', {'type': 'MultiStepRestartLR', 'milestones': [], 'restarts': [0, 5], 'restart_weights': [1, 0.5]}),
    ('schedulers', {'type': 'CosineAnnealingRestartLR', 'periods': [5], 'restart_weights': [1], 'eta_min': 1e-7})])
def test_what_they_take_is_taken_and_handed_on_as_it_is_and_draws_no_random_number(
        room: str, values: dict[str, Any]) -> None:
    before = torch.get_rng_state(), random.getstate(), str(np.random.get_state())
    assert check_call(room, values) is values
    assert torch.equal(torch.get_rng_state(), before[0])
    assert (random.getstate(), str(np.random.get_state())) == before[1:]


# ------------------------------------------------------------------------------------------------------- what is needed

class WithAngle(CFaceTraining):
    """Training by one more loss of features."""

    angle_opt: Annotated[Loss | None, Needs('network_r')] = None
    """Any."""


def test_a_loss_says_once_what_it_needs() -> None:
    assert WithAngle.needs() == CFaceTraining.needs() | {'angle_opt': ('network_r',)}
    optimizer, any_loss = {'lr': 1e-3}, {'type': 'L1Loss'}
    only = open_section(WithAngle, {'optim_g': optimizer, 'angle_opt': any_loss}, 'train')
    assert only.needed() == {'network_r'} and only.compared_by_features() == ['angle_opt']
    learns = open_section(WithAngle, {'pixel_opt': any_loss, 'recognition_opt': {'type': 'ASoftmaxLoss'},
                                      'optim_g': optimizer}, 'train')
    assert learns.needed() == {'network_r', 'network_c', 'optim_r'} and learns.compared_by_features() == []
    assert {name for name, loss in only.losses().items() if loss} == {'angle_opt'}
