"""Networks that do not say what they are, opened by spandrel."""

from pathlib import Path

import pytest
import torch

from cface_basicsr.errors import UserError
from cface_basicsr.files.network_file import build_network
from cface_basicsr.zoo.open import open_network

pytest.importorskip('spandrel')
TINY = {'type': 'FaceRRDBNet', 'scale': 4, 'num_feat': 8, 'num_block': 1, 'num_grow_ch': 32}  # spandrel expects 32


@pytest.mark.parametrize('wrap', [lambda state: state, lambda state: {'params_ema': state}], ids=['bare', 'BasicSR'])
def test_weights_that_do_not_say_what_they_are_give_the_faces_of_their_network(tmp_path: Path, wrap: object) -> None:
    network = build_network(TINY).eval()
    torch.save(wrap(network.state_dict()), tmp_path / 'theirs.pth')
    faces = torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        assert torch.allclose(open_network(tmp_path / 'theirs.pth')(faces), network(faces).clamp(0, 1), atol=1e-6)


def test_a_file_of_ours_is_opened_by_what_it_says(tmp_path: Path) -> None:
    torch.save({'params': build_network(TINY).state_dict(), 'network': TINY}, tmp_path / 'ours.pth')
    assert type(open_network(tmp_path / 'ours.pth')).__name__ == 'FaceRRDBNet'


def test_weights_that_nobody_knows_are_refused_in_one_line(tmp_path: Path) -> None:
    torch.save({'params': {'a.weight': torch.zeros(3)}}, tmp_path / 'odd.pth')
    with pytest.raises(UserError, match="odd.pth' does not say which network it holds, and spandrel does not know it"):
        open_network(tmp_path / 'odd.pth')
