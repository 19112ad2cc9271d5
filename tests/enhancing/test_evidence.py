"""What a judge says of faces, with a recognizer whose features are the pixels of a small copy."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from cface_basicsr.cli.main import app
from cface_basicsr.data.images.align import template_points, warp_face
from cface_basicsr.data.images.low_resolution import low_resolution
from cface_basicsr.enhancing import reference
from cface_basicsr.enhancing.detector import DetectedFace
from cface_basicsr.enhancing.evidence import Judge, false_accept_rate, table_for
from cface_basicsr.enhancing.impostors import _small_faces, card_evidence, impostor_scores, impostor_table
from cface_basicsr.enhancing.networks import card_tables, check_not_led, open_enhancers
from cface_basicsr.enhancing.photo import PhotoSettings, enhance_photo, super_resolved
from cface_basicsr.enhancing.placing import face_points
from cface_basicsr.enhancing.reference import reference_faces
from cface_basicsr.errors import UserError
from cface_basicsr.files.recognizer_file import recognizer_hash
from cface_basicsr.ops.recognizer_input import RecognizerInput
from cface_basicsr.ops.resize import bicubic_resize
from cface_basicsr.zoo import catalogue
from tests.small_data import smooth_images, write_small_data
from tests.zoo.made_up_networks import write_generator, write_zoo


class SmallCopy(torch.nn.Module):
    """Features: the 8x8 copy of a face around its middle grey."""

    input_spec = RecognizerInput(8, 8, 'rgb', 127.5, 128.0, 'arcface')
    feature_length = 192

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return images.flatten(1)


def network(images: torch.Tensor) -> torch.Tensor:
    """Bicubic with stronger contrast."""
    return bicubic_resize(images, (128, 128)) * 1.5 - 0.25


HR = smooth_images(6, seed=1, size=128)


def test_similarities_are_those_to_the_nearest_photo_of_the_person() -> None:
    judge = Judge(SmallCopy(), HR[:2])
    (first, last) = judge.look(HR[[1, 3]], HR[[2, 0]], 8, [16, 16])
    near = [max(literal_cosine(HR[face], HR[photo]) for photo in (0, 1)) for face in (1, 2, 3, 0)]
    assert (first.similarity, first.bicubic) == pytest.approx((near[0], near[1]), abs=1e-5)
    assert (last.similarity, last.bicubic) == pytest.approx((near[2], near[3]), abs=1e-5)
    assert near[0] == pytest.approx(1) and not first.bicubic_is_nearer and last.bicubic_is_nearer
    assert 'bicubic is nearer to the reference: similarity 1.000' in last.words()
    assert last.as_plain()['nearer'] == 'bicubic'


def literal_cosine(a: np.ndarray, b: np.ndarray) -> float:
    """Pixel by pixel, of the small copies."""
    with torch.inference_mode():
        x, y = (bicubic_resize(torch.from_numpy(face.transpose(2, 0, 1).copy())[None].float() / 255, (8, 8))
                for face in (a, b))
    product = squares_x = squares_y = 0.0
    for p, q in zip(x.flatten().tolist(), y.flatten().tolist(), strict=True):
        p, q = (255 * value - 127.5 for value in (p, q))
        product, squares_x, squares_y = product + p * q, squares_x + p * p, squares_y + q * q
    return product / (squares_x * squares_y) ** 0.5


def test_without_photos_of_the_person_there_is_a_change_and_no_verdict() -> None:
    (same, other) = Judge(SmallCopy()).look(HR[:2], HR[[0, 2]], 8, [16, 16])
    assert same.change == pytest.approx(0, abs=1e-5)
    assert other.change == pytest.approx(1 - literal_cosine(HR[1], HR[2]), abs=1e-5)
    assert other.words() == f'change from bicubic {other.change:.3f}'
    assert set(other.as_plain()) == {'change_from_bicubic', 'words'} and not other.bicubic_is_nearer


def test_a_rate_is_never_below_the_literal_one_and_untold_below_ten_pairs() -> None:
    scores = np.random.default_rng(0).normal(0.1, 0.15, 5000)
    table = impostor_table(scores)
    assert len(table) < 60 and table[-1] == [-1.0, 5000]
    told = 0
    for score in np.linspace(-0.6, 0.8, 300):
        count = sum(1 for each in scores if each >= score)
        rate = false_accept_rate(score, table)
        if rate is None:
            assert count <= 10
        else:
            told += 1
            assert count >= 9  # scores are rounded to four digits
            assert count <= 5000 * rate <= max(1.16 * count + 3, 12)
            assert false_accept_rate(score, table, photos=3) == pytest.approx(min(1, 3 * rate))
    assert told > 100


def test_a_table_is_used_for_faces_of_about_its_height_only() -> None:
    tables = {16.0: [(0.5, 10)], 24.0: [(0.4, 10)]}
    assert [table_for(height, tables) for height in (13, 19, 20, 30)] == [tables[16.0], tables[16.0], tables[24.0],
                                                                          tables[24.0]]
    assert table_for(12.7, tables) is None and table_for(30.1, tables) is None and table_for(16, {}) is None


def test_the_verdict_says_the_rate_or_why_there_is_none() -> None:
    table = [(0.999999, 10), (-1.0, 10_000)]
    judge = Judge(SmallCopy(), HR[:1], {8: {16: table}})
    enhanced = judge.look(HR[[1, 0, 1]], HR[[2, 2, 2]], 8, [16, 16, 40])
    assert enhanced[0].far == 1 and enhanced[0].pairs == 10_000
    judge = Judge(SmallCopy(), HR[:1], {8: {16: [(0.5, 10), (-1.0, 10_000)]}})
    (same,) = judge.look(HR[:1], HR[1:2], 8, [16])
    assert same.far is None and 'fewer than 10 of 10,000 pairs of different people are as similar' in same.words()
    assert enhanced[2].unknown == "the network's card has no impostor scores for faces of 40 pixels"


def test_impostor_scores_are_those_of_a_literal_loop_over_pairs_of_different_people() -> None:
    labels, judge, expected = [0, 0, 1, 1, 2, 2], Judge(SmallCopy()), []
    for i, first in enumerate(HR):
        sr = super_resolved(low_resolution(first[None], 8), network, 8, PhotoSettings())[1][0]
        expected += [literal_cosine(sr, second) for j, second in enumerate(HR) if labels[i] != labels[j]]
    found = impostor_scores(network, 8, HR, labels, 16, judge)
    assert len(found) == 24
    assert np.sort(found) == pytest.approx(np.sort(expected), abs=1e-5)


def test_faces_of_another_height_are_reduced_to_it_before_they_are_brought_to_the_networks_input() -> None:
    """Against Pillow's bicubic filter, up to the rounding of both."""
    found = _small_faces(HR, 12, 12)
    for face, small in zip(HR, found, strict=True):
        expected = np.asarray(Image.fromarray(face).resize((12, 12), Image.Resampling.BICUBIC))
        assert np.abs(expected.astype(int) - small).max() <= 2
    larger = _small_faces(HR, 12, 16)
    assert larger.shape == (6, 16, 16, 3)
    middle = np.asarray(Image.fromarray(found[0]).resize((16, 16), Image.Resampling.BICUBIC))[4:12, 4:12]
    assert np.abs(middle.astype(int) - larger[0, 4:12, 4:12]).mean() < 3


def test_a_network_of_another_template_is_given_faces_of_that_and_judged_where_the_judge_expects_them() -> None:
    (small,) = _small_faces(HR[:1], 16, 16, 'dlib')
    points = [face_points(template, 16) for template in ('arcface', 'dlib')]
    assert (small == warp_face(low_resolution(HR[:1], 8)[0], *points, 16)).all()
    labels, judge = np.arange(6) % 2, Judge(SmallCopy())
    usual, other = (impostor_scores(network, 8, HR, labels, 16, judge, template) for template in ('arcface', 'dlib'))
    assert usual.shape == other.shape and 0 < np.abs(usual - other).mean() < 0.1


def test_too_few_pairs_make_no_table() -> None:
    with pytest.raises(UserError, match='expected at least 10 pairs of different people, got 9'):
        impostor_table(np.zeros(9))


def test_a_cards_evidence_comes_from_a_folder_of_aligned_faces_at_three_heights(tmp_path: Path,
                                                                               monkeypatch: pytest.MonkeyPatch) -> None:
    folder, judge = write_small_data(tmp_path / 'data', identities=3, images=4, seed=1), Judge(SmallCopy())
    with pytest.raises(UserError, match="data' has faces of --crop unknown; a judge needs those of --crop align"):
        card_evidence(network, 8, folder)
    monkeypatch.setattr('cface_basicsr.enhancing.impostors.manifest_settings', lambda folder: {'crop': 'align'})
    monkeypatch.setattr('cface_basicsr.enhancing.impostors.load_judge', lambda device: judge)
    found = card_evidence(network, 8, folder)
    assert found['judge'] == 'dlib' and list(found['impostor_scores']) == [12, 16, 20]
    scores = impostor_scores(network, 8, smooth_images(12, 1), np.arange(12) // 4, 20, judge)
    assert found['impostor_scores'][20] == impostor_table(scores) and len(scores) == 96
    assert card_evidence(network, 8, folder, [16], faces=6)['impostor_scores'][16][-1][1] == 6 * 6 - 3 * 4


def photo_with_a_face() -> tuple[np.ndarray, object]:
    """uint8 (90, 120, 3), and a detector that sees one face of 20 pixels."""
    photo = np.random.default_rng(1).integers(60, 120, (90, 120, 3)).astype(np.uint8)
    points = template_points('arcface', 128) * 20 / 128 + [30, 40]
    row = np.concatenate([[30, 40, 50, 60, 0.99], points.ravel()]).astype(np.float32)
    return photo, lambda picture, sure: row[None] if picture.shape[:2] == (90, 120) else np.zeros((0, 15), np.float32)


def darkened(images: torch.Tensor) -> torch.Tensor:
    """Another face than the bicubic one."""
    return 1 - bicubic_resize(images, (128, 128))


def test_keep_puts_the_bicubic_face_back_where_it_is_nearer_and_warn_the_enhanced_one() -> None:
    photo, detect = photo_with_a_face()
    plain = PhotoSettings(keep_colours=False)
    person = enhance_photo(photo, darkened, 4, plain, detect).faces[0].bicubic
    judge = Judge(SmallCopy(), person[None])
    kept, warned = (enhance_photo(photo, darkened, 4, PhotoSettings(keep_colours=False, judge=judge, gate=gate), detect)
                    for gate in ('keep', 'warn'))
    unjudged = enhance_photo(photo, darkened, 4, plain, detect)
    assert (warned.image == unjudged.image).all() and not warned.faces[0].kept
    assert warned.faces[0].evidence.bicubic_is_nearer and kept.faces[0].as_plain()['kept'] is True
    inside = np.s_[45:55, 35:45]
    away = [np.abs(each.image[inside].astype(int) - photo[inside]).mean() for each in (kept, warned)]
    assert away[0] < away[1] / 2
    other = Judge(SmallCopy(), 255 - person[None])
    assert not enhance_photo(photo, darkened, 4, PhotoSettings(keep_colours=False, judge=other, gate='keep'),
                             detect).faces[0].kept


def test_reference_photos_are_aligned_by_the_landmarks_of_their_one_face(tmp_path: Path,
                                                                        monkeypatch: pytest.MonkeyPatch) -> None:
    Image.fromarray(HR[0]).save(tmp_path / 'a.png')
    Image.fromarray(np.pad(HR[1], ((0, 0), (64, 64), (0, 0)))).save(tmp_path / 'b.png')
    points = template_points('arcface', 128)

    def found(photo: np.ndarray, detect: object, scales: list[float]) -> list[DetectedFace]:
        assert scales == [1.0]
        left = (photo.shape[1] - 128) // 2
        bystander = DetectedFace(np.array([0, 0, 30, 30.0]), 0.9, points / 4)
        return [DetectedFace(np.array([left, 0, left + 128, 128.0]), 0.9, points + [left, 0]), bystander]

    monkeypatch.setattr(reference, 'detect_faces', found)
    assert np.abs(reference_faces([tmp_path]).astype(int) - HR[:2]).max() <= 1


@pytest.mark.parametrize(('heights', 'message'), [([], 'it shows no face'), ([90, 80], 'it shows 2 people. Cut the'),
                                                  ([40], 'its face is 40 pixels high; expected 64 or more')])
def test_a_photo_that_does_not_show_one_person_well_is_no_reference(heights: list[int], message: str, tmp_path: Path,
                                                                    monkeypatch: pytest.MonkeyPatch) -> None:
    Image.fromarray(HR[0]).save(tmp_path / 'a.png')
    faces = [DetectedFace(np.array([0, 0, height, height], float), 0.9, template_points('arcface', height))
             for height in heights]
    monkeypatch.setattr(reference, 'detect_faces', lambda *any: faces)
    with pytest.raises(UserError, match=f"a.png' does not serve as a reference: {message}"):
        reference_faces([tmp_path / 'a.png'])


@pytest.fixture
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    """An empty folder of the package and one of the user, instead of the real ones."""
    monkeypatch.setenv('CFACE_HOME', str(tmp_path / 'home'))
    monkeypatch.setattr(catalogue, 'SHIPPED_NETWORKS', tmp_path / 'package')
    monkeypatch.setattr('cface_basicsr.enhancing.request.SHIPPED_NETWORKS', tmp_path / 'package')
    return tmp_path / 'package', tmp_path / 'home' / 'networks'


def test_auto_takes_one_network_of_each_scale_and_a_users_own_before_the_packages(folders: tuple[Path, Path]) -> None:
    package, own = folders
    with pytest.raises(UserError, match='a network is missing: none is installed. Get one: cface models get NAME'):
        open_enhancers('auto')
    table = {'judge': 'dlib', 'impostor_scores': {16: [[0.4, 10], [-1.0, 200]]}}
    for folder, name, scale in ((package, 'b-x8', 8), (package, 'a-x4', 4), (own, 'z-x8', 8), (own, 'y-x8', 8)):
        write_zoo(folder, name, scale, evidence=table if name == 'y-x8' else None)
    found = open_enhancers('auto')
    assert {scale: each.name for scale, each in found.items()} == {4: 'a-x4', 8: 'y-x8'}
    assert found[8].tables == {16.0: [(0.4, 10), (-1.0, 200)]} and found[4].tables == {}
    assert {each.about[-20:] for each in found.values()} == {' Licence: Apache-2.0'}
    (named,) = open_enhancers('b-x8').values()
    assert (named.name, named.scale, named.tables) == ('b-x8', 8, {})
    (by_path,) = open_enhancers(own / 'y-x8.safetensors').values()
    assert by_path.tables == found[8].tables


def test_a_file_without_a_card_has_no_tables(tmp_path: Path) -> None:
    (opened,) = open_enhancers(write_generator(tmp_path / 'net_g.pth')).values()
    assert (opened.scale, opened.tables) == (8, {})


@pytest.mark.parametrize('rows', [[], [[0.4, 10], [0.5, 20]], [[0.5, 20], [0.4, 10]], ['ab'], 7])
def test_a_table_that_is_not_one_is_refused(rows: object, folders: tuple[Path, Path]) -> None:
    made = write_zoo(folders[0], evidence={'judge': 'dlib', 'impostor_scores': {16: rows}})
    with pytest.raises(UserError, match="card 'tiny-x8': evidence.impostor_scores"):
        card_tables(made.card)


def test_the_judge_is_loaded_only_when_it_is_asked_for(tmp_path: Path) -> None:
    weights = write_generator(tmp_path / 'net_g.pth')
    Image.fromarray(np.full((120, 150, 3), 127, np.uint8)).save(tmp_path / 'photo.png')
    words = ['enhance', str(tmp_path / 'photo.png'), '--weights', str(weights), '--out', str(tmp_path / 'out')]
    code = f"""
import sys
from typer.testing import CliRunner
from cface_basicsr.cli.main import app
seen = []
for more in ([], ['--evidence']):
    result = CliRunner().invoke(app, {words!r} + more)
    assert result.exit_code == 1 and 'shows no face' in result.stderr, result.output
    seen.append('cface_basicsr.recognizers.load' in sys.modules)
print(seen)
"""
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, check=False)
    assert done.stdout.strip() == '[False, True]', done.stderr


def test_dlib_judges_no_network_of_which_it_led_a_loss_by_its_file_or_its_card(tmp_path: Path) -> None:
    mark = recognizer_hash('dlib', 64)
    led = open_enhancers(write_generator(tmp_path / 'led.pth', led_by=['f' * 64, mark]))
    card = open_enhancers(write_zoo(tmp_path / 'a', recognizer="MobileFaceNet and dlib's").path)
    for enhancers, name in ((led, 'led.pth'), (card, 'tiny-x8')):
        with pytest.raises(UserError, match=f"dlib's recognizer led a loss of '.*{name}.*', so it is not a judge"):
            check_not_led(enhancers.values())
    fair = open_enhancers(write_generator(tmp_path / 'fair.pth', led_by=['f' * 64]))
    check_not_led([*fair.values(), *open_enhancers(write_zoo(tmp_path / 'b').path).values()])
    Image.fromarray(np.full((120, 150, 3), 127, np.uint8)).save(tmp_path / 'photo.png')
    words = ['enhance', str(tmp_path / 'photo.png'), '--weights', str(tmp_path / 'led.pth'), '--out',
             str(tmp_path / 'out')]
    assert "dlib's recognizer led a loss of" in str(CliRunner().invoke(app, [*words, '--evidence']).exception)
    assert 'shows no face' in CliRunner().invoke(app, words).stderr
