"""`cface evaluate`: systems in numbers, by whole-set protocols."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cface_basicsr.errors import UserError, nearest

if TYPE_CHECKING:
    import numpy as np
    from torch import nn

    from cface_basicsr.benchmark.table import Table
    from cface_basicsr.evaluation.verification import FoldedPairs

PROTOCOLS = ('pairs',)
PAIRS_PER_FOLD = 600


def command(
    protocol: Annotated[str, typer.Argument(help='pairs: ten folds of pairs drawn from the folder.')],
    data: Annotated[Path, typer.Argument(help='Folder made by `cface prepare`: identities not trained on.')],
    recognizer: Annotated[list[str], typer.Option(help='[NAME=]FILE of a recognizer, .pth or .onnx; may be repeated.',
                                                  show_default=False)],
    weights: Annotated[list[str] | None, typer.Option(help='[NAME=]FILE of a super-resolution network; may be '
                                                           'repeated. HR and Bicubic are always there.')] = None,
    scale: Annotated[int | None, typer.Option(help='2, 4 or 8; default: that of the networks, or of the only '
                                                   'lr_x<scale>.lmdb.')] = None,
    folds: Annotated[int, typer.Option(min=2, help='Folds that share no identity.')] = 10,
    pairs_per_fold: Annotated[int | None, typer.Option(help='Half same, half different people; default: 600, or as '
                                                            'many as the folder allows.')] = None,
    far: Annotated[float, typer.Option(min=0, max=1, help='False accept rate of the verification rate.')] = 0.01,
    seed: Annotated[int, typer.Option(help='Of the pairs.')] = 0,
    out: Annotated[Path | None, typer.Option(help='Save as OUT.json, OUT.md and OUT.csv.')] = None,
    overwrite: Annotated[bool, typer.Option('--overwrite', help='Replace saved results.')] = False,
    batch_size: Annotated[int, typer.Option(min=1, help='Images at a time.')] = 64,
    device: Annotated[str | None, typer.Option(help='cpu, cuda …; default: a GPU where there is one.')] = None,
    as_json: Annotated[bool, typer.Option('--json', help='Print JSON instead of the table.')] = False,
) -> None:
    """Verification accuracy, verification rate, PSNR and SSIM of HR, Bicubic and each network given.

    Pairs are drawn from the folder: balanced folds that share no identity, the same for every system. Both sides of a
    pair are super-resolved. The threshold of a fold comes from the other folds; ± is the standard deviation over the
    folds.

    \b
    Example:
      cface evaluate pairs casia/test --recognizer net_r.pth --recognizer other.onnx \\
        --weights C-Face-v2=stage4/net_g.pth --weights SRGAN=srgan/net_g.pth --out results/x8
    """
    if protocol not in PROTOCOLS:
        raise UserError(f"protocol: expected one of {', '.join(PROTOCOLS)}, got '{protocol}'; "
                        f'{nearest(protocol, PROTOCOLS)}')
    _refuse_existing(out, overwrite)
    table = _evaluate_pairs(data, _named(recognizer), _named(weights or []), scale, folds, pairs_per_fold, far, seed,
                            batch_size, device)
    if as_json:
        typer.echo(table.json(), nl=False)
    else:
        from rich.console import Console
        Console().print(table.rich())
    for path in table.save(out) if out else ():
        typer.echo(path, err=True)


def _refuse_existing(out: Path | None, overwrite: bool) -> None:
    there = [path for path in (Path(f'{out}.{suffix}') for suffix in ('md', 'csv', 'json')) if out and path.exists()]
    if there and not overwrite:
        raise UserError(f"'{there[0]}' exists; --overwrite replaces it.")


def _named(files: list[str]) -> dict[str, Path]:
    """'NAME=FILE' or 'FILE' -> {NAME or the file's stem: FILE}."""
    named: dict[str, Path] = {}
    for text in files:
        name, _, path = text.rpartition('=')
        path = Path(path)
        name = name or path.stem
        if name in named or name in ('HR', 'Bicubic'):
            raise UserError(f"two rows or recognizers would be called '{name}'. Name them: NAME={path}")
        if not path.is_file():
            raise UserError(f"'{path}' is missing. Expected a network file.")
        named[name] = path
    return named


def _evaluate_pairs(data: Path, recognizer_files: dict[str, Path], weight_files: dict[str, Path], scale: int | None,
                    folds: int, pairs_per_fold: int | None, far: float, seed: int, batch_size: int,
                    device: str | None) -> 'Table':
    from cface_basicsr.benchmark.recognizer_file import crop_note, load_recognizer
    from cface_basicsr.benchmark.table import Row, Table, verification_columns
    from cface_basicsr.checkpoints import build_network_from_file
    from cface_basicsr.cli.enhance import _device
    from cface_basicsr.cli.show import ShowSteps
    from cface_basicsr.data.store import FaceStore, read_identities
    from cface_basicsr.evaluation.face_systems import evaluate_chunks
    device = _device(device)
    networks = {name: build_network_from_file(path) for name, path in weight_files.items()}
    scale = _scale(data, networks, weight_files, scale)
    recognizers = {name: load_recognizer(path) for name, path in recognizer_files.items()}
    keys, labels = read_identities(data)
    hr, lr = FaceStore(data / 'hr.lmdb'), FaceStore(data / f'lr_x{scale}.lmdb')
    _refuse_other_keys(keys, hr, lr)
    folded = _pairs(labels, folds, pairs_per_fold, seed)
    rows = []
    with ShowSteps(2 + len(networks)) as show:
        for name, network in {'HR': None, 'Bicubic': _bicubic(scale), **networks}.items():
            show.start(name, len(keys))
            chunks = _chunks(keys, hr, lr, network, batch_size, device, show)
            numbers = evaluate_chunks(chunks, folded.pairs, folded.same, recognizers, folds=folded.fold, far=far,
                                      device=device)
            rows.append(Row(name, numbers, reference=name == 'HR'))
            show.end(name, f'{len(keys)} images')
    facts = _facts(data, recognizer_files, weight_files, device) | {
        'scale': scale, 'folds': folds, 'pairs': len(folded.same), 'far': far, 'seed': seed, 'images': len(keys),
        'identities': int(labels.max()) + 1, 'both sides super-resolved': True, 'threshold': 'from the other folds'}
    notes = [f'{len(keys)} images of {facts["identities"]} identities, x{scale}; {len(folded.same)} pairs in {folds} '
             f'folds that share no identity, seed {seed}; both sides of a pair super-resolved.']
    notes += filter(None, (crop_note(data, name, network) for name, network in recognizers.items()))
    return Table(f'{data.resolve().name}, x{scale}', verification_columns(list(recognizers), far), rows, notes, facts)


def _scale(data: Path, networks: 'dict[str, nn.Module]', files: dict[str, Path], wanted: int | None) -> int:
    """The one scale of all networks, of --scale, or of the folder."""
    from cface_basicsr.evaluation.super_resolution import scale_of
    found = {name: scale_of(network, f"weights file '{files[name]}'") for name, network in networks.items()}
    scales = set(found.values()) | ({wanted} if wanted else set())
    if not scales:
        scales = {int(path.name[4:-5]) for path in data.glob('lr_x*.lmdb') if path.name[4:-5].isdigit()}
    if len(scales) != 1:
        text = ', '.join(f'{name}: x{scale}' for name, scale in found.items()) or f'folder: {sorted(scales) or "none"}'
        raise UserError(f'one table holds one scale; {text}' + (f'; --scale {wanted}' if wanted else '')
                        + '. Give --scale, or networks of one scale.')
    return scales.pop()


def _bicubic(scale: int) -> 'nn.Module':
    from cface_basicsr.archs.bicubic_upsampler_arch import BicubicUpsampler
    return BicubicUpsampler(scale=scale)


def _refuse_other_keys(keys: list[str], *stores: Any) -> None:
    for store in stores:
        missing = set(keys) ^ set(store.keys)
        if missing:
            raise UserError(f"'{store.path}' and identities.csv differ in {len(missing)} keys, for example "
                            f"'{min(missing)}'. Make the folder again with `cface prepare`.")


def _pairs(labels: 'np.ndarray', folds: int, pairs_per_fold: int | None, seed: int) -> 'FoldedPairs':
    from cface_basicsr.evaluation.verification import largest_pairs_per_fold, make_pairs
    if pairs_per_fold is None:
        pairs_per_fold = max(2, min(PAIRS_PER_FOLD, largest_pairs_per_fold(labels, folds=folds, seed=seed)))
    return make_pairs(labels, folds=folds, pairs_per_fold=pairs_per_fold, seed=seed)


def _chunks(keys: list[str], hr: Any, lr: Any, network: 'nn.Module | None', batch_size: int, device: str,
            show: Any) -> 'Iterator[tuple[np.ndarray, np.ndarray]]':
    """(sr, hr) in the order of the keys; without a network the HR faces stand for both."""
    import numpy as np

    from cface_basicsr.evaluation.super_resolution import super_resolve
    for start in range(0, len(keys), batch_size):
        part = keys[start:start + batch_size]
        truth = np.stack([hr.image(key) for key in part])
        yield (truth if network is None else super_resolve(network, np.stack([lr.image(key) for key in part]),
                                                           batch_size=batch_size, device=device)), truth
        show.advance(start + len(part))


def _manifest(data: Path) -> Path | None:
    return path if (path := data / 'manifest.json').is_file() else None


def _facts(data: Path, recognizers: dict[str, Path], weights: dict[str, Path], device: str) -> dict[str, Any]:
    """What makes the numbers traceable."""
    import torch

    from cface_basicsr import __version__
    from cface_basicsr.checkpoints import file_hash
    files = {'recognizers': recognizers, 'weights': weights}
    manifest = _manifest(data)
    return {'command': ' '.join(['cface', *sys.argv[1:]]), 'data': str(data),
            'identities_sha256': file_hash(data / 'identities.csv', 64),
            'manifest_sha256': file_hash(manifest, 64) if manifest else None,
            **{kind: {name: {'file': str(path), 'sha256': file_hash(path, 64)} for name, path in named.items()}
               for kind, named in files.items()},
            'device': device, 'cface_basicsr': __version__, 'torch': torch.__version__}
