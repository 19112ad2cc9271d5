"""A trained network into a zoo: stored in half precision where that does not show."""

from pathlib import Path
from typing import Any

import pytest
import torch

from cface_basicsr.errors import UserError
from cface_basicsr.exporting.compare import comparison_faces
from cface_basicsr.exporting.publish import publish_network
from cface_basicsr.files.manifest import file_hash
from cface_basicsr.files.network_file import (
    build_network_from_file,
    network_options,
    read_network_file,
    save_atomically,
)
from cface_basicsr.files.recognizer_file import recognizer_hash
from cface_basicsr.zoo.card import Draft, read_card
from tests.zoo.made_up_networks import DRAFT, write_generator


def test_the_card_says_what_the_file_holds(tmp_path: Path) -> None:
    source = write_generator(tmp_path / 'net_g.pth', scale=4, led_by=['f' * 64])
    made = publish_network(source, 'tiny-x4', Draft(**DRAFT), tmp_path)
    card = read_card(tmp_path / 'tiny-x4.yml')
    assert card == made.card and card.scale == 4 and card.network == network_options(source)
    assert card.bytes == made.path.stat().st_size and card.sha256 == file_hash(made.path, 64)
    assert card.identity[0].command == 'cface evaluate pairs faces' and card.recognizer_licence == 'not stated'
    assert read_network_file(made.path)['led_by'] == ['f' * 64]


def test_weights_are_halved_and_the_card_has_the_difference_that_this_makes(tmp_path: Path) -> None:
    source = write_generator(tmp_path / 'net_g.pth')
    card = publish_network(source, 'tiny-x8', Draft(**DRAFT), tmp_path).card
    stored = read_network_file(tmp_path / 'tiny-x8.safetensors')['params']
    assert {value.dtype for value in stored.values() if value.is_floating_point()} == {torch.float16}
    network, again = build_network_from_file(source), build_network_from_file(tmp_path / 'tiny-x8.safetensors')
    faces = comparison_faces(8)
    assert faces.shape == (8, 3, 16, 16)
    with torch.inference_mode():
        difference = (network(faces) - again(faces)).abs().max().item()
    assert card.weights == 'float16' and 0 < card.difference < 0.01
    assert card.difference == pytest.approx(difference, rel=0.1)


def test_the_card_says_how_the_faces_were_cropped_by_the_file_or_else_by_the_draft(tmp_path: Path) -> None:
    source, silent = write_generator(tmp_path / 'net_g.pth', template='dlib'), write_generator(tmp_path / 'silent.pth')
    assert publish_network(source, 'a-x8', Draft(**DRAFT), tmp_path).card.template == 'dlib'
    assert publish_network(silent, 'b-x8', Draft(**DRAFT, template='center'), tmp_path).card.template == 'center'
    assert publish_network(silent, 'c-x8', Draft(**DRAFT), tmp_path).card.template is None
    told = [read_network_file(tmp_path / f'{name}-x8.safetensors').get('template') for name in 'abc']
    assert told == ['dlib', 'center', None]
    with pytest.raises(UserError, match="'template: center', but by its file .* on faces of 'dlib'. Leave"):
        publish_network(source, 'd-x8', Draft(**DRAFT, template='center'), tmp_path)
    assert not list(tmp_path.glob('d-x8*'))


@pytest.mark.parametrize('factor', [1e5, 300])
def test_weights_that_half_precision_would_change_are_stored_in_full(tmp_path: Path, factor: float) -> None:
    """1e5 is infinite in half precision; 300 makes steps of rounding that show."""
    content = torch.load(write_generator(tmp_path / 'net_g.pth'))
    content['params']['tail.weight'] *= factor
    save_atomically(content, tmp_path / 'net_g.pth')
    card = publish_network(tmp_path / 'net_g.pth', 'tiny-x8', Draft(**DRAFT), tmp_path).card
    assert card.weights == 'float32' and card.difference == 0
    stored = read_network_file(tmp_path / 'tiny-x8.safetensors')['params']
    assert torch.equal(stored['tail.weight'], content['params']['tail.weight'])


def test_what_cannot_be_published_is_said_and_leaves_nothing(tmp_path: Path) -> None:
    source = write_generator(tmp_path / 'net_g.pth')
    draft = Draft(**DRAFT)
    for name in ('Tiny', 'a/b', '', 'a.pth', '-x'):
        with pytest.raises(UserError, match="option 'name'"):
            publish_network(source, name, draft, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ['net_g.pth']
    publish_network(source, 'tiny-x8', draft, tmp_path)
    with pytest.raises(UserError, match="tiny-x8.yml' exists"):
        publish_network(source, 'tiny-x8', draft, tmp_path)


@pytest.mark.parametrize(('led', 'draft', 'message'), [
    (['f' * 64], {'recognizer': 'none'}, "'recognizer: none', but by its file 1 recognizers led a loss"),
    ([recognizer_hash('dlib', 64)], {'evidence': {'judge': 'dlib'}}, "dlib's recognizer led a loss of this network"),
    ([], {'recognizer': 'dlib', 'evidence': {'judge': 'dlib'}}, "dlib's recognizer led a loss of this network"),
])
def test_a_card_that_hides_what_led_a_loss_or_has_it_as_judge_is_refused(tmp_path: Path, led: list[str],
                                                                         draft: dict[str, Any], message: str) -> None:
    source = write_generator(tmp_path / 'net_g.pth', led_by=led)
    with pytest.raises(UserError, match=message):
        publish_network(source, 'tiny-x8', Draft(**DRAFT | draft), tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ['net_g.pth']
