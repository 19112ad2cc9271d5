"""The table of the compared systems."""

import pytest

from cface_basicsr.benchmark.systems import SYSTEMS, find_systems
from cface_basicsr.errors import UserError
from cface_basicsr.training.option_files import find_recipe


def test_all_systems_of_the_paper_are_there_in_the_order_of_its_tables() -> None:
    assert list(SYSTEMS) == ['VDSR', 'Wavelet-SRNet', 'EDSR', 'SRGAN', 'DBPN', 'RDN', 'SICNN', 'ESRGAN', 'SRFBN',
                             'C-Face-v1', 'C-Face-v2']


@pytest.mark.parametrize('name', SYSTEMS)
def test_every_option_file_exists_at_every_scale(name: str) -> None:
    for phase in SYSTEMS[name].phases:
        for scale in (2, 4, 8) if phase.options else ():
            assert find_recipe(phase.options.format(scale=scale)).is_file()


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
