"""`cface evaluate`: systems in numbers, by whole-set protocols; and two such results side by side."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperCommand

from cface_basicsr.cli.arguments import Device, Json, Overwrite, Strict
from cface_basicsr.errors import UserError
from cface_basicsr.runtime import pick_device, start_computing

if TYPE_CHECKING:
    from cface_basicsr.measuring.request import Request
    from cface_basicsr.measuring.table import Table

_SYSTEMS, _SWITCHES, _PROTOCOL, _OUTPUT = 'Systems', 'Switches (printed with the result)', 'Protocol', 'Output'
_RESERVED = ('HR', 'Bicubic', 'LR')


class Help(TyperCommand):
    """The command with a help that asks the protocols what they are; importing them takes a second or two."""

    def format_help(self, ctx: typer.Context, formatter: Any) -> None:
        """Write the help."""
        from cface_basicsr.measuring.protocols import PROTOCOLS
        width = max(map(len, PROTOCOLS))
        lines = [f'{name:{width}}  {kind.help}: {kind.gives}' for name, kind in PROTOCOLS.items()]
        self.help = self.help.replace('PROTOCOLS', '\n'.join(lines).replace('`', ''))
        super().format_help(ctx, formatter)


def _option(panel: str, text: str, *names: str, **settings: object) -> object:
    return typer.Option(*names, help=text, rich_help_panel=panel, **settings)


_Protocol = Annotated[str | None, typer.Argument(help='What is compared with what, see above.')]
_Data = Annotated[Path | None, typer.Argument(help=(
    "Folder of `cface prepare`, of people not trained on; for --features also identities.csv, pairs, BLUFR's lists."))]
_Recognizers = Annotated[list[str] | None, _option(_SYSTEMS, (
    '[NAME=]FILE of a recognizer (.pth, .onnx), or [NAME=]package.module:callable; may be repeated.'))]
_Judge = Annotated[bool, _option(_SYSTEMS, (
    "With one recognizer: dlib's, which comes with the plugin, as a second one, where faces are aligned."),
    '--judge/--no-judge')]
_Detector = Annotated[Path | None, _option(_SYSTEMS, (
    "Folder with facexlib's face detector: its landmarks on HR align centre crops for dlib's recognizer; default: "
    "torch hub's, if there is one."))]
_Weights = Annotated[list[str] | None, _option(_SYSTEMS, (
    '[NAME=]FILE of a super-resolution network; may be repeated. HR and Bicubic are always there.'))]
_Features = Annotated[list[str] | None, _option(_SYSTEMS, (
    '[NAME=]FILE.npy, features (N, D), with FILE.keys.txt, a key or file name per row, instead; may be repeated.'))]
_Scale = Annotated[int | None, _option(_SYSTEMS, (
    '2, 4 or 8; default: that of the networks, or of the only lr_x<scale>.lmdb.'))]
_Sides = Annotated[str, _option(_SWITCHES, (
    "both: all images are super-resolved (the paper). one: the first image of a pair is HR, the second super-resolved. "
    "lr: all images are LR, enlarged only by the recognizer's own resize; no networks."))]
_Flip = Annotated[bool | None, _option(_SWITCHES, (
    'Join the features of an image with those of its mirror image; default: only for lfw.'), '--flip/--no-flip')]
_Color = Annotated[str, _option(_SWITCHES, 'PSNR and SSIM of rgb, or of luma: y.')]
_Border = Annotated[int, _option(_SWITCHES, 'Pixels cut off each side before PSNR and SSIM.', min=0)]
_Pairs = Annotated[Path | None, _option(_PROTOCOL, (
    "lfw: a file of pairs, LFW's pairs.txt or with the header left,right,same,fold; default: the folder's pairs.csv."))]
_Config = Annotated[Path | None, _option(_PROTOCOL, (
    'blufr: blufr_lfw_config.mat of the official toolkit, or its folder of lists.'))]
_Folds = Annotated[int, _option(_PROTOCOL, 'pairs: folds that share no identity.', min=2)]
_PairsPerFold = Annotated[int | None, _option(_PROTOCOL, (
    'pairs: half of one person, half of different people; default: 600, or as many as the folder allows.'))]
_Far = Annotated[float | None, _option(_PROTOCOL, (
    'False accept rate of the verification rate; default: 0.01, for blufr 0.001.'), min=0, max=1)]
_FarIdentification = Annotated[float | None, _option(_PROTOCOL, (
    'blufr, open-set: false alarm rate of open-set identification; default: 0.01.'), min=0, max=1)]
_Seed = Annotated[int, _option(_PROTOCOL, 'pairs, open-set: of the draw.')]
_Compare = Annotated[tuple[Path, Path] | None, _option(_OUTPUT, (
    'Measure nothing; print how the second result differs from the first and whether that is more than chance. A file '
    'twice: its systems among each other.'), metavar='A.json B.json')]
_Out = Annotated[Path | None, _option(_OUTPUT, 'Save as OUT.json, OUT.md and OUT.csv.')]
_Curves = Annotated[bool, _option(_OUTPUT, 'pairs, lfw: also save ROC and DET, OUT.roc.csv and .png.', '--curves')]
_Cache = Annotated[Path | None, _option(
    _OUTPUT, 'Folder of features kept for later runs; they may be deleted.', show_default='DATA/features')]
_BatchSize = Annotated[int, _option(_OUTPUT, 'Images at a time.', min=1)]


def command(
    protocol: _Protocol = None, data: _Data = None, recognizer: _Recognizers = None, weights: _Weights = None,
    features: _Features = None, scale: _Scale = None, sides: _Sides = 'both', flip: _Flip = None, color: _Color = 'rgb',
    border: _Border = 0, pairs: _Pairs = None, config: _Config = None, folds: _Folds = 10,
    pairs_per_fold: _PairsPerFold = None, far: _Far = None, far_identification: _FarIdentification = None,
    seed: _Seed = 0, compare: _Compare = None, out: _Out = None, curves: _Curves = False, overwrite: Overwrite = False,
    cache: _Cache = None, batch_size: _BatchSize = 64, judge: _Judge = True,
    detector: _Detector = None, strict: Strict = False, device: Device = None, as_json: Json = False,
) -> None:
    """Measure how well faces are recognized: of HR, of Bicubic, and of each network given; PSNR and SSIM next to it.

    \b
    PROTOCOLS

    EER is the equal error rate; TAR are true accept rates at FAR 10 % to 0.01 %, with their numbers of pairs.
    Formulas and choices: docs/protocols.md.

    \b
    Examples:
      cface evaluate pairs casia/test --recognizer net_r.pth --recognizer other.onnx \\
        --weights C-Face-v2=stage4/net_g.pth --weights SRGAN=srgan/net_g.pth --out results/x8 --curves
      cface evaluate lfw lfw --pairs pairs.txt --recognizer net_r.pth --weights net_g.pth --out results/lfw
      cface evaluate blufr lfw --config blufr_lfw_config.mat --recognizer net_r.pth --weights net_g.pth
      cface evaluate identification casia/test --recognizer net_r.pth --scale 8
      cface evaluate open-set casia/test --recognizer net_r.pth --weights net_g.pth
      cface evaluate lfw pairs.txt --features mine=lfw.npy
      cface evaluate blufr blufr_lfw_config.mat --features mine=lfw.npy
      cface evaluate --compare results/srgan.json results/cface.json
    """
    _check_absent(out, overwrite)
    if compare:
        from cface_basicsr.measuring.compare import compare as compare_results
        table = compare_results(*compare)
        return _print(table, table.json(), out, as_json)
    if protocol is None or data is None:
        raise UserError('expected PROTOCOL DATA, for example `cface evaluate pairs FOLDER --recognizer FILE`, or '
                        '--compare A.json B.json.')
    if curves and not out:
        raise UserError('--curves writes files: it needs --out.')
    from cface_basicsr.measuring.request import Request
    return _run(Request(
        protocol=protocol, data=data, recognizers=_named(recognizer or []),
        weights=_named(weights or [], files=True), features=_named(features or [], files=True, reserved=()),
        scale=scale, sides=sides, flip=flip, color=color, border=border, folds=folds, pairs_per_fold=pairs_per_fold,
        pairs=pairs, config=config, far=far, far_identification=far_identification, seed=seed, cache=cache,
        batch_size=batch_size, curves=curves, judge=judge, detector=detector,
        strict=strict), device, out, as_json)


def _run(request: 'Request', device: str | None, out: Path | None, as_json: bool) -> None:
    from dataclasses import replace

    from cface_basicsr.cli.show import ShowSteps
    from cface_basicsr.measuring.evaluate import evaluate_request
    from cface_basicsr.report.figures import save_curves
    from cface_basicsr.report.systems_table import evaluation_table
    start_computing()
    request = replace(request, device=pick_device(device))
    systems = len(request.features) or 2 + len(request.weights)
    with ShowSteps(systems) as show:
        results, curves = evaluate_request(request, show)
    _print(evaluation_table(results), results.json(), out, as_json)
    for path in save_curves(curves, results.title, out) if out and request.curves else ():
        typer.echo(path, err=True)


def _print(table: 'Table', record: str, out: Path | None, as_json: bool) -> None:
    """The table, or the record; and both as OUT.md, OUT.csv, OUT.json."""
    from rich.console import Console

    from cface_basicsr.files.atomic import write_text
    if as_json:
        typer.echo(record, nl=False)
    else:
        Console().print(table.rich())
    if out:
        for path in table.save(out):
            typer.echo(path, err=True)
        write_text(f'{out}.json', record)
        typer.echo(f'{out}.json', err=True)


def _check_absent(out: Path | None, overwrite: bool) -> None:
    there = [path for path in (Path(f'{out}.{suffix}') for suffix in ('md', 'csv', 'json')) if out and path.exists()]
    if there and not overwrite:
        raise UserError(f"'{there[0]}' exists; --overwrite replaces it.")


def _named(given: list[str], *, files: bool = False, reserved: tuple[str, ...] = _RESERVED) -> dict[str, str | Path]:
    """'NAME=FILE' or 'FILE' -> {NAME or the file's stem: FILE}; a callable is called by its own name."""
    named: dict[str, str | Path] = {}
    for text in given:
        name, _, source = text.rpartition('=')
        path = Path(source)
        name = name or (source.rpartition(':')[2] if ':' in path.name and not path.exists() else path.stem)
        if name in named or name in reserved:
            raise UserError(f"two rows or recognizers would be called '{name}'. Name them: NAME={source}")
        if files and not path.is_file():
            raise UserError(f"'{path}' is missing. Expected a network file, or features as .npy.")
        named[name] = path if files else source
    return named
