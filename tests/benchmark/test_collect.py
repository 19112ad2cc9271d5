"""Rows carry the footnotes that a reader needs."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from cface_basicsr.benchmark.collect import Measuring, add_footnotes
from cface_basicsr.benchmark.file import read_benchmark
from cface_basicsr.benchmark.plan import make_plan
from cface_basicsr.measuring.results import Measured, Run
from tests.tiny_benchmark import tiny_benchmark, write_benchmark, write_tiny_faces


@pytest.mark.parametrize(('system', 'psnr', 'footnotes'), [
    ('EDSR', 19.9, ['not converged']), ('EDSR', 20.1, []),
    ('ESRGAN (PSNR)', 20.1, ['only a first phase: 24 of 32 images']),
    ('ESRGAN (PSNR)', 19.9, ['only a first phase: 24 of 32 images', 'not converged']),
    ('ESRGAN', 19.9, []),  # a GAN is not judged by its pixels
])
def test_footnotes_say_who_had_less_and_who_has_not_converged(tmp_path: Path, system: str, psnr: float,
                                                              footnotes: list[str]) -> None:
    write_tiny_faces(tmp_path)
    content = tiny_benchmark(systems=['EDSR', 'ESRGAN'], widths={}, set={}, data=str(tmp_path / 'data'),
                             shares={'ESRGAN': {'psnr': 0.75, 'gan': 0.25}})
    file = read_benchmark(write_benchmark(tmp_path, content))
    plan = make_plan(file, tmp_path / 'run', file.budget.images)
    row = Run(system, 8, 0, images_g=24, measured={'held-out': Measured({'psnr': psnr})})
    add_footnotes([Run('Bicubic', 8, measured={'held-out': Measured({'psnr': 20.0})}), row], plan, 'held-out')
    assert row.footnotes == footnotes


def test_a_run_is_measured_once_unless_something_changed_or_its_files_are_gone(tmp_path: Path) -> None:
    rows = Measuring(SimpleNamespace(out=tmp_path), 8, [], None)
    made: list[int] = []

    def make() -> Run:
        made.append(len(made))
        (tmp_path / 'scores.npz').touch()
        return Run('EDSR', 8, 0, measured={'t': Measured({'psnr': float(len(made))}, scores='scores.npz')})
    for fingerprint, times in (('a', 1), ('a', 1), ('b', 2), ('b', 2)):
        run = rows._kept(tmp_path / 'kept/edsr.json', [fingerprint], make)
        assert len(made) == times and run.measured['t'].numbers == {'psnr': float(times)}
    (tmp_path / 'scores.npz').unlink()
    assert rows._kept(tmp_path / 'kept/edsr.json', ['b'], make).measured['t'].numbers == {'psnr': 3.0}
