"""The table of the compared systems."""

import pytest

from cface_basicsr.benchmark.systems import REFERENCES, SYSTEMS, find_systems
from cface_basicsr.errors import UserError
from cface_basicsr.options import read_option_file
from cface_basicsr.options.shipped import find_option_file
from cface_basicsr.report.published import OURS, published
from tests.tiny_stages import REPOSITORY


def test_all_systems_of_the_paper_are_there_in_the_order_of_its_tables() -> None:
    ours = {OURS: 'C-Face-v2'}
    papers = [ours.get(name, name) for name in published(1).rows if name not in REFERENCES]
    assert [name for name in SYSTEMS if name in papers] == papers


@pytest.mark.parametrize('name', SYSTEMS)
def test_every_phase_names_an_option_file_of_a_training_or_is_stage_2(name: str) -> None:
    for phase in SYSTEMS[name].phases:
        opt = read_option_file(find_option_file(phase.options)) if phase.options else {}
        assert bool(phase.options) == ('train' in opt)
        assert ('network_g' in opt) == bool(phase.options and phase.learner == 'g')


def test_every_option_file_of_the_baselines_is_a_phase_of_a_system() -> None:
    named = {phase.options for system in SYSTEMS.values() for phase in system.phases}
    assert {f'baselines/{path.name}' for path in (REPOSITORY / 'options/baselines').iterdir()} <= named


@pytest.mark.parametrize('name', SYSTEMS)
def test_phases_refer_to_earlier_phases_and_rows_to_phases(name: str) -> None:
    system = SYSTEMS[name]
    seen: set[str] = set()
    for phase in system.phases:
        assert bool(phase.options) != bool(phase.generate)
        named = {*phase.weights.values(), phase.generate, phase.d_sr} - {'', 'loss recognizer', 'loss head'}
        assert named <= seen
        seen.add(phase.name)
    assert set(system.rows.values()) <= seen
    assert set(system.pixel) <= set(system.rows)


def test_both_phases_of_esrgan_give_a_row() -> None:
    assert SYSTEMS['ESRGAN'].rows == {'ESRGAN (PSNR)': 'psnr', 'ESRGAN': 'gan'}


def test_an_unknown_system_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(UserError, match="system 'ERSGAN' is unknown; did you mean 'ESRGAN'"):
        find_systems(['ERSGAN'], SYSTEMS)


def test_hr_and_bicubic_may_be_named_and_are_not_trained() -> None:
    assert [system.name for system in find_systems(['HR', 'Bicubic', 'EDSR'], SYSTEMS)] == ['EDSR']
