"""Rows of other software: finished pictures are measured like the network that could have made them, and ONNX files."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from PIL import Image
from typer.testing import CliRunner, Result

from cface_basicsr.cli.main import app
from cface_basicsr.errors import UserError
from cface_basicsr.evaluation.restoration import psnr_ssim
from cface_basicsr.files.face_store import FaceStore
from cface_basicsr.files.manifest import file_hash
from cface_basicsr.files.network_file import build_network, save_atomically
from cface_basicsr.measuring.finished_images import FinishedImages
from tests.small_data import smooth_images, write_small_data
from tests.tiny_stages import write_recognizer

TINY = {'type': 'SRResNet', 'scale': 8, 'num_feat': 4, 'num_block': 1}


def call(*words: object) -> Result:
    return CliRunner().invoke(app, [str(word) for word in words], catch_exceptions=False)


def numbers(record: dict[str, Any]) -> dict[str, dict[str, float]]:
    """System -> its numbers."""
    return {run['system']: next(iter(run['measured'].values()))['numbers'] for run in record['runs']}


def test_pictures_have_the_numbers_of_the_network_that_made_them(tmp_path: Path) -> None:
    data = write_small_data(tmp_path / 'data', identities=4, images=3)
    save_atomically({'params': build_network(TINY).state_dict(), 'network': TINY}, tmp_path / 'net_g.pth')
    call('generate', data, '--weights', tmp_path / 'net_g.pth')
    call('unpack', data / f'sr_x8_{file_hash(tmp_path / "net_g.pth")}.lmdb', '--out', tmp_path / 'finished')
    record = json.loads(call(
        'evaluate', 'pairs', data, '--recognizer', write_recognizer(tmp_path / 'net_r.pth'), '--folds', 2,
        '--pairs-per-fold', 4, '--weights', f'network={tmp_path / "net_g.pth"}', '--images',
        f'pictures={tmp_path / "finished"}', '--no-judge', '--json').stdout)
    found = numbers(record)
    assert list(found) == ['HR', 'Bicubic', 'network', 'pictures']
    assert found['pictures'] == pytest.approx(found['network'], abs=1e-5)  # another batch may round a pixel otherwise
    assert found['pictures']['psnr'] != pytest.approx(found['Bicubic']['psnr'], abs=1)
    run = record['runs'][-1]
    assert run['weights_sha256'] == record['facts']['options']['images']['pictures']['sha256'] != ''


def pictures(folder: Path, *names: str, size: int = 16) -> Path:
    for number, name in enumerate(names):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(smooth_images(1, seed=number, size=size)[0]).save(folder / name)
    return folder


def test_a_picture_is_found_by_its_key_also_under_the_name_that_basicsr_gives_it(tmp_path: Path) -> None:
    folder = pictures(tmp_path / 'out', 'bob__0.png', 'ann/0.png', 'other/9.png')
    stack = FinishedImages(folder, ['ann/0', 'bob/0']).stack(['bob/0', 'ann/0'], (16, 16))
    assert np.array_equal(stack, np.stack([smooth_images(1, seed=number, size=16)[0] for number in (0, 1)]))


def test_other_pictures_give_another_hash(tmp_path: Path) -> None:
    hashes = {FinishedImages(pictures(tmp_path / str(size), 'ann/0.png', size=size), ['ann/0']).sha256
              for size in (8, 16)}
    assert len(hashes) == 2


def test_what_is_missing_or_of_another_size_is_named(tmp_path: Path) -> None:
    folder = pictures(tmp_path / 'out', 'ann/0.png')
    with pytest.raises(UserError, match='has no picture for 1 of 2 images: bob/0.\nName them'):
        FinishedImages(folder, ['ann/0', 'bob/0'])
    with pytest.raises(UserError, match="ann/0.png' is 16x16, the original 128x128"):
        FinishedImages(folder, ['ann/0']).stack(['ann/0'], (128, 128))
    with pytest.raises(UserError, match="--images: the folder '.*none' is missing"):
        FinishedImages(tmp_path / 'none', ['ann/0'])


@pytest.mark.parametrize(('words', 'message'), [
    (['--recognizer', 'dlib', '--sides', 'lr', '--images', 'x=y'], 'leave out --weights and --images'),
    (['--recognizer', 'dlib', '--images', 'x=y', '--images', 'x=z'], "would be called 'x'"),
    (['--recognizer', 'dlib', '--images', 'HR=y'], "would be called 'HR'")])
def test_requests_that_contradict_themselves_are_refused(words: list[str], message: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=message):
        call('evaluate', 'pairs', tmp_path, *words)


def write_resize(path: Path, scale: int) -> Path:
    """An ONNX file that repeats each pixel: (B, 3, h, w) to (B, 3, scale h, scale w)."""
    sides = ['batch', 3, 'height', 'width']
    graph = helper.make_graph(
        [helper.make_node('Resize', ['faces', '', 'scales'], ['out'], mode='nearest',
                          coordinate_transformation_mode='asymmetric', nearest_mode='floor')], 'repeat',
        [helper.make_tensor_value_info('faces', TensorProto.FLOAT, sides)],
        [helper.make_tensor_value_info('out', TensorProto.FLOAT, ['batch', 3, 'tall', 'wide'])],
        [helper.make_tensor('scales', TensorProto.FLOAT, [4], [1.0, 1.0, scale, scale])])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid('', 13)], ir_version=8), path)
    return path


def test_a_network_in_an_onnx_file_is_a_row_with_the_numbers_of_what_it_computes(tmp_path: Path) -> None:
    data = write_small_data(tmp_path / 'data', identities=4, images=3)
    hr, lr = FaceStore(data / 'hr.lmdb'), FaceStore(data / 'lr_x8.lmdb')
    expected = psnr_ssim(*(np.stack(each).transpose(0, 3, 1, 2) for each in (
        [image.repeat(8, 0).repeat(8, 1) for image in lr.images()], list(hr.images()))))
    found = numbers(json.loads(call(
        'evaluate', 'pairs', data, '--recognizer', write_recognizer(tmp_path / 'net_r.pth'), '--folds', 2,
        '--pairs-per-fold', 4, '--weights', f'Repeat={write_resize(tmp_path / "repeat.onnx", 8)}', '--no-judge',
        '--json').stdout))
    psnr, ssim = (each.mean().item() for each in expected)
    assert (found['Repeat']['psnr'], found['Repeat']['ssim']) == pytest.approx((psnr, ssim))
