"""`cface benchmark --rows`: rows outlive the run folder, and count only where nothing that decides them differs."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from cface_basicsr.benchmark.file import read_benchmark
from cface_basicsr.benchmark.plan import make_plan
from cface_basicsr.benchmark.run import Finished, run_benchmark
from cface_basicsr.errors import UserError
from tests.tiny_benchmark import BATCH, tiny_benchmark, write_benchmark, write_tiny_faces
from tests.training.test_steps import Told

FILES = ['x8_edsr_seed0.json', 'x8_edsr_seed0_held-out.npz', 'x8_l1_seed0.json', 'x8_l1_seed0_held-out.npz']


def start(folder: Path, show: Told | None = None, train: bool = True, **changes: Any) -> Finished:
    content = {'systems': ['EDSR', 'L1'], 'budget': {'images': 2 * BATCH}, 'shares': {}, 'set': {}, 'curve_points': 0,
               'variants': {'L1': {'of': 'EDSR', 'set': {'train': {'train': {'pixel_opt': {'loss_weight': 2.0}}}}}},
               'tests': {'held-out': {'pairs_per_fold': 8, 'faces': 0}}} | changes
    file = read_benchmark(write_benchmark(folder, tiny_benchmark(data=str(folder / 'data'), **content)))
    return run_benchmark(make_plan(file, folder / 'run', file.budget.images), show or Told(), rows=folder / 'rows',
                         train=train)


@pytest.fixture(scope='module')
def kept(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Finished]:
    """A folder with data/ and rows/ of two rows, whose run folder is gone, and what was measured."""
    folder = write_tiny_faces(tmp_path_factory.mktemp('rows'))
    finished = start(folder)
    shutil.rmtree(folder / 'run')
    return folder, finished


@pytest.mark.slow
def test_rows_are_taken_again_without_training_and_give_the_same_table(kept: tuple[Path, Finished]) -> None:
    folder, before = kept
    assert sorted(path.name for path in (folder / 'rows').iterdir()) == FILES
    again = Told()
    after = start(folder, again)
    assert [name for name, _ in again.ended if name in ('edsr', 'l1')] == []  # no training but the recognizer's
    assert [(run.system, run.measured) for run in after.results.runs] == [
        (run.system, run.measured) for run in before.results.runs]
    assert (folder / 'run/scores/x8_edsr_seed0_held-out.npz').is_file() and (folder / 'run/report.md').is_file()
    shutil.rmtree(folder / 'run')


@pytest.mark.slow
def test_only_the_row_that_is_missing_is_trained(kept: tuple[Path, Finished], tmp_path: Path) -> None:
    shutil.copytree(kept[0], tmp_path, dirs_exist_ok=True)
    (tmp_path / 'rows/x8_l1_seed0.json').unlink()
    again = Told()
    after = start(tmp_path, again)
    assert [name for name, _ in again.ended if name in ('edsr', 'l1')] == ['l1']
    wanted = {run.system: run.measured['held-out'].numbers for run in kept[1].results.runs}
    assert {run.system: run.measured['held-out'].numbers for run in after.results.runs} == wanted


@pytest.mark.slow
def test_without_training_the_rows_that_are_there_are_reported(kept: tuple[Path, Finished], tmp_path: Path) -> None:
    shutil.copytree(kept[0], tmp_path, dirs_exist_ok=True)
    (tmp_path / 'rows/x8_l1_seed0.json').unlink()
    again = Told()
    finished = start(tmp_path, again, train=False)
    assert [name for name, _ in again.ended if name in ('edsr', 'l1')] == []
    assert finished.failed == {'L1 x8 seed 0': 'not trained yet'} and finished.code == 1
    assert [run.system for run in finished.results.runs if run.status == 'done'] == ['HR', 'Bicubic', 'EDSR']
    assert 'not trained yet' in (tmp_path / 'run/report.md').read_text()


@pytest.mark.slow
@pytest.mark.parametrize(('changes', 'message'), [
    ({'budget': {'images': 3 * BATCH}}, 'made with other options. Name another folder of rows'),
    ({'tests': {'held-out': {'pairs_per_fold': 6, 'faces': 0}}}, 'made with other pairs'),
    ({'tests': {'held-out': {'pairs_per_fold': 8, 'faces': 0, 'far': 0.1}}}, 'made with other pairs'),
    ({'tests': {'held-out': {'pairs_per_fold': 8, 'faces': 2}}}, 'set `faces: 0`'),
])
def test_rows_of_something_else_are_refused(kept: tuple[Path, Finished], tmp_path: Path, changes: dict[str, Any],
                                            message: str) -> None:
    shutil.copytree(kept[0], tmp_path, dirs_exist_ok=True)
    with pytest.raises(UserError, match=message):
        start(tmp_path, **changes)


@pytest.mark.slow
def test_a_file_that_is_no_row_is_refused(kept: tuple[Path, Finished], tmp_path: Path) -> None:
    shutil.copytree(kept[0], tmp_path, dirs_exist_ok=True)
    path = tmp_path / 'rows/x8_edsr_seed0.json'
    for text in ('{', '[]', json.dumps({'of': {}, 'run': {'system': 'EDSR'}}), json.dumps({'run': {}})):
        path.write_text(text)
        with pytest.raises(UserError, match='not a row that `cface benchmark --rows` kept'):
            start(tmp_path)
