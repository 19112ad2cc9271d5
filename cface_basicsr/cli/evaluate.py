"""`cface evaluate`: systems in numbers, by whole-set protocols; and two such results side by side."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer
from typer.core import TyperCommand

from cface_basicsr.cli.arguments import Device, Json, Overwrite, Plugins, Strict
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


def _option(panel: str, *names: str, **settings: object) -> object:
    return typer.Option(*names, rich_help_panel=panel, **settings)


def command(
    protocol: Annotated[str | None, typer.Argument()] = None,
    data: Annotated[Path | None, typer.Argument()] = None,
    recognizer: Annotated[list[str] | None, _option(_SYSTEMS)] = None,
    weights: Annotated[list[str] | None, _option(_SYSTEMS, '--weights', '--network')] = None,
    images: Annotated[list[str] | None, _option(_SYSTEMS, metavar='NAME=FOLDER')] = None,
    features: Annotated[list[str] | None, _option(_SYSTEMS)] = None,
    scale: Annotated[int | None, _option(_SYSTEMS)] = None,
    sides: Annotated[str | None, _option(_SWITCHES, show_default='both; scface: one')] = None,
    degrade: Annotated[list[str] | None, _option(_SWITCHES)] = None,
    flip: Annotated[bool | None, _option(_SWITCHES, '--flip/--no-flip')] = None,
    color: Annotated[str, _option(_SWITCHES)] = 'rgb',
    border: Annotated[int, _option(_SWITCHES, min=0)] = 0,
    lpips: Annotated[Path | None, _option(_SWITCHES)] = None,
    dists: Annotated[Path | None, _option(_SWITCHES)] = None,
    pairs: Annotated[Path | None, _option(_PROTOCOL)] = None,
    config: Annotated[Path | None, _option(_PROTOCOL)] = None,
    folds: Annotated[int, _option(_PROTOCOL, min=2)] = 10,
    pairs_per_fold: Annotated[int | None, _option(_PROTOCOL)] = None,
    far: Annotated[float | None, _option(_PROTOCOL, min=0, max=1)] = None,
    far_identification: Annotated[float | None, _option(_PROTOCOL, min=0, max=1)] = None,
    seed: Annotated[int, _option(_PROTOCOL, min=0)] = 0,
    compare: Annotated[tuple[Path, Path] | None, _option(_OUTPUT, metavar='A.json B.json')] = None,
    out: Annotated[Path | None, _option(_OUTPUT)] = None,
    curves: Annotated[bool, _option(_OUTPUT, '--curves')] = False,
    overwrite: Overwrite = False,
    cache: Annotated[Path | None, _option(_OUTPUT, show_default='DATA/features')] = None,
    batch_size: Annotated[int, _option(_OUTPUT, min=1)] = 64,
    judge: Annotated[bool, _option(_SYSTEMS, '--judge/--no-judge')] = True,
    detector: Annotated[Path | None, _option(_SYSTEMS)] = None,
    strict: Strict = False,
    device: Device = None, as_json: Json = False, plugin: Plugins = None,
) -> None:
    """Measure how well faces are recognized: of HR, of Bicubic, and of each network given; PSNR and SSIM next to it.

    \b
    PROTOCOLS

    EER is the equal error rate; TAR are true accept rates at FAR 10 % to 0.01 %, with their numbers of pairs.
    Formulas and choices: docs/protocols.md.

    Args:
        protocol: What is compared with what, see above.
        data: Folder made by `cface prepare`, of people not trained on. With --features also its identities.csv, a pairs
            file (pairs, lfw) or official lists (blufr, tinyface, survface).
        recognizer: [NAME=]FILE of a recognizer (.pth, .onnx), or [NAME=]package.module:callable; may be repeated.
        judge: With one recognizer: dlib's, which comes with the plugin, as a second one, where faces are aligned.
        detector: Folder with another face detector of facexlib's; landmarks on HR align centre crops for dlib's
            recognizer.
        weights: [NAME=]FILE of a super-resolution network, also .onnx, or a name that `cface models list` prints
            instead of the file; may be repeated. HR and Bicubic are always there.
        images: Finished pictures of any other software, made from the lr_x<scale> faces: one for each image, called
            <identity>/<image>.png as `cface unpack` writes them; may be repeated.
        features: [NAME=]FILE.npy of precomputed features (N, D), with FILE.keys.txt next to it, one key or file name
            per row; may be repeated. Then no recognizer, network or image is needed.
        scale: 2, 4 or 8; default: that of the networks, or of the only lr_x<scale>.lmdb.
        sides: both: all images are super-resolved (the paper). one: the first image of a pair is HR, or a mug shot
            as it is; the second is super-resolved. lr: all images are LR, enlarged only by the recognizer's own resize;
            no networks.
        degrade: Further rows of every system, for LR that went through more than its reduction: jpeg or jpeg-before
            (30, 50, 70, 90), noise (5, 10, 20 grey levels), blur (0.25, 0.5, 1 pixel of LR), shift (half a pixel of
            LR; PSNR counts the shift), camera (as in training); may be repeated.
        flip: Join the features of an image with those of its mirror image; default: only for lfw.
        color: PSNR and SSIM of rgb, or of luma: y.
        border: Pixels cut off each side before PSNR and SSIM.
        lpips: Also LPIPS, by AlexNet, whose alexnet-owt-7be5be79.pth of torchvision is in this folder.
        dists: Also DISTS, by VGG16, whose vgg16-397923af.pth of torchvision is in this folder.
        pairs: lfw: a file of pairs, LFW's pairs.txt or with the header left,right,same,fold; default: the folder's
            pairs.csv.
        config: blufr: blufr_lfw_config.mat of the official toolkit, or its folder of lists. tinyface, survface: the
            folder of the official lists, Testing_Set or Face_Identification_Test_Set.
        folds: pairs: folds that share no identity.
        pairs_per_fold: pairs: half of one person, half of different people; default: 600 (with ten folds 3,000 +
            3,000), or as many as the folder allows.
        far: pairs, lfw, blufr, scface: false accept rate of the verification rate; default: 0.01, for blufr 0.001.
        far_identification: blufr, open-set: false alarm rate of open-set identification; default: 0.01.
        seed: pairs, open-set: of the draw.
        compare: Measure nothing; print how the second result differs from the first and whether that is more than
            chance. A file twice: its systems among each other.
        out: Save as OUT.json, OUT.md and OUT.csv.
        curves: pairs, lfw: save ROC and DET as OUT.roc.csv and OUT.roc.png, too.
        cache: Folder of the features that are kept for later runs. They may be deleted at any time.
        batch_size: Images at a time.

    \b
    Examples:
      cface evaluate pairs casia/test --recognizer net_r.pth --recognizer other.onnx \\
        --weights C-Face-v2=stage4/net_g.pth --weights SRGAN=srgan/net_g.pth --out results/x8 --curves
      cface evaluate lfw lfw --pairs pairs.txt --recognizer net_r.pth --weights net_g.pth --out results/lfw
      cface evaluate blufr lfw --config blufr_lfw_config.mat --recognizer net_r.pth --weights net_g.pth
      cface evaluate identification casia/test --recognizer net_r.pth --scale 8
      cface evaluate pairs casia/test --recognizer net_r.pth --weights net_g.pth --degrade jpeg --degrade noise
      cface evaluate open-set casia/test --recognizer net_r.pth --weights net_g.pth
      cface evaluate pairs casia/test --recognizer net_r.pth --scale 8 --images Other=other_x8
      cface evaluate tinyface tinyface --config TinyFace/Testing_Set --recognizer net_r.pth --weights net_g_x4.pth
      cface evaluate survface survface --config QMUL-SurvFace/Face_Identification_Test_Set --recognizer net_r.pth \\
        --weights net_g_x4.pth
      cface evaluate scface scface --recognizer net_r.pth --weights net_g_x4.pth
      cface evaluate lfw pairs.txt --features mine=lfw.npy
      cface evaluate blufr blufr_lfw_config.mat --features mine=lfw.npy
      cface evaluate --compare results/srgan.json results/cface.json
    """
    _check_absent(out, overwrite)
    if compare:
        _check_results(*compare)
        from cface_basicsr.measuring.compare import compare as compare_results
        table = compare_results(*compare)
        return _print(table, table.json(), out, as_json)
    if protocol is None or data is None:
        raise UserError('expected PROTOCOL DATA, as in `cface evaluate pairs FOLDER …`, or --compare A.json B.json.')
    if curves and not out:
        raise UserError('--curves writes files: it needs --out.')
    named = _Named.of(recognizer or [], weights or [], images or [], features or [])
    if recognizer or features:
        _check_there(data, named.recognizers)
    from cface_basicsr.measuring.request import Request  # with torch, whose import takes seconds
    return _run(Request(
        protocol=protocol, data=data, **named._asdict(), scale=scale, sides=sides, degrade=tuple(degrade or ()),
        flip=flip, color=color, border=border, lpips=lpips, dists=dists, folds=folds, pairs_per_fold=pairs_per_fold,
        pairs=pairs, config=config, far=far, far_identification=far_identification, seed=seed, cache=cache,
        batch_size=batch_size, curves=curves, judge=judge, detector=detector, strict=strict), device, out, as_json)


class _Named(NamedTuple):
    """What has a name in the table, name -> file or folder; see `measuring.request.Request`."""

    recognizers: dict[str, str | Path]
    weights: dict[str, str | Path]
    images: dict[str, Path]
    features: dict[str, str | Path]

    @classmethod
    def of(cls, recognizer: list[str], weights: list[str], images: list[str], features: list[str]) -> '_Named':
        return cls(_named(recognizer), _named(weights, files=True, zoo=True), _named_folders(images, weights),
                   _named(features, files=True, reserved=()))


def _check_there(data: Path, recognizers: dict[str, str | Path]) -> None:
    from cface_basicsr.files.identities import PREPARE_COMMAND
    from cface_basicsr.recognizers.named import recognizer_path
    if not data.exists():
        raise UserError(f"'{data}' is missing. Expected a folder made by {PREPARE_COMMAND}.")
    for recognizer in recognizers.values():
        recognizer_path(recognizer)


def _check_results(*files: Path) -> None:
    from cface_basicsr.measuring.results import load_results
    for file in files:
        load_results(file)


def _run(request: 'Request', device: str | None, out: Path | None, as_json: bool) -> None:
    from dataclasses import replace

    from cface_basicsr.cli.show import ShowSteps, note
    from cface_basicsr.data.images.degradations import measured_strengths
    from cface_basicsr.measuring.evaluate import evaluate_request
    from cface_basicsr.report.figures import save_curves
    from cface_basicsr.report.tables import evaluation_table
    start_computing()
    request = replace(request, device=pick_device(device))
    rows = 1 + len(measured_strengths(request.degrade))
    systems = len(request.features) or 1 + (1 + len(request.weights)) * rows + len(request.images)
    with ShowSteps(systems) as show:
        results, curves = evaluate_request(request, show)
    _print(evaluation_table(results), results.json(), out, as_json)
    for path in save_curves(curves, results.title, out) if out and request.curves else ():
        note(path)


def _print(table: 'Table', record: str, out: Path | None, as_json: bool) -> None:
    """The table, or the record; and both as OUT.md, OUT.csv, OUT.json."""
    from cface_basicsr.cli.show import Terminal, note, say
    from cface_basicsr.files.atomic import write_text
    if as_json:
        say(record, end='')
    else:
        Terminal().print(table.rich())
    if out:
        for path in table.save(out):
            note(path)
        write_text(f'{out}.json', record)
        note(f'{out}.json')


def _check_absent(out: Path | None, overwrite: bool) -> None:
    there = [path for path in (Path(f'{out}.{suffix}') for suffix in ('md', 'csv', 'json')) if out and path.exists()]
    if there and not overwrite:
        raise UserError(f"'{there[0]}' exists; --overwrite replaces it.")


def _named(given: list[str], *, files: bool = False, zoo: bool = False, reserved: tuple[str, ...] = _RESERVED
           ) -> dict[str, str | Path]:
    """'NAME=FILE' or 'FILE' -> {NAME or the file's stem: FILE}; a callable is called by its own name.

    With `zoo`, a file may be the name of a network.
    """
    from cface_basicsr.zoo.catalogue import network_path
    named: dict[str, str | Path] = {}
    for text in given:
        name, _, source = text.rpartition('=')
        path = network_path(source) if zoo else Path(source)
        name = name or (source.rpartition(':')[2] if ':' in path.name and not path.exists() else path.stem)
        if name in named or name in reserved:
            raise UserError(f"two rows or recognizers would be called '{name}'. Name them: NAME={source}")
        if files and not path.is_file():
            raise UserError(f"'{path}' is missing. Expected a network file, or features as .npy.")
        named[name] = path if files else source
    return named


def _named_folders(images: list[str], weights: list[str]) -> dict[str, Path]:
    """'NAME=FOLDER' -> {NAME: FOLDER}; names are checked together with those of the networks."""
    named = {name: Path(folder) for name, folder in _named([*weights, *images]).items()}
    return dict(list(named.items())[len(weights):])
