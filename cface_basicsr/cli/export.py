"""`cface export`: a trained network for other programs."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from cface_basicsr.cli.arguments import Json, Plugins, check_new, of_zoo
from cface_basicsr.cli.show import say, say_json
from cface_basicsr.errors import UserError
from cface_basicsr.runtime import start_computing

if TYPE_CHECKING:
    from cface_basicsr.zoo.card import CardNumber, Draft


def command(
    network: Annotated[Path, typer.Argument(callback=of_zoo)],
    out: Annotated[Path, typer.Option()],
    kind: Annotated[Literal['onnx', 'safetensors', 'hub'],
                    typer.Option('--format', metavar='onnx|safetensors|hub')] = 'onnx',
    half: bool = False, faces: Annotated[Path | None, typer.Option(metavar='DIR')] = None,
    card: Path | None = None, results: Path | None = None, as_json: Json = False,
    plugin: Plugins = None,
) -> None:
    """Write a trained network for other programs, compared with it on faces before it appears.

    An ONNX file has one input, lr (B, 3, 128 / scale, 128 / scale), and one output, sr (B, 3, 128, 128), both RGB in
    [0, 1], for any B; values are not clamped. A safetensors file says which network it holds. A hub folder has that
    file, its options and a model card with the numbers of a results file and the command that made them.

    A difference of 1e-4 of a pixel's range or more (with --half: 1e-2) is refused, and nothing is written.

    Args:
        network: Network file (.pth or .safetensors), or a name that `cface models list` prints.
        out: The file, or the folder of a hub, to write.
        kind: What to write.
        half: Half precision.
        faces: Folder of face images, your own, of any size, on which the file is compared with the network; default:
            eight synthetic faces.
        card: Hub: YAML file with about, licence, data, recognizer, identity, pixels; default: that of the name.
        results: Hub: results file of `cface evaluate`, `train` or `benchmark` with this very file's numbers.

    \b
    Example:
      cface export net_g_latest.pth --format onnx --half --out net_g.onnx
      cface export net_g_latest.pth --faces crops/ --out net_g.onnx
      cface export net_g_latest.pth --format hub --card holiday.yml --results results/lfw.json --out hub/holiday-x8
    """
    from cface_basicsr.data.images.face_images import find_faces
    if kind != 'hub' and (card or results):
        raise UserError('--card and --results belong to --format hub.')
    if kind != 'hub' and out.suffix != f'.{kind}':
        raise UserError(f"--out '{out}': expected a name that ends in .{kind}.")
    check_new(out)
    find_faces([faces] if faces else [])
    draft, numbers = _card_of(network, card) if kind == 'hub' else None, _numbers(results, network) if results else ()
    # Torch is imported here, which takes seconds: what can be refused without it is refused above.
    start_computing()
    from cface_basicsr.evaluation.super_resolution import scale_of
    from cface_basicsr.exporting.compare import comparison_faces, faces_of
    from cface_basicsr.exporting.export import check_source, entries_of, export_network
    from cface_basicsr.exporting.hub import write_hub
    from cface_basicsr.zoo.open import open_network
    opened = open_network(network)
    check_source(opened, network)
    scale = scale_of(opened, f"weights file '{network}'")
    seen = faces_of([faces], scale) if faces else comparison_faces(scale)
    if draft:
        difference = write_hub(out, opened, scale, entries_of(network), draft, numbers, half, seen)
    else:
        difference = export_network(out, opened, scale, network, half, seen)
    if as_json:
        say_json({'out': str(out), 'scale': scale, 'difference': difference, 'faces': len(seen),
                  'faces_of': str(faces) if faces else 'synthetic'})
    else:
        of = f"{len(seen)} face images of '{faces}'" if faces else f'{len(seen)} synthetic faces'
        say(f'{out}: largest difference {difference:.1g} on {of}')


def _card_of(network: Path, card: Path | None) -> 'Draft':
    """The card that is given, or the one next to the file of a zoo."""
    from cface_basicsr.zoo.card import CARD, read_card, read_draft
    if card:
        return read_draft(card)
    own = network.with_suffix(CARD)
    if not own.is_file():
        raise UserError(f"'{network}' has no card, and nobody else knows its licence. Give --card FILE; docs/zoo.md "
                        'shows one.')
    return read_card(own)


def _numbers(results: Path, network: Path) -> list['CardNumber']:
    """What a results file says of this very file."""
    from cface_basicsr.files.manifest import file_hash
    from cface_basicsr.measuring.results import load_results
    from cface_basicsr.zoo.card import CardNumber
    found, sha256 = load_results(results), file_hash(network, 64)
    numbers = [CardNumber(what=f'{key}, {test}', value=float(value), unit='dB' if key == 'psnr' else '',
                          command=found.facts.command)
               for run in found.runs if run.weights_sha256 == sha256 for test, measured in run.measured.items()
               for key, value in measured.numbers.items() if value is not None]
    if not numbers:
        raise UserError(f"'{results}' has no numbers of '{network}': none of its rows has that SHA-256 "
                        f'({sha256[:12]}…). Measure this very file: cface evaluate … --out NAME')
    return numbers
