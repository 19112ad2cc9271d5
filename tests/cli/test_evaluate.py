import json

import numpy as np
import pytest
from typer.testing import CliRunner

from cface_basicsr.archs.sphereface20_arch import SphereFace20
from cface_basicsr.archs.srresnet_arch import SRResNet
from cface_basicsr.checkpoints import file_hash, save_atomically
from cface_basicsr.cli.main import app
from cface_basicsr.data.store import FaceStore, read_identities
from cface_basicsr.errors import UserError
from cface_basicsr.evaluation.face_systems import evaluate_images
from cface_basicsr.evaluation.verification import make_pairs
from tests.small_data import write_small_data

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
    rows = {row['system']: row['numbers'] for row in content['rows']}
    assert list(rows) == ['HR', 'Bicubic', 'mine']
    assert rows['HR']['psnr'] == 'Infinity' and rows['mine']['psnr'] < rows['Bicubic']['psnr']

    keys, labels = read_identities(folder / 'data')
    store = FaceStore(folder / 'data' / 'hr.lmdb')
    hr = np.stack([store.image(key) for key in keys])
    folded = make_pairs(labels, folds=2, pairs_per_fold=36, seed=3)  # 3 people of 4 images a fold: 18 same pairs
    from cface_basicsr.checkpoints import build_network_from_file
    expected = evaluate_images(hr, hr, folded.pairs, folded.same,
                               {'R': build_network_from_file(folder / 'net_r.pth')}, folds=2, far=.1)
    for key in ('R/accuracy', 'R/accuracy_std', 'R/vr', 'ssim'):
        assert rows['HR'][key] == pytest.approx(expected[key])
    assert content['facts']['pairs'] == 72 and content['facts']['scale'] == 8
    assert content['facts']['weights']['mine']['sha256'] == file_hash(folder / 'net_g.pth', 64)


def test_results_are_saved_in_three_forms_and_not_overwritten(folder, tmp_path):
    out = tmp_path / 'new' / 'x4'
    first = evaluate(folder, '--scale', 4, '--out', out)
    assert first.exit_code == 0 and 'Bicubic' in first.stdout
    assert sorted(path.name for path in out.parent.iterdir()) == ['x4.csv', 'x4.json', 'x4.md']
    assert '| Bicubic |' in (out.parent / 'x4.md').read_text()
    assert '--overwrite' in str(evaluate(folder, '--scale', 4, '--out', out).exception)


@pytest.mark.parametrize('arguments, words', [
    ([], 'one table holds one scale; folder: \\[2, 4, 8\\]'),
    (['--scale', 4, '--weights', '{}/net_g.pth'], 'net_g: x8; --scale 4'),
    (['--scale', 4, '--pairs-per-fold', 38], 'at most 36 pairs a fold'),
    (['--scale', 4, '--weights', 'HR={}/net_g.pth'], "would be called 'HR'"),
    (['--weights', '{}/none.pth'], "none.pth' is missing"),
])
def test_bad_requests_are_refused(folder, arguments, words):
    result = evaluate(folder, *[str(argument).format(folder) for argument in arguments])
    assert isinstance(result.exception, UserError)
    with pytest.raises(UserError, match=words):
        raise result.exception


def test_a_generator_is_no_recognizer_and_a_protocol_has_a_name(folder):
    result = evaluate(folder, '--scale', 4, recognizer='{}/net_g.pth')
    assert 'holds a SRResNet, which is no recognizer' in str(result.exception)
    result = CliRunner().invoke(app, ['evaluate', 'pair', str(folder), '--recognizer', 'x'])
    assert "did you mean 'pairs'?" in str(result.exception)
