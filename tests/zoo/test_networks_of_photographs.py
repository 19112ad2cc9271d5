"""The networks in models/photos are those of their cards, may not be used for everything, and enlarge a face."""

from pathlib import Path

import pytest
import torch

from cface_basicsr.zoo.card import NOT_STATED, read_card
from cface_basicsr.zoo.catalogue import ZooNetwork
from cface_basicsr.zoo.open import open_network
from tests.tiny_stages import REPOSITORY

FOLDER = REPOSITORY / 'models/photos'
CARDS = sorted(FOLDER.glob('*.yml'))


def test_each_file_has_a_card_and_the_folder_a_licence() -> None:
    assert {path.stem for path in FOLDER.glob('*.safetensors')} == {path.stem for path in CARDS} != set()
    assert 'non-commercial' in (FOLDER / 'LICENCE.md').read_text(encoding='utf-8')


@pytest.mark.parametrize('path', CARDS, ids=lambda path: path.stem)
def test_a_network_is_that_of_its_card_small_and_enlarges(path: Path) -> None:
    card = read_card(path)
    assert 'non-commercial' in card.licence and card.bytes <= 3_000_000 and card.recognizer_licence == NOT_STATED
    network = open_network(ZooNetwork(card, FOLDER).verified_path()).eval()  # the hash is compared
    side = 128 // card.scale
    with torch.inference_mode():
        grey = network(torch.full((1, 3, side, side), 0.5))
    assert grey.shape == (1, 3, 128, 128) and (grey - 0.5).abs().max() < 0.1  # a grey face stays about grey
