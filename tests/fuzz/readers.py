# ruff: noqa: E501
"""Every reader of files from outside, with a valid file of its kind."""

import json
import pickle
from collections.abc import Callable
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from cface_basicsr.archs.srresnet_arch import SRResNet
from cface_basicsr.benchmark.file import read_benchmark
from cface_basicsr.benchmark.throughput import read_throughput
from cface_basicsr.data.audit.identity_names import read_names
from cface_basicsr.data.audit.picture_set import open_pictures
from cface_basicsr.data.compare_index import load_compare_index, read_index_manifest
from cface_basicsr.data.images.face_images import read_face
from cface_basicsr.data.layouts.annotation_table import read_annotation_table
from cface_basicsr.data.layouts.insightface import list_bin, list_recordio
from cface_basicsr.data.layouts.landmarks import read_landmarks
from cface_basicsr.data.layouts.lfw import read_people
from cface_basicsr.data.layouts.small_faces import list_survface
from cface_basicsr.data.layouts.source import Listing
from cface_basicsr.data.prepare.packing import Journal
from cface_basicsr.enhancing.photo_file import read_photo
from cface_basicsr.enhancing.video import enhance_video, video_facts
from cface_basicsr.evaluation.blufr import load_config
from cface_basicsr.evaluation.features_file import read_features, write_features
from cface_basicsr.evaluation.listed_search import SURVFACE, TINYFACE, Lists, read_search
from cface_basicsr.evaluation.super_resolution import scale_of
from cface_basicsr.files.face_store import FaceStore, decode_image, decode_planes, encode_image, encoded_size
from cface_basicsr.files.identities import read_identities, read_labels
from cface_basicsr.files.key_list import KeyList
from cface_basicsr.files.manifest import manifest_crop, manifest_hashes, manifest_settings, read_manifest
from cface_basicsr.files.named_pairs import Pair, pairs_table, read_named_pairs
from cface_basicsr.files.network_file import build_network_from_file, network_options, save_atomically
from cface_basicsr.files.safetensors_file import write_safetensors
from cface_basicsr.files.torch_file import read_torch_file
from cface_basicsr.measuring.compare import compare
from cface_basicsr.measuring.results import load_results, load_scores, save_scores
from cface_basicsr.options import check_frame, check_training_options
from cface_basicsr.options.files import read_option_file
from cface_basicsr.recognizers.load import load_recognizer
from cface_basicsr.training.logs import read_log
from cface_basicsr.training.recipe import Recipe
from cface_basicsr.zoo.card import read_card
from cface_basicsr.zoo.open import open_network
from tests.blufr_file import write_blufr_file
from tests.caffe_file import write_caffemodel
from tests.data.archives.record_writer import write_set
from tests.fuzz import mutators as change
from tests.fuzz.harness import Reader
from tests.measuring.test_results import results
from tests.onnx_file import write_onnx_network, write_onnx_recognizer
from tests.small_data import close_environment, smooth_images, write_small_data, write_small_index
from tests.small_face_trees import write_lists, write_pairs, write_tree
from tests.zoo.made_up_networks import write_zoo

KEYS = ['a/0', 'a/1', 'b/0', 'b/1']
ROOT = Path(__file__).parents[2]
GENERATOR = {'type': 'SRResNet', 'scale': 2, 'num_feat': 2, 'num_block': 1}
RECOGNIZER = {'type': 'SphereFace20', 'input_size': [16, 16], 'num_feat': 2, 'feature_length': 4, 'blocks': [1, 1, 1, 1]}
MANIFEST = {'product': 'prepared', 'images': 4, 'sha256': {'hr.lmdb': 'a' * 64}, 'duplicates': [['a/0', 'a/1']],
            'settings': {'crop': 'center', 'size': [128, 128], 'template': None, 'layout': 'casia', 'scale': [2, 4, 8]}}


def text(name: str, content: str) -> Callable[[Path], Path]:
    """Writes a text file of that name."""
    def write(folder: Path) -> Path:
        (folder / name).write_text(content)
        return folder / name
    return write


def values(name: str, content: Any) -> Callable[[Path], Path]:
    """Writes a JSON file of that name."""
    return text(name, json.dumps(content))


def picture(kind: str, mode: str = 'RGB') -> Callable[[Path], Path]:
    """Writes a small picture."""
    def write(folder: Path) -> Path:
        path = folder / f'face.{kind}'
        pixels = smooth_images(1, seed=1, size=24)[0]
        image = Image.fromarray(pixels[..., 0].astype(np.uint16) * 257) if mode == 'I;16' else Image.fromarray(pixels).convert(mode)
        image.save(path)
        return path
    return write


def _data(folder: Path, name: str) -> Path:
    write_small_data(folder, identities=2, images=2)
    (folder / 'manifest.json').write_text(json.dumps(MANIFEST))
    return folder / name


def _index(folder: Path, name: str) -> Path:
    write_small_data(folder, identities=2, images=2)
    return write_small_index(folder, k=1) / name


def _read_index(path: Path) -> None:
    keys, labels = read_identities(path.parents[2])
    read_index_manifest(path.parent)
    load_compare_index(path.parent, keys, labels)


def _read_store(path: Path) -> None:
    close_environment(path.parent)
    store = FaceStore(path.parent)
    for key in store.keys:
        store.image(key)
        store.planes(key)
        store.content(key)


def _read_manifest(path: Path) -> None:
    read_manifest(path.parent)
    manifest_hashes(path.parent).get('hr.lmdb')
    manifest_settings(path.parent).get('crop')
    manifest_crop(path.parent)
    open_pictures(path.parent).describe_crop()


def _read_identities(path: Path) -> None:
    read_identities(path)
    read_labels(path, KeyList(path.parent / 'hr.lmdb' / 'meta_info.txt'))


def _read_bytes(path: Path) -> None:
    content = path.read_bytes()
    for read in (encoded_size, decode_image, decode_planes):
        read(content)


def _network(folder: Path, options: dict[str, Any]) -> Path:
    from cface_basicsr.files.network_file import build_network
    save_atomically({'params': build_network(options).state_dict(), 'network': options}, folder / 'net.pth')
    return folder / 'net.pth'


def _read_network(path: Path) -> None:
    network_options(path)
    build_network_from_file(path)(torch.zeros(1, 3, 8, 8))


def _safetensors(folder: Path) -> Path:
    from cface_basicsr.files.network_file import build_network
    write_safetensors(folder / 'net.safetensors', build_network(GENERATOR).state_dict(), {'network': GENERATOR, 'scale': 2})
    return folder / 'net.safetensors'


def _video(folder: Path) -> Path:
    import av
    with av.open(str(folder / 'a.mp4'), 'w') as file:
        stream = file.add_stream('libx264', rate=24)
        stream.width = stream.height = 48
        for number in range(4):
            pixels = np.kron(smooth_images(1, seed=number, size=24)[0], np.ones((2, 2, 1), np.uint8))
            file.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format='rgb24')))
        file.mux(stream.encode())
    return folder / 'a.mp4'


def _read_video(path: Path) -> None:
    facts = video_facts(path)
    enhance_video(path, path.with_name(f'enhanced.{facts.name}'), {2: torch.nn.Identity()}, find=lambda frame: [])


def _state(folder: Path) -> Path:
    network = SRResNet(scale=2, num_feat=2, num_block=1)
    optimizer = torch.optim.Adam(network.parameters())
    torch.save({'epoch': 1, 'iter': 3, 'optimizers': [optimizer.state_dict()], 'schedulers': [{'last_epoch': 1}]},
               folder / 'x.state')
    return folder / 'x.state'


def _caffe(folder: Path) -> Path:
    return write_caffemodel(folder / 'net.caffemodel', {'conv1_1': [np.ones((2, 3, 3, 3)), np.ones(2)], 'fc5': [np.ones((4, 8))]})


def _features(folder: Path, name: str) -> Path:
    write_features(folder / 'f.npy', np.random.default_rng(0).normal(size=(4, 8)), KEYS)
    return folder / name


def _blufr(folder: Path) -> Path:
    write_blufr_file(folder / 'blufr.mat', [f'{who}/{who}_{n}' for who in 'abcdef' for n in range(2)],
                     [number // 2 for number in range(12)], [([0, 2], [1, 3]), ([4, 6], [5, 7])])
    return folder / 'blufr.mat'


LISTED = [f'{who}/{who}_{n}' for who in '123' for n in range(2)]


def _lists(lists: Lists, folder: Path) -> Path:
    write_lists(folder, *({f'{who}_{n}.jpg': int(who) for who in '123'} for n in range(2)), lists)
    return folder / lists.probe.file


def _survface_pairs(folder: Path) -> Path:
    write_tree(folder, {'1_0.jpg': 1}, {'1_1.jpg': 1}, ['9_0.jpg'], SURVFACE)
    pairs = write_pairs(folder / 'Face_Verification_Test_Set', [('1_0.jpg', '1_1.jpg')] * 10, [('1_0.jpg', '9_0.jpg')] * 10)
    return pairs / 'positive_pairs_names.mat'


def _blufr_lists(folder: Path, name: str) -> Path:
    names = [f'{who}_{n}.jpg' for who in 'abcdef' for n in range(2)]
    (folder / 'image_list.txt').write_text('\n'.join(names))
    (folder / 'labels.txt').write_text('\n'.join(str(1 + row // 2) for row in range(12)))
    for part, rows in (('train', [[9, 10], [1, 2]]), ('test', [[1, 2], [5, 6]]), ('gallery', [[1], [5]]), ('probe', [[2], [6]])):
        lines = [str(len(rows)), *(line for each in rows for line in (str(len(each)), *(f'{row}, {names[row - 1]}' for row in each)))]
        (folder / f'{part}_set.txt').write_text('\n'.join(lines))
    return folder / name


def _records(folder: Path, name: str) -> Path:
    photo = encode_image(smooth_images(1, seed=1, size=16)[0], 'jpeg')
    write_set(folder, [(0, [photo, photo]), (1, [photo])])
    (folder / 'train.lst').write_text(''.join(f'1\tp/{number}.jpg\t{label}\n' for number, label in enumerate((0, 0, 1))))
    return folder / name


def _bin(folder: Path) -> Path:
    photo = encode_image(smooth_images(1, seed=1, size=16)[0], 'jpeg')
    (folder / 'lfw.bin').write_bytes(pickle.dumps(([photo] * 4, [True, False]), protocol=2))
    return folder / 'lfw.bin'


def _read_listing(listed: Callable[[Path], Listing], path: Path) -> None:
    from cface_basicsr.data.images.face_crop import Rejected, decode_photo
    listing = listed(path if path.suffix == '.bin' else path.parent)
    for source in listing.sources:
        try:
            decode_photo(listing.photos.read(source))
        except Rejected:
            pass


def _scores(folder: Path) -> Path:
    return save_scores(folder / 's.npz', [True, False] * 8, {'r': np.linspace(0, 1, 16)})


def _read_options(path: Path) -> None:
    options = read_option_file(path)
    check_frame(options)
    check_training_options(options)


def _read_results(path: Path) -> None:
    load_results(path)
    compare(path, path)


def _onnx(folder: Path) -> Path:
    return write_onnx_recognizer(folder / 'r.onnx', size=16, feature_length=8)


def _read_onnx_network(path: Path) -> None:
    scale_of(open_network(path), f"weights file '{path}'")


def _stored(form: str, folder: Path) -> Path:
    (folder / 'stored').write_bytes(encode_image(smooth_images(1, seed=1, size=16)[0], form))
    return folder / 'stored'


def _shipped(name: str, folder: Path) -> Path:
    (folder / Path(name).name).write_bytes((ROOT / 'options' / name).read_bytes())
    return folder / Path(name).name


LFW_PAIRS = '2\t1\nAnn\t1\t2\nAnn\t1\tBob\t1\nBob\t1\t2\nAnn\t2\tBob\t2\n'
READERS = {
    'options': Reader(partial(_shipped, 'cface_stage1.yml'), _read_options, change.change_yaml, 2, named=False),
    'recipe': Reader(partial(_shipped, 'cface_x8.yml'), Recipe.read, change.change_yaml, 0.5, named=False),
    'benchmark': Reader(partial(_shipped, 'benchmark/paper.yml'), read_benchmark, change.change_yaml, 0.5, named=False),
    'input_yml': Reader(text('r.input.yml', 'channels: bgr\nmean: [1, 2, 3]\nstd: 128\nheight: 16\n'),
                        lambda path: load_recognizer(_onnx(path.parent)), change.change_yaml, 0.2),
    'manifest': Reader(partial(_data, name='manifest.json'), _read_manifest, change.change_json, 2),
    'index_manifest': Reader(partial(_index, name='manifest.json'), _read_index, change.change_json),
    'index_neighbours': Reader(partial(_index, name='compare_k1.npy'), _read_index, change.change_npy),
    'results': Reader(lambda folder: results().save(folder / 'r.json'), _read_results, change.change_json, 2),
    'throughput': Reader(values('t.json', {'device': 'cpu', 'seconds_an_image': {'a': 0.1}, 'options': {'a': 'x'}}),
                         read_throughput, change.change_json),
    'journal': Reader(text('journal.jsonl', '{"key": "a/0", "pixels": "12", "reason": ""}\n' * 3),
                      lambda path: list(Journal.read(path)), change.change_bytes),
    'training_log': Reader(text('train_x.log', '2026-01-01 10:00:00,000 INFO: [x..][epoch:  0, iter:       1, lr:(1.0e-04,)] '
                                               '[eta: 0:00:00] l_g_pix: 1.0e-01 \n' * 3), read_log, change.change_text),
    'features': Reader(partial(_features, name='f.npy'), lambda path: read_features(path, KEYS), change.change_npy, 2),
    'features_keys': Reader(partial(_features, name='f.keys.txt'), lambda path: read_features(path.with_name('f.npy'), KEYS),
                            change.change_text),
    'scores': Reader(_scores, load_scores, change.change_npz),
    'pairs_txt': Reader(text('pairs.txt', LFW_PAIRS), read_named_pairs, change.change_text),
    'pairs_csv': Reader(text('pairs.csv', pairs_table([Pair('a/0', 'a/1', True, 0), Pair('a/0', 'b/0', False, 1)])),
                        read_named_pairs, change.change_text),
    'people': Reader(text('people.txt', '1\n2\nAnn\t2\nBob\t2\n'), read_people, change.change_text),
    'names': Reader(text('names.txt', 'a Ann\nb Bob\n'), lambda path: read_names(path, {'a', 'b'}), change.change_text),
    'identities': Reader(partial(_data, name='identities.csv'), _read_identities, change.change_text),
    'annotations': Reader(text('list.txt', '2\nx y\na.jpg 1 2\nb.jpg 3 4\n'),
                          lambda path: read_annotation_table(path, ('x', 'y')), change.change_text),
    'meta_info': Reader(partial(_data, name='hr.lmdb/meta_info.txt'), _read_store, change.change_text),
    'store': Reader(partial(_data, name='lr_x8.lmdb/data.mdb'), _read_store, change.change_lmdb, 4),
    'stored_png': Reader(partial(_stored, 'png'), _read_bytes, change.change_png, 1, named=False),
    'stored_jpeg': Reader(partial(_stored, 'jpeg'), _read_bytes, change.change_jpeg, 1, named=False),
    'stored_webp': Reader(partial(_stored, 'webp'), _read_bytes, change.change_bytes, 1, named=False),
    'stored_raw': Reader(partial(_stored, 'raw'), _read_bytes, change.change_bytes, 1, named=False),
    'photo_png': Reader(picture('png', 'RGBA'), lambda path: (read_face(path), read_photo(path)), change.change_png, 2),
    'photo_deep': Reader(picture('png', 'I;16'), lambda path: (read_face(path), read_photo(path)), change.change_png, 2),
    'photo_jpeg': Reader(picture('jpg'), lambda path: (read_face(path), read_photo(path)), change.change_jpeg, 2),
    **{f'photo_{kind}': Reader(picture(kind), read_face, change.change_bytes) for kind in ('tif', 'webp', 'bmp', 'gif', 'ppm')},
    'network': Reader(partial(_network, options=GENERATOR), _read_network, change.change_pth, 4),
    'recognizer': Reader(partial(_network, options=RECOGNIZER), load_recognizer, change.change_pth, 2),
    'safetensors': Reader(_safetensors, _read_network, change.change_safetensors, 2),
    'card': Reader(lambda folder: write_zoo(folder).path.with_suffix('.yml'), read_card, change.change_yaml, 0.5),
    **({'video': Reader(_video, _read_video, change.change_bytes, 0.5)} if find_spec('av') else {}),
    'state': Reader(_state, lambda path: read_torch_file(path, '', 'training state'), change.change_pth),
    'caffe': Reader(_caffe, load_recognizer, change.change_bytes),
    'onnx': Reader(_onnx, load_recognizer, change.change_onnx, 0.5),
    **({'onnx_network': Reader(lambda folder: write_onnx_network(folder / 'sr.onnx'), _read_onnx_network, change.change_onnx, 0.5)}
       if find_spec('onnxruntime') else {}),
    'recordio': Reader(partial(_records, name='train.rec'), partial(_read_listing, list_recordio), change.change_records, 2),
    **{f'recordio_{ending}': Reader(partial(_records, name=name), partial(_read_listing, list_recordio), change.change_text)
       for ending, name in (('idx', 'train.idx'), ('property', 'property'), ('lst', 'train.lst'))},
    'verification_bin': Reader(_bin, partial(_read_listing, list_bin), change.change_bytes, 2),
    'blufr': Reader(_blufr, load_config, change.change_mat, 0.2),
    **{name: Reader(partial(_lists, lists), lambda path, lists=lists: read_search(path.parent, LISTED, lists), change.change_mat, 0.1)
       for name, lists in (('tinyface_list', TINYFACE), ('survface_list', SURVFACE))},
    'survface_pairs': Reader(_survface_pairs, lambda path: list_survface(path.parents[1]), change.change_mat, 0.1),
    'landmarks': Reader(text('eyes.txt', '001_frontal 10 10 30 10 20 20 20 30\n002_frontal 10 11 30 12 20 20 21 30\n'),
                        read_landmarks, change.change_text),
    **{f'blufr_{name}': Reader(partial(_blufr_lists, name=f'{name}.txt'), lambda path: load_config(path.parent), change.change_text, 0.5)
       for name in ('image_list', 'labels', 'test_set')}}
