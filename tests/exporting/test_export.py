"""A network for other programs: what they get gives the same faces, or nothing is written."""

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
import yaml
from PIL import Image
from typer.testing import CliRunner

import cface_basicsr as cface
from cface_basicsr.cli.main import app
from cface_basicsr.enhancing.networks import check_not_led, open_enhancers
from cface_basicsr.errors import UserError
from cface_basicsr.exporting import compare
from cface_basicsr.exporting.compare import comparison_faces
from cface_basicsr.exporting.export import export_network
from cface_basicsr.files.manifest import file_hash
from cface_basicsr.files.network_file import build_network, save_atomically
from cface_basicsr.files.recognizer_file import recognizer_marks
from cface_basicsr.files.yaml_file import to_yaml
from cface_basicsr.zoo.open import recorded_leaders
from tests.onnx_file import write_onnx_network
from tests.report.made_up_results import made_up_results
from tests.zoo.made_up_networks import DRAFT, write_generator, write_zoo

onnxruntime = pytest.importorskip('onnxruntime')


@pytest.mark.parametrize(('half', 'limit'), [(False, 1e-4), (True, 1e-2)])
@pytest.mark.parametrize('scale', [4, 8])
def test_an_onnx_file_gives_the_networks_faces_for_any_number_of_them(tmp_path: Path, scale: int, half: bool,
                                                                     limit: float) -> None:
    resolver = cface.load(write_generator(tmp_path / 'net_g.pth', scale))
    difference = resolver.export(tmp_path / 'net_g.onnx', half=half)
    session = onnxruntime.InferenceSession(tmp_path / 'net_g.onnx')
    assert [(each.name, each.type, each.shape) for each in session.get_inputs()] == [
        ('lr', 'tensor(float)', ['batch', 3, 128 // scale, 128 // scale])]
    faces = comparison_faces(scale)
    with torch.inference_mode():
        expected = resolver.network(faces).numpy()
    made = session.run(['sr'], {'lr': faces.numpy()})[0]
    assert difference == pytest.approx(np.abs(made - expected).max(), rel=0.5, abs=1e-7) and difference < limit
    assert np.abs(session.run(['sr'], {'lr': faces[:3].numpy()})[0] - expected[:3]).max() < limit
    again = cface.load(tmp_path / 'net_g.onnx')
    assert again.scale == scale and (again.enhance(faces) - resolver.enhance(faces)).abs().max() < limit
    weights = onnx.load(tmp_path / 'net_g.onnx').graph.initializer
    assert {each.data_type for each in weights if len(each.dims) == 4} == {
        onnx.TensorProto.FLOAT16 if half else onnx.TensorProto.FLOAT}


def test_without_onnx_runtime_the_file_that_was_asked_for_is_named_and_nothing_is_written(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    resolver = cface.load(write_generator(tmp_path / 'net_g.pth'))
    monkeypatch.setattr('cface_basicsr.exporting.onnx_file.find_spec', lambda name: None)
    with pytest.raises(UserError, match=r"/net_g\.onnx' would be compared .* is missing: pip install onnxruntime$"):
        resolver.export(tmp_path / 'net_g.onnx')
    assert [path.name for path in tmp_path.iterdir()] == ['net_g.pth']


def test_a_safetensors_file_holds_the_network_exactly_or_in_half(tmp_path: Path) -> None:
    resolver = cface.load(write_generator(tmp_path / 'net_g.pth'))
    faces = comparison_faces(8)
    assert resolver.export(tmp_path / 'full.safetensors') == 0
    assert torch.equal(cface.load(tmp_path / 'full.safetensors').enhance(faces), resolver.enhance(faces))
    assert 0 < resolver.export(tmp_path / 'half.safetensors', half=True) < 0.01
    sizes = [(tmp_path / f'{name}.safetensors').stat().st_size for name in ('half', 'full')]
    assert sizes[0] < 0.6 * sizes[1]


def test_each_format_says_how_the_faces_were_cropped_that_the_network_was_trained_on(tmp_path: Path) -> None:
    """By the network's file; or by its card, where only that says it, as those of the package do."""
    cface.load(write_generator(tmp_path / 'net_g.pth', template='dlib')).export(tmp_path / 'dlib.onnx')
    (tmp_path / 'card.yml').write_text(to_yaml(DRAFT | {'template': 'center'}))
    write_generator(tmp_path / 'silent.pth')
    command(tmp_path / 'silent.pth', '--format', 'hub', '--card', tmp_path / 'card.yml', '--out', tmp_path / 'hub')
    for name in ('a.onnx', 'a.safetensors'):
        command('cface-x2', '--format', name[2:], '--out', tmp_path / name)
    expected = {'dlib.onnx': 'dlib', 'a.onnx': 'arcface', 'a.safetensors': 'arcface', 'silent.pth': None,
                'hub/model.safetensors': 'center'}
    assert {name: cface.load(tmp_path / name).template for name in expected} == expected
    assert json.loads((tmp_path / 'hub/config.json').read_text())['template'] == 'center'
    with pytest.raises(UserError, match="'template: center', but by its file .* on faces of 'dlib'. Leave"):
        command(tmp_path / 'net_g.pth', '--format', 'hub', '--card', tmp_path / 'card.yml', '--out', tmp_path / 'no')
    assert not (tmp_path / 'no').exists()


@pytest.mark.parametrize('name', ['net_g.onnx', 'net_g.safetensors'])
def test_each_format_says_which_recognizers_led_the_losses_so_that_none_of_them_judges(tmp_path: Path,
                                                                                      name: str) -> None:
    led = ['f' * 64, *recognizer_marks('dlib')]
    cface.load(write_generator(tmp_path / 'source.pth', led_by=led)).export(tmp_path / name)
    made = cface.load(tmp_path / name)
    assert recorded_leaders(made.network, tmp_path / name) == led
    with pytest.raises(UserError, match=f"dlib's recognizer led a loss of '.*{name}', so it is not a judge"):
        check_not_led(open_enhancers(tmp_path / name).values())
    cface.load(write_generator(tmp_path / 'fair.pth')).export(tmp_path / f'fair_{name}')
    check_not_led(open_enhancers(tmp_path / f'fair_{name}').values())


@pytest.mark.parametrize('entry', ['dlib', '[1]', '{"led": "dlib"}'])
def test_an_onnx_file_that_names_its_leaders_in_another_way_is_refused(tmp_path: Path, entry: str) -> None:
    model = onnx.load(str(write_onnx_network(tmp_path / 'sr.onnx')))
    onnx.helper.set_model_props(model, {'led_by': entry})
    onnx.save(model, str(tmp_path / 'sr.onnx'))
    with pytest.raises(UserError, match=r"sr.onnx', entry 'led_by', is (damaged|not JSON)"):
        cface.load(tmp_path / 'sr.onnx')


@pytest.mark.parametrize('name', ['net_g.onnx', 'net_g.safetensors'])
def test_a_form_that_differs_too_much_is_refused_and_leaves_nothing(tmp_path: Path, name: str) -> None:
    content = torch.load(write_generator(tmp_path / 'net_g.pth'))
    content['params']['tail.weight'] *= 1e5  # infinite in half precision
    save_atomically(content, tmp_path / 'net_g.pth')
    with pytest.raises(UserError, match='would differ from the network by .* and less than 0.01 is asked for. Nothing'):
        cface.load(tmp_path / 'net_g.pth').export(tmp_path / name, half=True)
    assert [path.name for path in tmp_path.iterdir()] == ['net_g.pth']


def test_an_onnx_graph_with_another_answer_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compare, 'FULL_LIMIT', 1e-12)
    with pytest.raises(UserError, match='less than 1e-12 is asked for'):
        cface.load(write_generator(tmp_path / 'net_g.pth')).export(tmp_path / 'net_g.onnx')
    assert not (tmp_path / 'net_g.onnx').exists()


class WithoutOnnx(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.special.bessel_j0(x).repeat_interleave(8, 2).repeat_interleave(8, 3)


def test_what_cannot_be_exported_is_said(tmp_path: Path) -> None:
    resolver = cface.load(write_generator(tmp_path / 'net_g.pth'))
    resolver.export(tmp_path / 'net_g.onnx')
    (tmp_path / 'broken.onnx').write_bytes(b'onnx')
    for call, message in [
            (lambda: resolver.export(tmp_path / 'net_g.pt'), 'expected a name that ends in .onnx or .safetensors'),
            (lambda: cface.load(tmp_path / 'net_g.onnx').export(tmp_path / 'a.onnx'), 'is an ONNX file already'),
            (lambda: cface.load(tmp_path / 'broken.onnx'), "broken.onnx' cannot be read as an ONNX network"),
            (lambda: cface.load(tmp_path / 'nowhere.onnx'), "ONNX file '.*nowhere.onnx' is missing"),
            (lambda: cface.SuperResolver(resolver.network, 8).export(tmp_path / 'a.safetensors'), 'came from no file'),
            (lambda: export_network(tmp_path / 'a.onnx', WithoutOnnx(), 8, None, False), 'cannot be written as ONNX')]:
        with pytest.raises(UserError, match=message):
            call()
    assert not (tmp_path / 'a.onnx').exists()


def command(*words: object) -> str:
    done = CliRunner().invoke(app, ['export', *map(str, words)])
    if isinstance(done.exception, UserError):
        raise done.exception
    assert done.exit_code == 0, done.output
    return done.output


def test_the_command_writes_each_format_and_says_the_difference(tmp_path: Path) -> None:
    source = write_generator(tmp_path / 'net_g.pth')
    said = json.loads(command(source, '--format', 'onnx', '--half', '--out', tmp_path / 'net_g.onnx', '--json'))
    assert said['scale'] == 8 and 0 < said['difference'] < 1e-2
    assert 'largest difference 0' in command(source, '--format', 'safetensors', '--out', tmp_path / 'a.safetensors')
    assert cface.load(tmp_path / 'a.safetensors').scale == cface.load(tmp_path / 'net_g.onnx').scale == 8
    for words, message in [
            ((source, '--out', tmp_path / 'b.onnx', '--faces', tmp_path / 'nowhere'), "nowhere' is missing"),
            ((source, '--out', tmp_path / 'net_g.onnx'), 'exists'),
            ((source, '--out', tmp_path / 'b.pt'), 'expected a name that ends in .onnx'),
            ((source, '--out', tmp_path / 'no/b.onnx'), 'is missing. Make it'),
            ((source, '--out', tmp_path / 'b.onnx', '--card', 'a.yml'), 'belong to --format hub'),
            ((source, '--format', 'hub', '--out', tmp_path / 'hub'), 'has no card, and nobody else knows its licence')]:
        with pytest.raises(UserError, match=message):
            command(*words)


@pytest.mark.parametrize('kind', ['onnx', 'safetensors', 'hub'])
def test_each_format_is_compared_on_the_users_own_faces_where_they_are_given(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    source, seen = write_generator(tmp_path / 'net_g.pth', 4), []
    (tmp_path / 'card.yml').write_text(to_yaml(DRAFT))
    (tmp_path / 'mine').mkdir()
    sizes = [(32, 32), (250, 250), (40, 33), *8 * [(12, 12)]]
    pictures = [np.random.default_rng(number).integers(0, 256, (*size, 3), np.uint8)
                for number, size in enumerate(sizes)]
    for number, picture in enumerate(pictures):
        Image.fromarray(picture).save(tmp_path / 'mine' / f'{number:02}.png')
    opened = compare.largest_difference
    monkeypatch.setattr(f'cface_basicsr.exporting.{"onnx_file" if kind == "onnx" else "safetensors"}.'
                        'largest_difference', lambda own, other, scale, faces: seen.append(faces) or opened(
                            own, other, scale, faces))
    words = [source, '--format', kind, '--half', *(['--card', tmp_path / 'card.yml'] if kind == 'hub' else [])]
    end = '' if kind == 'hub' else f'.{kind}'
    said = command(*words, '--faces', tmp_path / 'mine', '--out', tmp_path / f'a{end}')
    assert said.endswith(f" on 11 face images of '{tmp_path}/mine'\n")
    assert seen[0].shape == (11, 3, 32, 32)
    assert (seen[0][0].permute(1, 2, 0) * 255).round().byte().numpy().tolist() == pictures[0].tolist()
    usual = json.loads(command(*words, '--out', tmp_path / f'b{end}', '--json'))
    assert (usual['faces'], usual['faces_of']) == (8, 'synthetic') and len(seen[1]) == 8
    (tmp_path / 'mine' / 'z.png').write_bytes(b'no image')
    with pytest.raises(UserError, match=r"^'.*mine/z.png': cannot be read as an image[^\n]*$"):
        command(*words, '--faces', tmp_path / 'mine', '--out', tmp_path / f'c{end}')
    Image.fromarray(np.zeros((10, 40, 3), np.uint8)).save(tmp_path / 'mine' / 'z.png')
    with pytest.raises(UserError, match=r"^'.*mine/z.png': 40x10 pixels is not a face crop: [^\n]*$"):
        command(*words, '--faces', tmp_path / 'mine', '--out', tmp_path / f'c{end}')
    assert not (tmp_path / f'c{end}').exists()


def test_the_largest_difference_is_that_of_any_face_and_nan_where_one_gives_that() -> None:
    faces = torch.zeros(20, 3, 16, 16)
    faces[17, 1, 2, 3] = 0.25
    identity, doubled = torch.nn.Identity(), lambda batch: 2 * batch
    assert compare.largest_difference(identity, doubled, 8, faces) == 0.25
    faces[3] = torch.nan
    assert np.isnan(compare.largest_difference(identity, doubled, 8, faces))


def test_the_api_compares_on_the_images_that_are_given(tmp_path: Path) -> None:
    resolver = cface.load(write_generator(tmp_path / 'net_g.pth'))
    Image.fromarray(np.full((16, 16, 3), 90, np.uint8)).save(tmp_path / 'grey.png')
    usual, own = (resolver.export(tmp_path / f'{name}.safetensors', half=True, faces=faces)
                  for name, faces in (('usual', ()), ('own', tmp_path / 'grey.png')))
    assert 0 < own != usual > 0
    with pytest.raises(UserError, match="nowhere.png' is missing"):
        resolver.export(tmp_path / 'a.onnx', faces=[tmp_path / 'nowhere.png'])


def test_a_hub_folder_has_a_card_whose_numbers_are_those_of_the_results_file(tmp_path: Path) -> None:
    source = write_generator(tmp_path / 'net_g.pth')
    (tmp_path / 'card.yml').write_text(to_yaml(DRAFT))
    results = made_up_results(tmp_path)
    run = next(run for run in results.runs if run.measured and run.system not in ('HR', 'Bicubic'))
    run.weights_sha256 = file_hash(source, 64)
    results.save(tmp_path / 'results.json')
    command(source, '--format', 'hub', '--card', tmp_path / 'card.yml', '--results', tmp_path / 'results.json', '--out',
            tmp_path / 'hub')
    assert sorted(path.name for path in (tmp_path / 'hub').iterdir()) == ['README.md', 'config.json',
                                                                          'model.safetensors']
    readme = (tmp_path / 'hub/README.md').read_text()
    front = yaml.safe_load(readme.split('---\n')[1])
    assert front['license'] == 'apache-2.0' and 'x8' in front['tags']
    test, measured = next(iter(run.measured.items()))
    key, value = next((key, value) for key, value in measured.numbers.items() if value is not None)
    assert f'| {key}, {test} | {value:.6g}' in readme and f'`{results.facts.command}` |' in readme
    assert '| accuracy | 50 % | `cface evaluate pairs faces` |' in readme
    assert json.loads((tmp_path / 'hub/config.json').read_text())['network']['type'] == 'SRResNet'
    assert cface.load(tmp_path / 'hub/model.safetensors').scale == 8
    save_atomically({**torch.load(source), 'note': 1}, source)
    with pytest.raises(UserError, match="has no numbers of '.*net_g.pth'"):
        command(source, '--format', 'hub', '--card', tmp_path / 'card.yml', '--results', tmp_path / 'results.json',
                '--out', tmp_path / 'other')
    assert not (tmp_path / 'other').exists()


def test_a_network_of_the_zoo_brings_its_own_card_to_the_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv('CFACE_HOME', str(tmp_path / 'home'))
    write_zoo(tmp_path / 'home/networks', licence='only on Sundays')
    command('tiny-x8', '--format', 'hub', '--out', tmp_path / 'hub')
    front = yaml.safe_load((tmp_path / 'hub/README.md').read_text().split('---\n')[1])
    assert front['license'] == 'other' and front['license_name'] == 'only on Sundays'


def test_spandrel_opens_facerrdbnet_and_gives_the_same_faces() -> None:
    spandrel = pytest.importorskip('spandrel')
    network = build_network({'type': 'FaceRRDBNet', 'scale': 4, 'num_feat': 8, 'num_block': 1}).eval()
    opened = spandrel.ModelLoader().load_from_state_dict(network.state_dict())
    assert opened.scale == 4
    faces = comparison_faces(4)
    with torch.inference_mode():
        assert (opened.model.eval()(faces) - network(faces)).abs().max() < 1e-6


def test_spandrel_does_not_know_srresnet() -> None:
    """docs/zoo.md says what to do; when spandrel learns it, this test and that page change."""
    spandrel = pytest.importorskip('spandrel')
    network = build_network({'type': 'SRResNet', 'scale': 8, 'num_feat': 4, 'num_block': 1})
    with pytest.raises(spandrel.UnsupportedModelError):
        spandrel.ModelLoader().load_from_state_dict(network.state_dict())
