"""cface ablate: its files plan the rows of the paper's tables; the rows run."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cface_basicsr.benchmark.file import read_benchmark
from cface_basicsr.benchmark.plan import make_plan
from cface_basicsr.benchmark.throughput import trainings
from cface_basicsr.cli.main import app
from cface_basicsr.errors import UserError
from tests.tiny_stages import REPOSITORY

ROWS = {'compare': ['Random', 'k=1', 'k=2', 'k=3', 'k=4', 'k=5'],
        'training': ['version 1', 'version 2', 'version 2-1', 'version 2-2', 'version 2-3'],
        'loss': ['(6) normalized', '(5) normalized', '(6) l2', '(6) cosine'],
        'optimizer': ['SGD 0.1', 'SGD 0.01', 'Adam 0.1', 'Adam 0.001'],
        'recognizer': ['L_CF', 'L_CF, views', 'L_CF, two recognizers', 'L_CF, both']}


def planned(which: str, folder: Path, *more: str) -> dict:
    name = f"ablation/{which}{'_small' if '--small' in more else ''}.yml"
    file = read_benchmark(REPOSITORY / 'options' / name)
    keys = {key for key, _, _ in trainings(make_plan(file, folder, file.budget.images))}
    (folder / 'r.json').write_text(json.dumps({'seconds_an_image': dict.fromkeys(keys, 0.01)}))
    done = CliRunner().invoke(app, ['ablate', which, '--plan', '--json', '--throughput', str(folder / 'r.json'), *more])
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


@pytest.mark.parametrize('small', [(), ('--small',)])
@pytest.mark.parametrize('which', ROWS)
def test_an_ablation_plans_the_rows_of_its_table(which: str, small: tuple[str, ...], tmp_path: Path) -> None:
    found = planned(which, tmp_path, *small)
    assert [row['row'] for row in found['rows']] == ROWS[which]
    assert len({row['images'] for row in found['rows']}) == 1


def test_an_unknown_ablation_is_refused_with_the_nearest_name() -> None:
    done = CliRunner().invoke(app, ['ablate', 'traning'])
    assert isinstance(done.exception, UserError) and "did you mean 'training'?" in str(done.exception)


def test_two_files_are_refused() -> None:
    done = CliRunner().invoke(app, ['ablate', 'loss', '--small', '--file', 'demo/faces.yml'])
    assert isinstance(done.exception, UserError) and 'give one of them' in str(done.exception)
