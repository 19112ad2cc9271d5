"""The networks of the package and of models/photos are those of their cards, and enlarge a face."""

import re
from pathlib import Path

import pytest
import torch

from cface_basicsr.zoo.card import NOT_STATED, read_card
from cface_basicsr.zoo.catalogue import SHIPPED_NETWORKS, ZooNetwork
from cface_basicsr.zoo.open import open_network, trained_template
from tests.tiny_stages import REPOSITORY

PHOTOS = REPOSITORY / 'models/photos'
CARDS = sorted(path for folder in (PHOTOS, SHIPPED_NETWORKS) for path in folder.glob('*.yml'))


def test_each_file_has_a_card_and_photographs_a_licence_of_their_own() -> None:
    for folder in (PHOTOS, SHIPPED_NETWORKS):
        networks, cards = ({path.stem for path in folder.glob(f'*{end}')} for end in ('.safetensors', '.yml'))
        assert networks == cards != set()
    assert 'non-commercial' in (PHOTOS / 'LICENCE.md').read_text(encoding='utf-8')


@pytest.mark.parametrize('page', [*CARDS, *(REPOSITORY / name for name in ('README.md', 'docs/first_photo.md',
                                                                           'docs/zoo.md'))], ids=lambda page: page.name)
def test_no_page_and_no_card_names_a_network_that_is_not_there(page: Path) -> None:
    assert set(re.findall(r'cface-x\d(?:-photos)?', page.read_text(encoding='utf-8'))) <= {path.stem for path in CARDS}


@pytest.mark.parametrize('path', CARDS, ids=lambda path: path.stem)
def test_a_network_is_that_of_its_card_small_and_enlarges(path: Path) -> None:
    """Only what anybody may use for anything is in the package."""
    card = read_card(path)
    if path.parent == PHOTOS:
        assert 'non-commercial' in card.licence and card.recognizer_licence == NOT_STATED
    else:
        assert card.licence == card.recognizer_licence == 'Apache-2.0'
    assert card.name == path.stem and card.bytes <= 3_000_000
    file = ZooNetwork(card, path.parent).verified_path()  # the hash is compared
    network = open_network(file).eval()
    assert trained_template(network, file) == 'arcface'
    side = 128 // card.scale
    with torch.inference_mode():
        grey = network(torch.full((1, 3, side, side), 0.5))
    assert grey.shape == (1, 3, 128, 128) and (grey - 0.5).abs().max() < 0.1  # a grey face stays about grey
