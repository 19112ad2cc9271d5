"""The store of stage 2: the network's rounded results, and how it continues after a stop."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from cface_basicsr.data.images.image_tensor import image_tensor
from cface_basicsr.data.super_resolved_store import write_super_resolved_store
from cface_basicsr.errors import UserError
from cface_basicsr.files.atomic import unfinished
from cface_basicsr.files.face_store import FaceStore, encode_png, store_sha256
from cface_basicsr.files.store_writer import StoreWriter


class Enlarge(nn.Module):
    """Repeats each pixel; makes values outside 0..1 and between two 8-bit numbers."""

    def __init__(self, add: float = 0.3 / 255) -> None:
        super().__init__()
        self.add, self.batches = nn.Parameter(torch.tensor(add)), []

    def forward(self, x: Tensor) -> Tensor:
        assert not self.training
        self.batches.append(len(x))
        return x.repeat_interleave(2, 2).repeat_interleave(2, 3) + self.add


@pytest.fixture
def lr(tmp_path: Path) -> Path:
    with StoreWriter(tmp_path / 'lr_x2.lmdb') as writer:
        for number in range(7):
            image = np.random.default_rng(number).integers(0, 256, (8, 8, 3), np.uint8)
            writer.put(f'p/{number}', encode_png(image))
        writer.finish()
    return tmp_path / 'lr_x2.lmdb'


@pytest.mark.parametrize(('add', 'change'), [(0.3 / 255, 0), (0.7 / 255, 1), (-2.6 / 255, -3)])
def test_pictures_are_clamped_and_rounded_to_8_bit(lr: Path, tmp_path: Path, add: float, change: int) -> None:
    out = write_super_resolved_store(Enlarge(add), lr, tmp_path / 'sr.lmdb', batch_size=3)
    sr, small = FaceStore(out), FaceStore(lr)
    assert sr.keys == small.keys
    for key in sr.keys:
        expected = np.clip(small.image(key).astype(int).repeat(2, 0).repeat(2, 1) + change, 0, 255)
        assert np.array_equal(sr.image(key), expected)


def test_the_store_records_its_origin(lr: Path, tmp_path: Path) -> None:
    out = write_super_resolved_store(Enlarge(), lr, tmp_path / 'sr.lmdb', manifest={'generator_sha256': 'abc'})
    manifest = json.loads((out / 'manifest.json').read_text())
    assert manifest['generator_sha256'] == 'abc' and manifest['images'] == 7
    assert manifest['sha256'] == store_sha256(out)


def test_a_stopped_run_continues_with_the_same_batches(lr: Path, tmp_path: Path,
                                                       monkeypatch: pytest.MonkeyPatch) -> None:
    from cface_basicsr.data import super_resolved_store
    monkeypatch.setattr(super_resolved_store, '_COMMIT_EVERY', 1)

    def stop(done: int, total: int) -> None:
        if done == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_super_resolved_store(Enlarge(), lr, tmp_path / 'sr.lmdb', batch_size=2, progress=stop)
    assert not (tmp_path / 'sr.lmdb').exists() and unfinished(tmp_path / 'sr.lmdb').is_dir()
    network = Enlarge()
    write_super_resolved_store(network, lr, tmp_path / 'sr.lmdb', batch_size=2)
    assert network.batches == [2, 1]
    whole = write_super_resolved_store(Enlarge(), lr, tmp_path / 'whole.lmdb', batch_size=2)
    assert store_sha256(tmp_path / 'sr.lmdb') == store_sha256(whole)


def test_a_finished_store_is_left_as_it_is_and_that_of_another_generator_refused(lr: Path, tmp_path: Path) -> None:
    out, network = tmp_path / 'sr.lmdb', Enlarge()
    write_super_resolved_store(network, lr, out, manifest={'generator_sha256': 'abc'})
    write_super_resolved_store(network, lr, out, manifest={'generator_sha256': 'abc'})
    assert network.batches == [7]
    with pytest.raises(UserError, match="generator_sha256 = 'abc';\nnow it is to have generator_sha256 = 'xyz'"):
        write_super_resolved_store(network, lr, out, manifest={'generator_sha256': 'xyz'})


def test_a_diverged_network_is_refused_and_the_first_key_named(lr: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="NaN or infinity for 'p/0'"):
        write_super_resolved_store(Enlarge(float('nan')), lr, tmp_path / 'sr.lmdb')


def test_a_network_in_training_is_put_back_into_training(lr: Path, tmp_path: Path) -> None:
    network = Enlarge().train()
    write_super_resolved_store(network, lr, tmp_path / 'sr.lmdb')
    assert network.training


def test_a_network_is_given_what_it_is_trained_on_bit_by_bit_and_in_the_same_layout(lr: Path, tmp_path: Path) -> None:
    given: list[Tensor] = []

    def network(images: Tensor) -> Tensor:
        given.append(images.clone())
        return images
    write_super_resolved_store(network, lr, tmp_path / 'sr.lmdb', batch_size=4)
    small = FaceStore(lr)
    assert torch.equal(torch.cat(given), torch.stack([image_tensor(small.planes(key)) for key in small.keys]))
    assert all(images.is_contiguous() for images in given)  # another layout would have its sums in another order
