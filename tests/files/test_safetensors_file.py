"""Network files as safetensors: the same network as in a .pth file, and one sentence about anything else."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from cface_basicsr.errors import UserError
from cface_basicsr.files.network_file import build_network_from_file, network_options, read_network_file
from cface_basicsr.files.safetensors_file import write_safetensors
from tests.zoo.made_up_networks import write_generator


def test_a_network_comes_back_with_its_options_and_every_weight(tmp_path: Path) -> None:
    network = build_network_from_file(write_generator(tmp_path / 'net_g.pth'))
    options = network_options(tmp_path / 'net_g.pth')
    write_safetensors(tmp_path / 'net_g.safetensors', network.state_dict(), {'network': options, 'led_by': ['ab']})
    again = build_network_from_file(tmp_path / 'net_g.safetensors')
    for (name, expected), (other, found) in zip(network.state_dict().items(), again.state_dict().items(), strict=True):
        assert name == other and torch.equal(expected, found)
    assert read_network_file(tmp_path / 'net_g.safetensors')['led_by'] == ['ab']
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith('.')] == []


def test_tensors_that_share_memory_are_each_written(tmp_path: Path) -> None:
    shared = torch.arange(6.0).view(2, 3)
    write_safetensors(tmp_path / 'a.safetensors', {'a': shared, 'b': shared.T}, {})
    read = read_network_file(tmp_path / 'a.safetensors')['params']
    assert torch.equal(read['a'], shared) and torch.equal(read['b'], shared.T)


@pytest.mark.parametrize(('content', 'message'), [
    (b'', r'cannot be read \(.*\): it is cut off or not a safetensors file'),
    (b'\xff' * 100, 'it is cut off or not a safetensors file'),
    (None, "weights file '.*' is missing. Expected a .safetensors file")])
def test_another_file_gets_a_sentence(tmp_path: Path, content: bytes | None, message: str) -> None:
    if content is not None:
        (tmp_path / 'a.safetensors').write_bytes(content)
    with pytest.raises(UserError, match=message):
        read_network_file(tmp_path / 'a.safetensors')


def test_a_file_of_another_program_does_not_say_which_network_it_holds(tmp_path: Path) -> None:
    save_file({'a': torch.zeros(1)}, tmp_path / 'a.safetensors', {'format': 'pt', 'network': 'SRResNet'})
    with pytest.raises(UserError, match='does not say which network it holds'):
        build_network_from_file(tmp_path / 'a.safetensors')


def test_equal_contents_give_equal_files_in_whatever_order_they_come(tmp_path: Path) -> None:
    entries = {f'entry {number}': number for number in range(20)}
    for name, order in (('a', 1), ('b', -1)):
        write_safetensors(tmp_path / name, {'w': torch.ones(3)}, dict(list(entries.items())[::order]))
    assert (tmp_path / 'a').read_bytes() == (tmp_path / 'b').read_bytes()


@pytest.mark.parametrize('place', [-1, -10, -20])
def test_a_flipped_bit_of_a_number_is_noticed(tmp_path: Path, place: int) -> None:
    path = tmp_path / 'a.safetensors'
    write_safetensors(path, {'w': torch.arange(6.0)}, {'network': {'type': 'SRResNet'}})
    assert set(read_network_file(path)) == {'params', 'network'}
    content = bytearray(path.read_bytes())
    content[place] ^= 4
    path.write_bytes(content)
    with pytest.raises(UserError, match="a.safetensors' is damaged: its numbers"):
        read_network_file(path)
