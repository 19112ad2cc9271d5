"""The checks of fairness see what is wrong, on files made wrong for the purpose."""

import json
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from cface_basicsr.benchmark import fairness
from cface_basicsr.files.face_store import FaceStore, encode_png
from cface_basicsr.files.manifest import file_hash
from cface_basicsr.files.store_writer import StoreWriter
from cface_basicsr.measuring.results import Check, Measured, Run
from tests.small_data import write_small_data
from tests.tiny_stages import write_recognizer


@pytest.fixture(scope='module')
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp('fair')
    return (write_small_data(folder / 'train', identities=3, images=2),
            write_small_data(folder / 'test', identities=2, images=2, seed=1))


def test_other_people_and_other_pictures_are_disjoint(folders: tuple[Path, Path]) -> None:
    for check in (fairness.disjoint_by_key('t', *folders), fairness.disjoint_by_picture('t', *folders)):
        assert check.outcome == 'holds'
    assert fairness.disjoint_by_key('t', *folders).evidence == '3 and 2 identities, 0 in both'


def test_a_person_in_both_is_found_by_name(folders: tuple[Path, Path]) -> None:
    check = fairness.disjoint_by_key('t', folders[0], folders[0])
    assert check.outcome == 'broken' and '3 in both, for example 0000000' in check.evidence


def test_a_picture_in_both_is_found_whatever_it_is_called(folders: tuple[Path, Path], tmp_path: Path) -> None:
    picture = FaceStore(folders[0] / 'hr.lmdb').image('0000001/001')
    with StoreWriter(tmp_path / 'hr.lmdb') as store:
        store.put('somebody/else', encode_png(picture))
        store.finish()
    check = fairness.disjoint_by_picture('t', folders[0], tmp_path)
    assert check.outcome == 'broken'
    assert '1 in both, for example somebody/else = 0000001/001 of the training set' in check.evidence


def with_manifest(folder: Path, kernel: str = 'bicubic', **settings: Any) -> Path:
    folder.mkdir(parents=True)
    content = {'settings': {'crop': 'center', 'size': 128, 'template': None, **settings}, 'kernel': kernel}
    (folder / 'manifest.json').write_text(json.dumps(content))
    return folder


def test_another_crop_or_kernel_of_the_test_set_is_seen(tmp_path: Path) -> None:
    train = with_manifest(tmp_path / 'train')
    same, crop = with_manifest(tmp_path / 'a'), with_manifest(tmp_path / 'b', crop='align', template='arcface')
    kernel = with_manifest(tmp_path / 'c', kernel='nearest')
    assert fairness.same_setting('crop', train, {'a': same}).outcome == 'holds'
    assert fairness.same_setting('crop', train, {'a': same, 'b': crop}).outcome == 'broken'
    assert fairness.same_setting('kernel', train, {'a': same, 'b': crop}).evidence == 'bicubic'
    assert fairness.same_setting('kernel', train, {'c': kernel}).outcome == 'broken'


def test_without_a_manifest_nothing_is_claimed(tmp_path: Path) -> None:
    train = with_manifest(tmp_path / 'train')
    assert fairness.same_setting('crop', train, {'a': tmp_path}) == Check(
        'training and test faces have the same crop', 'unknown', 'no manifest says how a was made')


def test_recognizers_judge_the_crop_that_they_learnt_or_it_is_said(tmp_path: Path) -> None:
    write_recognizer(tmp_path / 'r.pth')  # of centre crops
    plan = plan_of(tmp_path, {}, {})
    centre, aligned = with_manifest(tmp_path / 'a'), with_manifest(tmp_path / 'b', crop='align', template='arcface')
    (tmp_path / 'bare').mkdir()
    assert fairness.crop_of_recognizers(plan, {'a': centre}).outcome == 'holds'
    wrong = fairness.crop_of_recognizers(plan, {'a': centre, 'b': aligned})
    assert wrong.outcome == 'broken'
    assert "the faces were cropped with --crop align, r was trained on 'center'" in wrong.evidence
    bare = fairness.crop_of_recognizers(plan, {'a': centre, 'c': tmp_path / 'bare'})
    assert (bare.outcome, bare.evidence) == ('unknown', 'no manifest says how c was cut')


@pytest.mark.parametrize(('roots', 'outcome'), [(['hr.lmdb', 'hr.lmdb'], 'holds'),
                                                (['hr.lmdb', 'more.lmdb'], 'broken')])
def test_a_generator_trained_on_other_images_is_seen(tmp_path: Path, roots: list[str], outcome: str) -> None:
    options = {}
    for place, root in enumerate(roots):
        (tmp_path / root).mkdir(exist_ok=True)
        (tmp_path / root / 'meta_info.txt').write_text('a.png (128,128,3) 1\n')
        train = {'dataroot_gt': str(tmp_path / root), 'io_backend': {'type': 'lmdb'}}
        options[f'step{place}'] = {'network_g': {}, 'datasets': {'train': train}}
    recipe = SimpleNamespace(compose=options.get, trainings=options)
    assert fairness.same_training_set(SimpleNamespace(runs=[SimpleNamespace(recipe=recipe)])).outcome == outcome


def plan_of(folder: Path, weights: dict[str, dict[str, str]], rows: dict[str, str]) -> Any:
    """As much of a plan as the checks look at."""
    steps = {name: SimpleNamespace(weights=handed) for name, handed in weights.items()}
    run = SimpleNamespace(recipe=SimpleNamespace(trainings=steps),
                          rows=[SimpleNamespace(title=title, step=step) for title, step in rows.items()])
    file = SimpleNamespace(recognizers={'r': 'who'}, seeds=[0, 1], scales=[8])
    return SimpleNamespace(runs=[run], file=file, recognizer_file=lambda who: folder / 'r.pth')


def test_an_unequal_budget_is_seen_but_for_the_first_phase_of_a_later_row(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, {'psnr': {}, 'gan': {'network_g': 'psnr'}, 'edsr': {}},
                   {'E (PSNR)': 'psnr', 'E': 'gan', 'EDSR': 'edsr'})
    runs = [Run('E (PSNR)', 8, 0, images_g=70), Run('E', 8, 0, images_g=100), Run('EDSR', 8, 0, images_g=100)]
    check = fairness.same_images(plan, runs)
    assert check.outcome == 'holds'
    assert check.evidence == '100 images through each generator; first phases of later rows: E (PSNR) 70'
    assert fairness.same_images(plan, [*runs[:2], Run('EDSR', 8, 0, images_g=90)]).outcome == 'broken'
    seeds = [Run('EDSR', 8, seed, images_g=images) for seed, images in ((0, 90), (1, 100))]
    assert fairness.same_images(plan, [*runs[:2], *seeds]).outcome == 'broken'  # the short seed is not the last
    failed = Run('EDSR', 8, 0, images_g=90, status='failed')
    assert fairness.same_images(plan, [*runs[:2], failed]).outcome == 'holds'


def test_a_recognizer_that_was_exchanged_is_seen(tmp_path: Path) -> None:
    (tmp_path / 'r.pth').write_bytes(b'one')
    plan = plan_of(tmp_path, {}, {})
    marks = {'r': file_hash(tmp_path / 'r.pth', 64)}
    runs = [Run('EDSR', 8, 0, measured={'t': Measured(per_fold={'r/accuracy': [1.0]})})]
    assert fairness.same_recognizers(plan, runs, marks).outcome == 'holds'
    other = [*runs, Run('VDSR', 8, 0, measured={'t': Measured(per_fold={'s/accuracy': [1.0]})})]
    assert 'others measured VDSR' in fairness.same_recognizers(plan, other, marks).evidence
    (tmp_path / 'r.pth').write_bytes(b'two')
    assert fairness.same_recognizers(plan, runs, marks).outcome == 'broken'
    shutil.rmtree(tmp_path)


def test_a_system_that_lacks_a_seed_is_named(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, {}, {})
    both = [Run('EDSR', 8, seed) for seed in (0, 1)]
    assert fairness.same_seeds(plan, both).outcome == 'holds'
    check = fairness.same_seeds(plan, [*both, Run('VDSR', 8, 0), Run('VDSR', 8, 1, status='failed')])
    assert check.outcome == 'broken' and check.evidence.endswith('not all of them finished: VDSR')
