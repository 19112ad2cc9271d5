"""The report of a recipe: identities that are held out, each network looked at once, distances of two domains."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml

from cface_basicsr.archs.srresnet_arch import SRResNet
from cface_basicsr.data.compare_index import build_compare_index
from cface_basicsr.errors import UserError
from cface_basicsr.evaluation.face_systems import identity_distances
from cface_basicsr.evaluation.features import extract_features
from cface_basicsr.evaluation.perceptual import PerceptualDistance
from cface_basicsr.evaluation.super_resolution import super_resolve
from cface_basicsr.files.face_store import FaceStore
from cface_basicsr.files.manifest import file_hash
from cface_basicsr.files.network_file import build_network_from_file, save_atomically
from cface_basicsr.measuring.held_out import OpenTestSet
from cface_basicsr.ops.resize import bicubic_resize
from cface_basicsr.report.tables import overview, systems_table
from cface_basicsr.training.recipe import Recipe
from cface_basicsr.training.report import RecipeReport, check_report, collapse_notes
from tests.evaluation.test_perceptual import FILES, made_up, needs_torchmetrics
from tests.small_data import write_small_data
from tests.tiny_stages import REPOSITORY, write_recognizer
from tests.training.test_steps import Told


def recipe(folder: Path, **report: Any) -> Recipe:
    """The demo's recipe on the folder's data."""
    (folder / 'r.yml').write_text(yaml.safe_dump({
        'base': str(REPOSITORY / 'options/demo/faces.yml'),
        'report': {'tests': {'held-out': {'pairs_per_fold': 4, 'faces': 2}}, **report}}))
    return Recipe.read(folder / 'r.yml', data=folder, out=folder / 'run')


@pytest.fixture(scope='module')
def trained(tmp_path_factory: pytest.TempPathFactory) -> Recipe:
    """The recipe with networks of random weights where the steps would have left theirs."""
    folder = tmp_path_factory.mktemp('report')
    write_small_data(folder / 'train', identities=2, images=1)
    write_small_data(folder / 'test', identities=20, images=2, seed=1)
    made = recipe(folder)
    for seed, name in enumerate(made.file.steps):
        (made.out / name / 'models').mkdir(parents=True)
        write_recognizer(made.weights_of(name, 'r'), seed)
        torch.manual_seed(seed)
        settings = {'num_feat': 4, 'num_block': 1, 'scale': 8}
        save_atomically({'params': SRResNet(**settings).state_dict(), 'network': {'type': 'SRResNet', **settings}},
                        made.weights_of(name, 'g'))
    return made


def images(recipe: Recipe, store: str, keys: list[str]) -> np.ndarray:
    return np.stack([FaceStore(recipe.test_folder / store).image(key) for key in keys])


def test_rows_and_distances_are_those_of_their_networks_and_nothing_is_embedded_twice(
        trained: Recipe, monkeypatch: pytest.MonkeyPatch) -> None:
    report, seen = RecipeReport(trained), []
    test, = report.tests
    embed = test.embed
    monkeypatch.setattr(test, 'embed', lambda system, networks: seen.append((
        system if isinstance(system, str) else 'network', sorted(networks))) or embed(system, networks))
    early, folder = report.results(Told(), 'v1')
    assert folder == trained.out / 'after_v1' and early.systems == ['HR', 'Bicubic', 'SRGAN', 'L_SI only', 'C-Face-v1']
    assert seen == [(name, ['judge', 'recognizer']) for name in ('HR', 'Bicubic', *['network'] * 3)]
    late, folder = report.results(Told())
    assert folder == trained.out and [run.measured for run in late.runs[:5]] == [run.measured for run in early.runs]
    assert sorted(seen[5:]) == sorted([('network', ['judge', 'recognizer'])] * 6 + [
        ('network', ['stage3']), ('HR', ['stage3']), ('network', ['v2']), ('HR', ['v2'])])

    run = next(run for run in late.runs if run.system == 'C-Face-v1')
    assert run.weights_sha256 == file_hash(trained.weights_of('v1', 'g'), 64) and run.network['num_feat'] == 16
    keys = test.faces.keys
    hr = images(trained, 'hr.lmdb', keys)
    sr = super_resolve(build_network_from_file(trained.weights_of('v1', 'g')), images(trained, 'lr_x8.lmdb', keys))

    def features(pictures: np.ndarray, who: str) -> np.ndarray:
        return extract_features(build_network_from_file(trained.weights_of(who, 'r')), pictures)
    pairs = test.protocols[0]
    assert run.measured['held-out'].per_fold['judge/accuracy'] == pairs.measure(
        'judge', features(sr, 'judge')).per_fold['judge/accuracy']
    compare = build_compare_index(features(hr, 'recognizer'), test.faces.labels, 1)[:, 0]
    assert late.domains['after stage 3'] == pytest.approx(
        identity_distances(features(sr, 'stage3'), features(hr, 'stage3'), compare))


def test_the_record_says_where_every_number_comes_from(trained: Recipe) -> None:
    results, _ = RecipeReport(trained).results(Told())
    facts = results.facts
    assert facts.recognizers == {'loss': file_hash(trained.weights_of('recognizer', 'r'), 64),
                                 'judge': file_hash(trained.weights_of('judge', 'r'), 64)}
    assert [(data.role, data.identities, data.images, data.pairs) for data in facts.data] == [
        ('train', 2, 2, 0), ('test', 20, 40, 40)]
    assert facts.options['report']['rows']['C-Face-v2'] == 'v2' and facts.seeds == [0]
    shown, = results.faces
    assert len(shown.keys) == 2 and all(list(run.faces) == shown.keys for run in results.runs)


@needs_torchmetrics
def test_how_different_faces_look_is_a_column_where_the_report_asks_for_it(trained: Recipe, tmp_path: Path) -> None:
    torch.save(made_up('lpips'), tmp_path / FILES['lpips'])
    made = recipe(trained.data, perceptual={'lpips': str(tmp_path)})
    results, _ = RecipeReport(made).results(Told())
    hr, sr = (torch.from_numpy(images(made, store, RecipeReport(made).tests[0].faces.keys)).permute(0, 3, 1, 2) / 255
              for store in ('hr.lmdb', 'lr_x8.lmdb'))
    sr = bicubic_resize(sr, 128).clamp(0, 1).mul(255).round() / 255
    numbers = {run.system: run.measured['held-out'].numbers.get('lpips') for run in results.runs}
    assert numbers['Bicubic'] == pytest.approx(PerceptualDistance('lpips', tmp_path)(sr, hr).mean().item(), rel=1e-3)
    assert numbers['HR'] is None and numbers['C-Face-v1'] > 0
    assert results.facts.options['perceptual']['lpips']['lpips'] == file_hash(tmp_path / FILES['lpips'], 64)
    plain, _ = RecipeReport(trained).results(Told())
    for given, expected in ((results, ['min']), (plain, [])):
        for table in (systems_table(given, given.tests()[0]), overview(given, 8)):
            assert [column.best for column in table.columns if column.title == 'LPIPS'] == expected
    marks = [OpenTestSet.fingerprint(RecipeReport(each).tests[0]) for each in (made, trained)]
    assert marks[0] != marks[1]


def test_a_recognizer_that_gives_all_faces_one_feature_is_named() -> None:
    near = {'sr_hr': 0.0, 'sr_compare': 0.0, 'hr_compare': 1e-6}
    apart = {'sr_hr': 0.0, 'sr_compare': 0.4, 'hr_compare': 0.4}  # SR equal to HR is no collapse
    notes = collapse_notes({'after stage 1': apart, 'after stage 3': near})
    assert len(notes) == 1 and notes[0].startswith('**after stage 3: the recognizer has collapsed**')


def test_identities_in_training_and_test_set_are_refused_by_name(tmp_path: Path) -> None:
    write_recognizer(tmp_path / 'r.pth')
    write_small_data(tmp_path / 'train', identities=2, images=1)
    made = recipe(tmp_path, recognizers={'loss': str(tmp_path / 'r.pth'), 'judge': str(tmp_path / 'r.pth')})
    with pytest.raises(UserError, match=r"test' is missing: the report needs identities that were not trained on"):
        RecipeReport(made)
    write_small_data(tmp_path / 'test', identities=3, images=1)
    with pytest.raises(UserError, match="share 2 identities, for example '0000000'"):
        RecipeReport(made)


@pytest.mark.parametrize(('report', 'message'), [
    ({}, r'6 images of 3 identities are too few for 10 folds of 4 pairs .*\n.* Ask for fewer pairs or folds '
         r'\(report\.tests\.held-out\.pairs_per_fold, report\.tests\.held-out\.folds\), or use'),
    ({'recognizers': {'loss': 'nowhere.onnx'}}, "recognizer 'loss': 'nowhere.onnx' is missing"),
    ({'tests': {'held-out': {'pairs': 'nowhere.txt'}}}, 'nowhere.txt'),
    ({'perceptual': {'dists': 'nowhere'}}, "'nowhere/vgg16-397923af.pth' is missing. Expected torchvision's VGG16"),
    ({'perceptual': {'lpip': 'nowhere'}}, "perceptual"),
    ({'tests': {'held-out': None, 'other': {'data': 'nowhere'}}}, "'nowhere' has no hr.lmdb")])
def test_what_the_report_lacks_is_said_before_anything_is_trained(
        tmp_path: Path, report: dict[str, Any], message: str) -> None:
    """The recognizers of the steps are not there yet; those of files must be."""
    write_small_data(tmp_path / 'train', identities=2, images=1)
    write_small_data(tmp_path / 'test', identities=3, images=2, seed=1)
    with pytest.raises(UserError, match=message):
        check_report(recipe(tmp_path, **report))
    assert not (tmp_path / 'run').exists()


def test_a_recognizer_of_the_report_may_be_one_that_comes_with_the_plugin(tmp_path: Path) -> None:
    write_small_data(tmp_path / 'train', identities=2, images=1)
    write_small_data(tmp_path / 'test', identities=20, images=3, seed=1)
    made = recipe(tmp_path, recognizers={'judge': 'dlib'})
    check_report(made)
    made.file.report.recognizers['judge'] = 'dlip'
    with pytest.raises(UserError, match="'judge': 'dlip' is missing"):
        check_report(made)
