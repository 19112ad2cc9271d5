import csv
import json
import shutil

import numpy as np
import pytest
from scipy import stats
from typer.testing import CliRunner

from cface_basicsr import load
from cface_basicsr.archs.bicubic_upsampler_arch import BicubicUpsampler
from cface_basicsr.archs.sphereface20_arch import SphereFace20
from cface_basicsr.archs.srresnet_arch import SRResNet
from cface_basicsr.cli.main import app
from cface_basicsr.data.images.degradations import degraded
from cface_basicsr.errors import UserError
from cface_basicsr.evaluation.face_systems import verification_numbers
from cface_basicsr.evaluation.features import cosine_scores, extract_features
from cface_basicsr.evaluation.identification import draw_galleries
from cface_basicsr.evaluation.listed_search import SURVFACE
from cface_basicsr.evaluation.restoration import psnr_ssim
from cface_basicsr.evaluation.roc import equal_error_rate, roc_curve, tar_at_far
from cface_basicsr.evaluation.super_resolution import super_resolve
from cface_basicsr.evaluation.verification import kfold_accuracy, make_pairs
from cface_basicsr.files.face_store import FaceStore
from cface_basicsr.files.identities import read_identities
from cface_basicsr.files.manifest import file_hash
from cface_basicsr.files.network_file import build_network_from_file, save_atomically
from cface_basicsr.measuring.protocols import PROTOCOLS
from cface_basicsr.measuring.results import load_results
from cface_basicsr.measuring.scface_protocol import ScfaceProtocol
from cface_basicsr.measuring.search_protocol import TinyFaceProtocol
from tests.blufr_file import write_blufr_file
from tests.references import slow_protocols
from tests.small_data import write_small_data
from tests.small_face_trees import write_pairs, write_scface, write_tree

RECOGNIZER = {'input_size': [32, 32], 'num_feat': 4, 'feature_length': 8}
GENERATOR = {'num_feat': 4, 'num_block': 1, 'scale': 8}


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    """A prepared folder of 6 identities, a recognizer and an x8 network."""
    folder = tmp_path_factory.mktemp('evaluate')
    write_small_data(folder / 'data', identities=6, images=4)
    save_atomically({'params': SphereFace20(**RECOGNIZER).state_dict(),
                     'network': {'type': 'SphereFace20', **RECOGNIZER}}, folder / 'net_r.pth')
    save_atomically({'params': SRResNet(**GENERATOR).state_dict(), 'network': {'type': 'SRResNet', **GENERATOR}},
                    folder / 'net_g.pth')
    return folder


def evaluate(folder, *arguments, recognizer='R={}/net_r.pth'):
    return CliRunner().invoke(app, ['evaluate', 'pairs', str(folder / 'data'), '--recognizer',
                                    recognizer.format(folder), '--folds', '2', '--device', 'cpu',
                                    *map(str, arguments)])


def test_the_table_holds_the_numbers_of_the_protocol(folder):
    result = evaluate(folder, '--weights', f'mine={folder}/net_g.pth', '--json', '--far', '.1', '--seed', 3)
    assert result.exit_code == 0, result.output
    content = json.loads(result.stdout)
    rows = numbers_of(content)
    assert list(rows) == content['systems'] == ['HR', 'Bicubic', 'mine']
    assert rows['HR']['psnr'] == 'Infinity' and rows['mine']['psnr'] < rows['Bicubic']['psnr']

    keys, labels = read_identities(folder / 'data')
    store = FaceStore(folder / 'data' / 'hr.lmdb')
    hr = np.stack([store.image(key) for key in keys])
    folded = make_pairs(labels, folds=2, pairs_per_fold=36, seed=3)  # 3 people of 4 images a fold: 18 same pairs
    scores = cosine_scores(extract_features(build_network_from_file(folder / 'net_r.pth'), hr), folded.pairs)
    expected, per_fold = verification_numbers('R', scores, folded.same, 2, .1)
    assert {key: rows['HR'][key] for key in expected} == pytest.approx(expected)
    assert rows['HR']['ssim'] == pytest.approx(1)
    assert rows['HR']['R/eer'] == pytest.approx(equal_error_rate(roc_curve(scores, folded.same)))
    assert [rows['HR'][f'R/tar@{far:g}'] for far in (.1, .01, .001, .0001)] == pytest.approx(
        [rate.rate for rate in tar_at_far(scores, folded.same).values()])
    compared, = content['facts']['data'][0]['compared']
    assert compared['counts'] == {'genuine': 36, 'impostor': 36,
                                  'allowed': {'0.1': 4, '0.01': 0, '0.001': 0, '0.0001': 0}}
    assert content['facts']['options']['switches'] == {'sides': 'both', 'flip': False, 'crop': None, 'template': None,
                                                       'color': 'rgb', 'border': 0}
    assert content['runs'][0]['measured']['data']['per_fold'] == {'R/accuracy': pytest.approx(per_fold)}
    assert compared['settings']['pairs'] == 72 and content['scales'] == [8] and content['made_by'] == 'evaluate'
    assert content['facts']['options']['weights']['mine']['sha256'] == content['runs'][2]['weights_sha256'] == \
        file_hash(folder / 'net_g.pth', 64)
    assert content['facts']['recognizers'] == {'R': file_hash(folder / 'net_r.pth', 64)}


def test_each_degradation_is_a_row_of_every_system_by_its_degraded_images_and_hr_is_measured_once(folder):
    arguments = ['--weights', f'mine={folder}/net_g.pth', '--degrade', 'jpeg', '--degrade', 'noise', '--degrade',
                 'camera', '--no-judge', '--json']
    content = json.loads(evaluate(folder, *arguments).stdout)
    rows = numbers_of(content)
    kinds = ['jpeg 30', 'jpeg 50', 'jpeg 70', 'jpeg 90', 'noise 5', 'noise 10', 'noise 20', 'camera']
    assert list(rows) == ['HR', *(name + kind for name in ('Bicubic', 'mine')
                                  for kind in ('', *(f', {kind}' for kind in kinds)))]
    assert numbers_of(json.loads(evaluate(folder, *arguments).stdout)) == rows  # of features that were kept
    plain = numbers_of(json.loads(evaluate(folder, *arguments[:2], '--no-judge', '--json').stdout))
    assert {name: rows[name] for name in plain} == plain

    keys, labels = read_identities(folder / 'data')
    store = FaceStore(folder / 'data' / 'hr.lmdb')
    hr = np.stack([store.image(key) for key in keys])
    lr = np.stack([degraded(image, 8, [('jpeg', 30)], np.random.default_rng(0)) for image in hr])
    for name, network in (('Bicubic', BicubicUpsampler(scale=8)),
                          ('mine', build_network_from_file(folder / 'net_g.pth'))):
        images = super_resolve(network, lr)
        psnr, _ = psnr_ssim(images.transpose(0, 3, 1, 2), hr.transpose(0, 3, 1, 2), color='rgb', border=0)
        assert rows[f'{name}, jpeg 30']['psnr'] == pytest.approx(psnr.mean().item())
        folded = make_pairs(labels, folds=2, pairs_per_fold=36, seed=0)
        scores = cosine_scores(extract_features(build_network_from_file(folder / 'net_r.pth'), images), folded.pairs)
        expected, _ = verification_numbers('R', scores, folded.same, 2, .01)
        assert {key: rows[f'{name}, jpeg 30'][key] for key in expected} == pytest.approx(expected)
    assert [run['weights_sha256'] for run in content['runs'][-9:]] == [file_hash(folder / 'net_g.pth', 64)] * 9
    assert 'noise: noise of LR, standard deviation in grey levels.' in content['facts']['notes']
    low = numbers_of(json.loads(evaluate(folder, '--scale', 8, '--sides', 'lr', '--degrade', 'shift', '--no-judge',
                                         '--json').stdout))
    assert list(low) == ['HR', 'LR', 'LR, shift 0.5'] and low['LR'] != low['LR, shift 0.5']


def test_results_are_saved_in_three_forms_and_not_overwritten(folder, tmp_path):
    out = tmp_path / 'new' / 'x4'
    first = evaluate(folder, '--scale', 4, '--out', out)
    assert first.exit_code == 0 and 'Bicubic' in first.stdout
    assert sorted(path.name for path in out.parent.iterdir()) == ['x4.csv', 'x4.json', 'x4.md']
    assert '| Bicubic |' in (out.parent / 'x4.md').read_text()
    assert '--overwrite' in str(evaluate(folder, '--scale', 4, '--out', out).exception)


@pytest.mark.parametrize('arguments, words', [
    (['--scale', 4, '--degrade', 'jpg'], "--degrade 'jpg' is unknown; did you mean 'jpeg'"),
    ([], 'a table has one scale; folder: \\[2, 4, 8\\]'),
    (['--scale', 4, '--weights', '{}/net_g.pth'], 'net_g: x8; --scale 4'),
    (['--scale', 4, '--pairs-per-fold', 38],
     'at most 36 pairs per fold.\nAsk for fewer pairs or folds \\(--pairs-per-fold, --folds\\)'),
    (['--scale', 4, '--pairs-per-fold', 3], '--pairs-per-fold: expected an even number'),
    (['--scale', 4, '--weights', 'HR={}/net_g.pth'], "would be called 'HR'"),
    (['--weights', '{}/none.pth'], "none.pth' is missing"),
    (['--scale', 4, '--sides', 'none'], "--sides 'none' is unknown; did you mean 'one'"),
    (['--scale', 4, '--sides', 'lr', '--weights', '{}/net_g.pth'], 'leave out --weights'),
    (['--scale', 4, '--pairs', 'pairs.txt'], "--pairs belongs to the protocol 'lfw'"),
    (['--scale', 4, '--config', 'x.mat'], "--config belongs to the protocol 'blufr or tinyface or survface'"),
    (['--features', '{}/net_g.pth'], 'leave out --recognizer'),
    (['--scale', 4, '--curves'], '--curves writes files: it needs --out'),
    (['--scale', 4, '--color', 'Y'], "--color 'Y' is unknown; valid: rgb, y"),
])
def test_bad_requests_are_refused(folder, arguments, words):
    result = evaluate(folder, *[str(argument).format(folder) for argument in arguments])
    assert isinstance(result.exception, UserError)
    with pytest.raises(UserError, match=words):
        raise result.exception


@pytest.fixture
def led(folder, tmp_path):
    """A generator whose file says that net_r.pth led its loss, and a recognizer that was fine-tuned from that one."""
    mark = file_hash(folder / 'net_r.pth', 64)
    for name, network, more in (('net_g', SRResNet(**GENERATOR), {'led_by': [mark]}),
                                ('tuned', SphereFace20(**RECOGNIZER), {'started_from': [mark]}),
                                ('other', SphereFace20(**RECOGNIZER), {})):
        options = {'type': type(network).__name__, **(GENERATOR if name == 'net_g' else RECOGNIZER)}
        save_atomically({'params': network.state_dict(), 'network': options, **more}, tmp_path / f'{name}.pth')
    shutil.copy(folder / 'net_r.pth', tmp_path / 'copy.pth')
    return tmp_path


@pytest.mark.parametrize(('name', 'marked'), [('copy', True), ('tuned', True), ('other', False)])
def test_a_judge_that_led_the_loss_is_marked_and_strictly_refused(folder, led, name, marked):
    words = ['--weights', f'SR={led}/net_g.pth', '--recognizer', f'judge={led}/{name}.pth']
    table, strict = evaluate(folder, *words), evaluate(folder, *words, '--strict')
    assert table.exit_code == 0
    notes = ' '.join(table.output.split())
    assert 'R led a loss of SR; it is not a judge of it.' in notes
    assert ('judge led a loss of SR; it is not a judge of it. No judge: every recognizer here led a' in notes) == marked
    assert (strict.exit_code == 0) == (not marked)
    assert not marked or str(strict.exception).startswith(
        "--strict: recognizer 'judge' led a loss of SR, so it is not a judge. Name another one")


def test_a_network_that_was_exported_as_onnx_still_says_what_led_its_loss(folder, led):
    pytest.importorskip('onnxruntime')
    load(led / 'net_g.pth').export(led / 'net_g.onnx')
    words = ['--weights', f'SR={led}/net_g.onnx', '--recognizer', f'judge={led}/tuned.pth']
    notes = ' '.join(evaluate(folder, *words).output.split())
    assert 'R led a loss of SR; it is not a judge of it. judge led a loss of SR; it is not a judge of it.' in notes
    assert str(evaluate(folder, *words, '--strict').exception).startswith(
        "--strict: recognizer 'judge' led a loss of SR, so it is not a judge.")


def test_a_generator_is_no_recognizer_and_a_protocol_has_a_name(folder):
    result = evaluate(folder, '--scale', 4, recognizer='{}/net_g.pth')
    assert 'holds a SRResNet, which is not a recognizer' in str(result.exception)
    result = CliRunner().invoke(app, ['evaluate', 'pair', str(folder), '--recognizer', 'dlib'])
    assert "did you mean 'pairs'?" in str(result.exception)


# ------------------------------------------------------------------------------------------------------------ switches

def read(folder):
    """HR and x8 images, the pairs that --folds 2 draws with seed 0, and the recognizer."""
    keys, labels = read_identities(folder / 'data')
    hr, lr = (np.stack([store.image(key) for key in keys]) for store in
              (FaceStore(folder / 'data' / name) for name in ('hr.lmdb', 'lr_x8.lmdb')))
    return hr, lr, make_pairs(labels, folds=2, pairs_per_fold=36, seed=0), build_network_from_file(folder / 'net_r.pth')


def rows_of(result):
    assert result.exit_code == 0, result.output + repr(result.exception)
    return numbers_of(json.loads(result.stdout))


def numbers_of(record):
    return {run['system']: next(iter(run['measured'].values()))['numbers'] for run in record['runs']}


def test_with_one_side_the_first_image_of_a_pair_is_hr(folder):
    rows = rows_of(evaluate(folder, '--weights', f'mine={folder}/net_g.pth', '--sides', 'one', '--json'))
    hr, lr, folded, recognizer = read(folder)
    sr = super_resolve(build_network_from_file(folder / 'net_g.pth'), lr)
    left, right = (extract_features(recognizer, images) for images in (hr, sr))
    scores = [left[a] @ right[b] for a, b in folded.pairs]
    assert rows['mine']['R/accuracy'] == pytest.approx(kfold_accuracy(scores, folded.same, folded.fold).mean)
    assert rows['mine']['R/eer'] == pytest.approx(equal_error_rate(roc_curve(scores, folded.same)))
    assert rows['HR'] == rows_of(evaluate(folder, '--scale', 8, '--json'))['HR']  # HR has HR on both sides


def test_low_resolution_images_go_to_the_recognizer_as_they_are(folder):
    rows = rows_of(evaluate(folder, '--scale', 8, '--sides', 'lr', '--json'))
    assert list(rows) == ['HR', 'LR'] and 'psnr' not in rows['LR']
    _, lr, folded, recognizer = read(folder)
    scores = cosine_scores(extract_features(recognizer, lr), folded.pairs)
    assert rows['LR']['R/eer'] == pytest.approx(equal_error_rate(roc_curve(scores, folded.same)))


def test_each_row_is_shown_on_stderr_so_that_stdout_stays_json(folder, tmp_path):
    for cache in (tmp_path / 'kept', tmp_path / 'kept'):
        result = evaluate(folder, '--weights', f'mine={folder}/net_g.pth', '--cache', cache, '--json')
        rows = rows_of(result)  # of stdout, as JSON
        lines = [line for line in result.stderr.splitlines() if line.startswith('[')]
        assert [line.split(':')[0] for line in lines] == ['[1/3] HR', '[2/3] Bicubic', '[3/3] mine']
        assert f"accuracy % (R) {100 * rows['mine']['R/accuracy']:.2f} ± " in lines[2]
    assert len(list((tmp_path / 'kept').iterdir())) == 6


def test_flip_colour_and_border_are_obeyed_and_printed(folder):
    arguments = ['--weights', f'mine={folder}/net_g.pth', '--flip', '--color', 'y', '--border', 8]
    rows = rows_of(evaluate(folder, *arguments, '--json'))
    hr, lr, folded, recognizer = read(folder)
    sr = super_resolve(build_network_from_file(folder / 'net_g.pth'), lr)
    scores = cosine_scores(extract_features(recognizer, sr, flip=True), folded.pairs)
    assert rows['mine']['R/eer'] == pytest.approx(equal_error_rate(roc_curve(scores, folded.same)))
    psnr, _ = psnr_ssim(sr.transpose(0, 3, 1, 2), hr.transpose(0, 3, 1, 2), color='y', border=8)
    assert rows['mine']['psnr'] == pytest.approx(psnr.mean().item())
    printed = ' '.join(evaluate(folder, *arguments).stdout.split())
    assert 'joined with those of the mirror image' in printed
    assert 'luma (Y), 8 pixels cut off each side' in printed and 'crop not known' in printed


def test_curves_are_saved_as_points_and_as_a_picture(folder, tmp_path):
    result = evaluate(folder, '--scale', 8, '--out', tmp_path / 'x8', '--curves')
    assert result.exit_code == 0, repr(result.exception)
    assert (tmp_path / 'x8.roc.png').read_bytes()[:4] == b'\x89PNG'
    with open(tmp_path / 'x8.roc.csv') as file:
        points = [row for row in csv.DictReader(file) if row['system'] == 'HR']
    hr, _, folded, recognizer = read(folder)
    curve = roc_curve(cosine_scores(extract_features(recognizer, hr), folded.pairs), folded.same)
    assert [float(point['far']) for point in points] == pytest.approx(curve.far.tolist())
    assert [1 - float(point['frr']) for point in points] == pytest.approx(curve.tar.tolist())


# ----------------------------------------------------------------------------------------------- from features, slowly

NAMES = [f'{person}/{person}_{image:04d}' for person in ('Ann', 'Bob', 'Cid', 'Dee', 'Eve', 'Fay')
         for image in range(1, 5)]
LABELS = [number // 4 for number in range(24)]


@pytest.fixture(scope='module')
def lfw(tmp_path_factory):
    """Features of 24 images of six people, with file names as keys, and what the protocols need beside them."""
    folder = tmp_path_factory.mktemp('lfw')
    random = np.random.default_rng(5)
    features = (random.normal(size=(6, 12))[LABELS] + 1.2 * random.normal(size=(24, 12))).astype(np.float32)
    np.save(folder / 'mine.npy', features)
    np.save(folder / 'worse.npy', features + random.normal(size=features.shape).astype(np.float32))
    order = random.permutation(24)
    for name in ('mine', 'worse'):
        np.save(folder / f'{name}.npy', np.load(folder / f'{name}.npy')[order])
        (folder / f'{name}.keys.txt').write_text(''.join(f'{NAMES[row]}.jpg\n' for row in order))
    (folder / 'identities.csv').write_text('key,label,original_name\n' + ''.join(
        f'{key},{label},{key}.jpg\n' for key, label in zip(NAMES, LABELS, strict=True)))
    folded = make_pairs(LABELS, folds=3, pairs_per_fold=20, seed=1)
    (folder / 'pairs.csv').write_text('left,right,same,fold\n' + ''.join(
        f'{NAMES[a]},{NAMES[b]},{int(same)},{fold}\n' for (a, b), same, fold in zip(*folded, strict=True)))
    write_blufr_file(folder / 'blufr.mat', NAMES, LABELS, TRIALS)
    return folder, features, folded


TRIALS = [([0, 4, 8], [1, 2, 5, 6, 9, 10, 12, 13, 16, 17]), ([12, 16, 20], [13, 14, 17, 18, 21, 22, 0, 1, 8, 9])]
"""(gallery, probe): three known people, two others; the sixth is for training."""


def of_features(lfw, protocol, data, *arguments):
    folder = lfw[0]
    result = CliRunner().invoke(app, ['evaluate', protocol, str(folder / data), '--features',
                                      f'{folder}/mine.npy', '--json', *map(str, arguments)])
    assert result.exit_code == 0, result.output + repr(result.exception)
    record = json.loads(result.stdout)
    measured = next(iter(record['runs'][0]['measured'].values()))
    return measured['numbers'], measured['per_fold'], record['facts']


@pytest.mark.parametrize('data', ['pairs.csv', '.'])
def test_lfw_is_that_of_slow_loops_official_and_plain(lfw, data):
    _, features, (pairs, same, fold) = lfw
    numbers, per_fold, _ = of_features(lfw, 'lfw', data)
    official = slow_protocols.official_lfw(features, pairs.tolist(), same.tolist(), fold.tolist())
    plain = slow_protocols.folds_accuracy([slow_protocols.cosine(features[a], features[b]) for a, b in pairs],
                                          same.tolist(), fold.tolist())
    assert per_fold == {'features/official': pytest.approx(official), 'features/accuracy': pytest.approx(plain)}
    assert numbers['features/official_std'] == pytest.approx(np.std(official, ddof=1))


@pytest.mark.parametrize('protocol', ['lfw', 'pairs', 'identification'])
def test_the_caption_says_what_the_features_are(lfw, protocol, tmp_path):
    folder = lfw[0]
    words = ['evaluate', protocol, str(folder / ('identities.csv' if protocol == 'identification' else 'pairs.csv')),
             '--features', f'mine={folder}/mine.npy', '--features', f'{folder}/worse.npy', '--out', str(tmp_path / 'a')]
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 0, result.output + repr(result.exception)
    caption = (tmp_path / 'a.md').read_text()
    assert (f"Features as their files hold them: mine: '{folder}/mine.npy', 12 numbers for each image; worse: "
            f"'{folder}/worse.npy', 12 numbers for each image.") in caption
    assert '24 precomputed features; ' in caption and 'of the image only' not in caption
    assert ('minus the mean of the other folds; plain: cosine of the same features.' in caption) == (protocol == 'lfw')


def test_pairs_of_a_file_and_drawn_ones_are_those_of_slow_loops(lfw):
    _, features, (pairs, same, fold) = lfw
    _, from_file, _ = of_features(lfw, 'pairs', 'pairs.csv')
    drawn, from_draw, facts = of_features(lfw, 'pairs', '.', '--folds', 3, '--pairs-per-fold', 20, '--seed', 1)
    scores = [slow_protocols.cosine(features[a], features[b]) for a, b in pairs]
    plain = slow_protocols.folds_accuracy(scores, same.tolist(), fold.tolist())
    assert from_file == from_draw == {'features/accuracy': pytest.approx(plain)}
    genuine, impostor = ([score for score, y in zip(scores, same, strict=True) if y == kind] for kind in (True, False))
    assert drawn['features/tar@0.1'] == slow_protocols.accept_rate(genuine, impostor, .1)
    assert facts['options']['features']['mine']['sha256'] == file_hash(lfw[0] / 'mine.npy', 64)


def test_identification_is_that_of_a_slow_search(lfw):
    _, features, _ = lfw
    numbers, parts, facts = of_features(lfw, 'identification', 'identities.csv')
    for rank in (1, 5):
        assert numbers[f'features/rank{rank}'] == pytest.approx(slow_protocols.rank_share(features, LABELS, rank))
    assert len(parts['features/rank1']) == 6  # a part a person here, all of four images
    assert np.mean(parts['features/rank1']) == pytest.approx(numbers['features/rank1'])
    settings = facts['data'][0]['compared'][0]['settings']
    assert (settings['probes'], settings['people'], settings['people_with_one_image']) == (24, 6, 0)


def test_open_set_identification_is_that_of_slow_loops_over_its_galleries(lfw):
    _, features, _ = lfw
    numbers, trials, facts = of_features(lfw, 'open-set', 'identities.csv', '--far-identification', .25, '--seed', 3)
    draws = draw_galleries(LABELS, seed=3)
    slow = [slow_protocols.blufr_rates(features, LABELS, list(draw.gallery), list(draw.probe), .1, .25)[1]
            for draw in draws]
    assert trials == {'features/dir': pytest.approx(slow)}
    assert numbers == {'features/dir': pytest.approx(np.mean(slow)),
                       'features/dir_std': pytest.approx(np.std(slow, ddof=1))}
    counts = facts['data'][0]['compared'][0]['counts']
    assert counts == {'genuine_probes': [9] * 10, 'impostor_probes': [12] * 10, 'false_alarms': [3] * 10}


@pytest.mark.parametrize('arguments', [[], ['--config', 'blufr.mat']])
def test_blufr_is_that_of_slow_loops(lfw, arguments):
    folder, features, _ = lfw
    arguments = [folder / word if word.endswith('.mat') else word for word in arguments]
    numbers, trials, facts = of_features(lfw, 'blufr', '.' if arguments else 'blufr.mat', *arguments, '--far', .1,
                                         '--far-identification', .25)
    slow = [slow_protocols.blufr_rates(features, LABELS, gallery, probe, .1, .25) for gallery, probe in TRIALS]
    vr, dir_ = zip(*slow, strict=True)
    assert trials == {'features/vr': pytest.approx(vr), 'features/dir': pytest.approx(dir_)}
    assert numbers['features/vr_mean_minus_std'] == pytest.approx(np.mean(vr) - np.std(vr, ddof=1))
    assert numbers['features/tar@0.1'] == pytest.approx(np.mean(vr))
    errors = []
    for gallery, probe in TRIALS:
        pairs = [(a, b) for a in gallery + probe for b in gallery + probe if a < b]
        curve = roc_curve([slow_protocols.cosine(features[a], features[b]) for a, b in pairs],
                          [LABELS[a] == LABELS[b] for a, b in pairs])
        errors.append(equal_error_rate(curve))
    assert numbers['features/eer'] == pytest.approx(np.mean(errors), abs=1e-3)
    compared, = facts['data'][0]['compared']
    assert compared['shared'] == pytest.approx(4 / 5)  # Ann, Cid, Dee and Eve of five people each
    assert compared['counts']['genuine_probes'] == [6, 6]


def test_images_give_what_their_features_give(folder, tmp_path):
    """LFW and BLUFR from a prepared folder, with the official features: raw, image and mirror image."""
    data = write_small_data(tmp_path / 'data', identities=6, images=4, names=NAMES)
    write_blufr_file(tmp_path / 'blufr.mat', NAMES, LABELS, TRIALS)
    hr = np.stack([FaceStore(data / 'hr.lmdb').image(key) for key in NAMES])
    recognizer = build_network_from_file(folder / 'net_r.pth')
    (tmp_path / 'pairs.txt').write_text('2 3\n' + 'Ann 1 2\nAnn 1 3\nBob 1 2\nAnn 1 Bob 1\nAnn 2 Cid 1\nBob 2 Cid 2\n'
                                        + 'Dee 1 2\nEve 1 3\nFay 1 2\nDee 1 Eve 1\nDee 2 Fay 1\nEve 2 Fay 2\n')
    for name, settings in (('lfw', {'flip': True, 'unit_length': False}), ('blufr', {})):
        np.save(tmp_path / f'{name}.npy', extract_features(recognizer, hr, **settings))
        (tmp_path / f'{name}.keys.txt').write_text('\n'.join(NAMES))
    for protocol, extra in (('lfw', ['--pairs', 'pairs.txt']), ('blufr', ['--config', 'blufr.mat'])):
        extra = [str(tmp_path / word) if '.' in word else word for word in extra]
        start = ['evaluate', protocol, str(data), *extra, '--json']
        images = rows_of(CliRunner().invoke(app, [*start, '--recognizer', f'R={folder}/net_r.pth', '--scale', '8',
                                                  '--device', 'cpu']))
        features = rows_of(CliRunner().invoke(app, [*start, '--features', f'HR={tmp_path}/{protocol}.npy']))
        key = {'lfw': 'official', 'blufr': 'vr'}[protocol]
        assert images['HR'][f'R/{key}'] == pytest.approx(features['HR'][f'features/{key}'])
        assert images['Bicubic']['psnr'] > 10


# ------------------------------------------------------------------------------------------------------------- compare

def saved(lfw, folder, name, *arguments):
    result = CliRunner().invoke(app, ['evaluate', 'lfw', str(lfw[0]), '--features', f'X={lfw[0]}/{name}.npy', '--out',
                                      str(folder / name), *arguments])
    assert result.exit_code == 0, repr(result.exception)
    return folder / f'{name}.json'


def test_two_results_are_compared_fold_by_fold(lfw, tmp_path):
    a, b = saved(lfw, tmp_path, 'worse'), saved(lfw, tmp_path, 'mine')
    result = CliRunner().invoke(app, ['evaluate', '--compare', str(a), str(b), '--json'])
    row = next(row['numbers'] for row in json.loads(result.stdout)['rows']
               if row['system'] == 'X: official (features)')
    per_fold = [load_results(path).runs[0].measured['lfw0'].per_fold['features/official'] for path in (a, b)]
    assert row['difference'] == pytest.approx(np.mean(per_fold[1]) - np.mean(per_fold[0]))
    assert row['p'] == pytest.approx(stats.ttest_rel(*per_fold).pvalue)
    text = CliRunner().invoke(app, ['evaluate', '--compare', str(a), str(b)]).stdout
    assert 'not clear' in text or 'clearly' in text


def test_results_of_other_pairs_are_not_compared(lfw, tmp_path):
    a = saved(lfw, tmp_path, 'mine')
    lines = (lfw[0] / 'pairs.csv').read_text().splitlines()
    (tmp_path / 'fewer.csv').write_text('\n'.join(lines[:-1]))
    b = saved(lfw, tmp_path, 'worse', '--pairs', str(tmp_path / 'fewer.csv'))
    message = str(CliRunner().invoke(app, ['evaluate', '--compare', str(a), str(b)]).exception)
    assert 'different protocols or pairs' in message and len(message.splitlines()) == 3
    for path in (a, b):
        assert load_results(path).tests()[0].compared[0].sha256[:12] in message


def test_help_has_an_example_of_each_protocol_and_nothing_is_asked_for_nothing():
    text = CliRunner().invoke(app, ['evaluate', '--help'], env={'COLUMNS': '200'}).stdout
    for name, kind in PROTOCOLS.items():
        assert f'cface evaluate {name} ' in text and f'{name} ' in text
        assert kind.help.replace('`', '') in text and kind.gives in text
    assert 'cface evaluate --compare ' in text and 'PROTOCOLS' not in text
    assert 'expected PROTOCOL DATA' in str(CliRunner().invoke(app, ['evaluate']).exception)
    assert 'give --recognizer' in str(CliRunner().invoke(app, ['evaluate', 'pairs', 'x']).exception)


# -------------------------------------------------------------------------------------------------------------- report

def test_a_saved_result_is_drawn_again_as_it_was_printed(folder, tmp_path):
    first = evaluate(folder, '--weights', f'mine={folder}/net_g.pth', '--out', tmp_path / 'x8')
    assert first.exit_code == 0, repr(first.exception)
    done = CliRunner().invoke(app, ['report', str(tmp_path / 'x8.json'), '--out', str(tmp_path / 'report')])
    assert done.exit_code == 0, repr(done.exception)
    printed, drawn = (tmp_path / 'x8.md').read_text(), (tmp_path / 'report/tables/systems.md').read_text()
    assert printed.startswith(drawn.rstrip()) and (tmp_path / 'report/tables/rates_1.md').read_text() in printed
    assert (tmp_path / 'report/tables/systems.csv').read_text() == (tmp_path / 'x8.csv').read_text()
    assert drawn.rstrip() in (tmp_path / 'report/report.md').read_text()
    assert '<h1>pairs: data, x8</h1>' in (tmp_path / 'report/report.html').read_text()


# ------------------------------------------------------------------------------- native low-resolution faces

def _rows_by_protocol(folder, data, protocol, *arguments):
    result = CliRunner().invoke(app, ['evaluate', protocol, str(data), '--recognizer', f'R={folder}/net_r.pth',
                                      '--json', '--no-judge', '--device', 'cpu', *map(str, arguments)])
    assert result.exit_code == 0, result.output
    return numbers_of(json.loads(result.stdout)), json.loads(result.stdout)['facts']


def _prepared(tmp_path, layout):
    result = CliRunner().invoke(app, ['prepare', '--layout', layout, str(tmp_path / 'x'), '--out',
                                      str(tmp_path / 'out'), '--crop', 'resize', '--scale', '8', '--workers', '1'])
    assert result.exit_code == 0, result.output
    return tmp_path / 'out'


GALLERY = {f'{who}_{n}.jpg': who for who in range(5) for n in range(2)}
PROBE = {f'{who}_9.jpg': who for who in range(5)}


def test_small_faces_have_rows_lr_bicubic_and_sr_from_the_official_tree(folder, tmp_path):
    tree = write_tree(tmp_path / 'x', GALLERY, PROBE, [f'd{n}.jpg' for n in range(6)])
    data = _prepared(tmp_path, 'tinyface')
    rows, facts = _rows_by_protocol(folder, data, 'tinyface', '--config', tree, '--weights',
                                    f'SR={folder}/net_g.pth')
    assert list(rows) == ['LR', 'Bicubic', 'SR'] and all('psnr' not in numbers for numbers in rows.values())
    assert 'without HR. LR: each image, by bicubic' in facts['notes'][0]
    assert 'not measured here: rank 1 of 76.1 %' in facts['data'][0]['compared'][0]['note']

    keys, _ = read_identities(data)
    network = build_network_from_file(folder / 'net_r.pth')
    for row, store, generator in (('LR', 'hr', None),
                                  ('SR', 'lr_x8', build_network_from_file(folder / 'net_g.pth'))):
        images = np.stack([FaceStore(data / f'{store}.lmdb').image(key) for key in keys])
        images = images if generator is None else super_resolve(generator, images)
        features = extract_features(network, images)
        assert rows[row] == pytest.approx(TinyFaceProtocol(tree, keys).measure('R', features).numbers)
    only, facts = _rows_by_protocol(folder, data, 'tinyface', '--config', tree, '--scale', 8, '--sides', 'lr')
    assert only == {'LR': rows['LR']} and facts['notes'][0].startswith('Switches: all images are LR; features ')
    refused = CliRunner().invoke(app, ['evaluate', 'identification', str(data), '--recognizer',
                                       f'R={folder}/net_r.pth', '--degrade', 'jpeg', '--no-judge'])
    assert '--degrade says how HR is reduced, and these images have no HR: leave it out.' in str(refused.exception)


def test_scface_compares_super_resolved_images_with_mug_shots_as_they_are(folder, tmp_path):
    write_scface(tmp_path / 'x', people=3)
    data = _prepared(tmp_path, 'scface')
    weights = ['--weights', f'SR={folder}/net_g.pth']
    rows, facts = _rows_by_protocol(folder, data, 'scface', *weights, '--far', 0.2)
    assert list(rows) == ['LR', 'Bicubic', 'SR']
    assert facts['notes'][0].startswith('Switches: mug shots, or the first image of a pair, as they are; the others ')
    assert any('--crop resize' in note for note in facts['notes'])
    keys, _ = read_identities(data)
    network, generator = (build_network_from_file(folder / name) for name in ('net_r.pth', 'net_g.pth'))
    mugshots, small = (np.stack([FaceStore(data / f'{store}.lmdb').image(key) for key in keys])
                       for store in ('hr', 'lr_x8'))
    seen = extract_features(network, super_resolve(generator, small))
    protocol = ScfaceProtocol(keys, far=0.2)
    assert rows['SR'] == pytest.approx(protocol.measure('R', extract_features(network, mugshots), seen).numbers)
    both, _ = _rows_by_protocol(folder, data, 'scface', *weights, '--far', 0.2, '--sides', 'both')
    assert both['SR'] == pytest.approx(protocol.measure('R', seen).numbers) and both['LR'] == rows['LR']


def test_survface_searches_and_verifies_one_prepared_folder(folder, tmp_path):
    tree = write_tree(tmp_path / 'x', GALLERY, PROBE, [f'd{n}.jpg' for n in range(9)], SURVFACE)
    write_pairs(tmp_path / 'x' / 'Face_Verification_Test_Set',
                [(f'{n % 5}_0.jpg', f'{n % 5}_1.jpg') for n in range(10)],
                [(f'{n % 5}_0.jpg', f'd{n % 9}.jpg') for n in range(10)])
    data = _prepared(tmp_path, 'survface')
    rows, facts = _rows_by_protocol(folder, data, 'survface', '--config', tree, '--weights',
                                    f'SR={folder}/net_g.pth')
    assert list(rows) == ['LR', 'Bicubic', 'SR']
    assert set(rows['SR']) == {'R/tpir@0.3', 'R/tpir@0.2', 'R/tpir@0.1', 'R/tpir@0.01'}
    assert facts['data'][0]['compared'][0]['settings']['unmated'] == 9
    verified, _ = _rows_by_protocol(folder, data, 'lfw', '--no-flip', '--scale', 8)
    assert list(verified) == ['LR', 'Bicubic'] and 'R/tar@0.1' in verified['LR'] and 'psnr' not in verified['LR']
