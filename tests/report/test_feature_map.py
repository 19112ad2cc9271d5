"""The maps of features: distances are L_SI of the whole features, and pictures are drawn of what is there."""

from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from cface_basicsr.measuring.results import Results, load_mapped, load_results, save_mapped
from cface_basicsr.ops.identity_distance import identity_distance
from cface_basicsr.report import feature_map
from cface_basicsr.report.feature_map import (
    MappedFaces,
    among_people,
    apart,
    compare_figure,
    map_figure,
    mapped_faces,
    plane_of,
)
from cface_basicsr.report.write import write_report
from tests.report.made_up_results import SYSTEMS, made_up_features, made_up_results


@pytest.fixture(scope='module')
def made_up(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Results]:
    folder = tmp_path_factory.mktemp('report')
    return folder, made_up_results(folder, scales=(8,), faces=3)


def faces_of(made_up: tuple[Path, Results]) -> MappedFaces:
    folder, results = made_up
    found = mapped_faces(results, folder, results.tests()[0], 8)
    assert found
    return found


def test_features_come_back_as_they_were_kept(tmp_path: Path) -> None:
    features = {'sphereface': np.arange(6, dtype=np.float32).reshape(2, 3), 'judge': np.ones((2, 4), np.float32)}
    keys, found = load_mapped(save_mapped(tmp_path / 'features/a.npz', ['ä/0', 'b/1'], features))
    assert keys == ['ä/0', 'b/1'] and found.keys() == features.keys()
    assert all((found[name] == features[name]).all() for name in features)


def test_each_system_has_the_unit_features_of_its_first_seed(made_up: tuple[Path, Results]) -> None:
    faces = faces_of(made_up)
    assert list(faces.features) == SYSTEMS
    assert faces.keys[:4] == ['0000000/000', '0000000/001', '0000000/002', '0000001/000']
    assert faces.people().tolist() == 3 * ['0000000'] + 3 * ['0000001'] + 3 * ['0000002']
    for system in SYSTEMS:
        raw = made_up_features(system, faces.keys)
        assert faces.features[system] == pytest.approx(raw / np.linalg.norm(raw, axis=1, keepdims=True), abs=1e-6)


def test_distances_are_those_of_the_loss_and_of_all_pairs_of_one_person(made_up: tuple[Path, Results]) -> None:
    faces = faces_of(made_up)
    one, two = (torch.from_numpy(faces.features[system]) for system in ('HR', 'Bicubic'))
    assert apart(one.numpy(), two.numpy()) == pytest.approx(identity_distance(one, two).numpy(), abs=1e-6)
    people = faces.people()
    literal = [np.sum((faces.features['HR'][a] - faces.features['HR'][b]) ** 2)
               for a, b in combinations(range(len(people)), 2) if people[a] == people[b]]
    assert len(literal) == 9 and among_people(faces.features['HR'], people) == pytest.approx(np.mean(literal))
    assert np.isnan(among_people(faces.features['HR'][:2], np.array(['a', 'b'])))


def test_the_plane_is_that_of_a_principal_component_analysis(made_up: tuple[Path, Results]) -> None:
    from sklearn.decomposition import PCA
    hr = faces_of(made_up).features['HR']
    mean, directions = plane_of(hr)
    theirs = PCA(2).fit(hr)
    assert np.abs((hr - mean) @ directions.T) == pytest.approx(np.abs(theirs.transform(hr)), abs=1e-9)


def test_figure_3_says_the_distances_between_the_faces_that_it_shows(
        made_up: tuple[Path, Results], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, results = made_up
    faces, shown, drawn = faces_of(made_up), results.faces[0], []
    monkeypatch.setattr(feature_map, '_draw_triangle',
                        lambda panel, files, distances: drawn.append((panel.get_title(), files, distances)))
    assert compare_figure(results, faces, shown, 8, folder, 'title', tmp_path / 'fig3.png')
    assert [title for title, _, _ in drawn] == ['Bicubic, before', 'C-Face-v2, after', '', '', '', '']
    hr, sr = faces.features['HR'], faces.features['C-Face-v2']
    _, files, distances = drawn[3]  # the second person, after
    assert distances == pytest.approx({('SR', 'HR'): apart(sr[3], hr[3]), ('SR', 'compare'): apart(sr[3], hr[4]),
                                       ('HR', 'compare'): apart(hr[3], hr[4])})
    run = results.runs_of('C-Face-v2', 8)[0]
    assert files == {'HR': folder / results.runs_of('HR', 8)[0].faces['0000001/000'],
                     'SR': folder / run.faces['0000001/000'], 'compare': folder / shown.compare['0000001/000'][1]}


def test_both_figures_are_in_the_report_and_without_their_files_they_are_left_out(
        tmp_path: Path, made_up: tuple[Path, Results]) -> None:
    folder, results = made_up
    results.save(folder)
    names = {path.name for path in write_report(load_results(folder), folder, tmp_path / 'whole')}
    assert {'fig3_held-out_x8.png', 'fig4_held-out_x8.png', 'fig3_generated_x8.png'} <= names
    for name in ('fig3', 'fig4'):
        with Image.open(tmp_path / f'whole/figures/{name}_held-out_x8.png') as picture:
            assert picture.width > 600 and len(picture.convert('RGB').getcolors(1 << 24)) > 100
    page = (tmp_path / 'whole/report.html').read_text()
    assert 'id="maps"' in page and page.count('Features by person on held-out, x8, by sphereface</h3>') == 1
    for path in (folder / 'features').glob('*_C-Face-v2_*'):
        path.rename(path.with_suffix('.away'))
    assert 'C-Face-v2' not in faces_of(made_up).features
    for path in (folder / 'faces/compare').iterdir():
        path.unlink()
    names = {path.name for path in write_report(results, folder, tmp_path / 'part')}
    assert 'fig4_held-out_x8.png' in names and 'fig3_held-out_x8.png' not in names
    for path in (folder / 'features').glob('*_HR_*'):
        path.unlink()
    assert mapped_faces(results, folder, results.tests()[0], 8) is None
    write_report(results, folder, tmp_path / 'none')
    assert 'id="maps"' not in (tmp_path / 'none/report.html').read_text()


def test_one_system_and_one_person_can_be_drawn(tmp_path: Path) -> None:
    features = {name: made_up_features(name, ['a/0', 'a/1']) for name in ('HR', 'Bicubic', 'VDSR')}
    assert map_figure(MappedFaces(['a/0', 'a/1'], features), 'title', tmp_path / 'map.png').is_file()
