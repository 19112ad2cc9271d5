"""The report: verdicts that say what the numbers say, and held-out identities that are held out."""

import json
import statistics
from pathlib import Path

import numpy as np
import pytest
import yaml

from cface_basicsr.errors import UserError
from cface_basicsr.measuring.recipe_rows import equal_pictures_note, read_faces
from cface_basicsr.report.recipe_report import (
    Result,
    Row,
    _rows_after,
    collapse_notes,
    compare_rows,
    verdicts,
)
from cface_basicsr.training.recipe import Recipe
from tests.small_data import write_small_data
from tests.tiny_stages import REPOSITORY


def row(title: str, folds: list[float], weights: str = 'net_g.pth') -> Row:
    numbers = {'psnr': 20.0, 'ssim': 0.5, 'images': 64, 'recognizer_images': 0, 'r/accuracy': statistics.mean(folds),
               'r/accuracy_std': 0.01, 'r/vr': 0.3}
    return Row(title, numbers, {'r': folds}, weights)


def recipe(folder: Path) -> Recipe:
    (folder / 'r.yml').write_text(yaml.safe_dump({'base': str(REPOSITORY / 'options/demo/faces.yml'),
                                                    'report': {'pairs_per_fold': 4}}))
    return Recipe.read(folder / 'r.yml', data=folder, out=folder / 'run')


@pytest.mark.parametrize(('better', 'verdict'), [
    (0.1, 'beats'), (-0.1, 'loses to'), (0.001, 'does not differ clearly')])
def test_a_verdict_is_as_clear_as_the_numbers(better: float, verdict: str) -> None:
    base = [0.6 + 0.02 * (i % 3) for i in range(10)]
    other = [value + better + 0.01 * (-1) ** i for i, value in enumerate(base)]
    sentence = compare_rows(row('C-Face-v2', other), row('SRGAN', base), 'r')
    assert sentence.startswith(f'C-Face-v2 {verdict}')
    assert f'{100 * better:+.1f} points' in sentence


def test_every_trained_row_meets_bicubic_and_every_c_face_row_meets_srgan() -> None:
    folds = [0.5] * 10
    rows = [row('HR', folds, ''), row('Bicubic', folds, ''), row('SRGAN', folds), row('C-Face-v1', folds)]
    pairs = [(line.split(' does')[0], line.split('from ')[1].split(' by')[0]) for line in verdicts(rows)]
    assert pairs == [('SRGAN', 'Bicubic'), ('C-Face-v1', 'Bicubic'), ('C-Face-v1', 'SRGAN')]
    assert not [line for line in verdicts(rows[:2])]


def test_the_report_is_written_in_three_forms_that_agree(tmp_path: Path) -> None:
    trace = {'command': 'cface train r.yml', 'scale': 8, 'data_sha256': 'ab' * 32, 'torch': '2', 'device': 'CPU',
             'test': {'identities': 5, 'images': 20, 'pairs': 40}}
    rows = [row('HR', [0.9] * 10, ''), row('Bicubic', [0.6] * 10, ''), row('SRGAN', [0.7] * 10)]
    domains = {'after stage 1': {'sr_hr': 0.25, 'sr_compare': 0.5, 'hr_compare': 0.125}}
    result = Result(rows, domains, trace, tmp_path, ['A note.'])
    result.write()
    text, table = (tmp_path / 'report.md').read_text(), (tmp_path / 'table.csv').read_text()
    assert [line.split(',')[0] for line in table.splitlines()[1:]] == ['HR', 'Bicubic', 'SRGAN']
    assert (tmp_path / 'report.json').read_text() == result.as_json()
    assert json.loads(result.as_json())['rows'][2]['numbers'] == rows[2].numbers
    for part in ('5, 20 images; 40 pairs', 'SRGAN beats Bicubic', 'after stage 1', '0.250', 'A note.',
                 '`cface train r.yml`'):
        assert part in text


def test_a_recognizer_that_gives_all_faces_one_feature_is_named() -> None:
    near = {'sr_hr': 0.0, 'sr_compare': 0.0, 'hr_compare': 1e-6}
    apart = {'sr_hr': 0.0, 'sr_compare': 0.4, 'hr_compare': 0.4}  # SR equal to HR is no collapse
    notes = collapse_notes({'after stage 1': apart, 'after stage 3': near})
    assert len(notes) == 1 and notes[0].startswith('**after stage 3: the recognizer has collapsed**')


def test_equal_pictures_under_two_names_are_counted(tmp_path: Path) -> None:
    keys = ['7/1', '7/2', '8/1', '8/2', '9/1']
    assert equal_pictures_note(tmp_path, keys) is None  # no manifest
    write = (tmp_path / 'manifest.json').write_text
    write(json.dumps({'duplicates': [['7/1', '7/2'], ['1/5', '2/5']]}))  # one person twice; two of the training set
    assert equal_pictures_note(tmp_path, keys) is None
    write(json.dumps({'duplicates': [['7/1', '8/1', '8/2'], ['1/5', '9/1']]}))
    assert '4 held-out pictures, 1 of them also in the training set' in equal_pictures_note(tmp_path, keys)


def test_a_report_after_a_step_has_only_the_rows_that_are_there(tmp_path: Path) -> None:
    early = _rows_after(recipe(tmp_path), 'v1')
    assert list(early.rows) == ['SRGAN', 'L_SI only', 'C-Face-v1']
    assert list(early.domains) == ['after stage 1']


def test_identities_in_training_and_test_set_are_refused_by_name(tmp_path: Path) -> None:
    write_small_data(tmp_path / 'train', identities=2, images=1)
    with pytest.raises(UserError, match=r"test' is missing: the report needs identities that were not trained on"):
        read_faces(recipe(tmp_path))
    write_small_data(tmp_path / 'test', identities=3, images=1)
    with pytest.raises(UserError, match="share 2 identities, for example '0000000'"):
        read_faces(recipe(tmp_path))


def test_the_held_out_faces_come_in_the_order_of_their_labels(tmp_path: Path) -> None:
    write_small_data(tmp_path / 'train', identities=2, images=1)
    write_small_data(tmp_path / 'test', identities=20, images=2, seed=1)
    faces = read_faces(recipe(tmp_path))
    assert faces.hr.shape == (40, 128, 128, 3) and faces.lr.shape == (40, 16, 16, 3)
    assert faces.labels.tolist() == [i // 2 for i in range(40)]
    same = faces.labels[faces.pairs.pairs[:, 0]] == faces.labels[faces.pairs.pairs[:, 1]]
    assert np.array_equal(same, faces.pairs.same)
    assert len(set(faces.pairs.fold.tolist())) == 10
