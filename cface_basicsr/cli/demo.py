"""`cface demo`: everything from photographs to the table, at small settings."""

from pathlib import Path

from cface_basicsr.cli.arguments import Json, OtherPath, Plugins
from cface_basicsr.cli.show import ShowSteps
from cface_basicsr.runtime import cores


def command(
    data: Path | None = None, out: Path = Path('demo'), recognizer: Path | None = None, weights: Path | None = None,
    holdout: int | None = None, identities: int = 240, images: int = 8, recipe: OtherPath = None,
    as_json: Json = False, plugin: Plugins = None,
) -> None:
    """Make faces, prepare them, train all stages, and print the table; a killed demo continues.

    It takes about ten minutes for synthetic faces on two CPU cores, up to forty for a few thousand photographs.

    Args:
        data: Photographs, <identity>/<image>; default: synthetic.
        out: Everything is written here.
        recognizer: CNN_R in an ONNX file; faces are then aligned.
        weights: Folder with another face detector of facexlib's, for --recognizer.
        holdout: Identities kept for testing; default 41; synthetic: 60.
        identities: Synthetic identities, without --data.
        images: Synthetic images of each.
        recipe: Another recipe than options/demo/*.yml.

    \b
    Example:
      cface demo
      cface demo --data PHOTOS --out demo_photos --recognizer mobilefacenet_112.onnx
    """
    from cface_basicsr.cli.train import train_recipe
    from cface_basicsr.errors import UserError
    from cface_basicsr.options.shipped import find_option_file
    if recognizer and not data:
        raise UserError('--recognizer needs --data: a recognizer of photographs does not know synthetic faces.')
    source = data or draw_faces(out / 'faces', identities, images)
    prepare_faces(source, out / 'data', holdout or (41 if data else 60), recognizer is not None, weights)
    name = 'faces.yml' if not data else 'photos.yml' if recognizer else 'photos_trained.yml'
    variables = {'recognizer': str(recognizer.absolute())} if recognizer else {}
    train_recipe(recipe or find_option_file(f'demo/{name}'), out / 'data', out / 'run', variables, 1, as_json)


def draw_faces(folder: Path, identities: int, images: int) -> Path:
    """Draw synthetic faces into a folder, with progress; returns the folder."""
    from cface_basicsr.data.generated_faces.tree import TreeSettings, write_synthetic_faces
    with ShowSteps(1) as show:
        settings = TreeSettings(identities=identities, images=images)
        write_synthetic_faces(folder, settings, workers=cores(), progress=show.follow('synthetic faces'))
        show.end('synthetic faces', f'{identities} people, {images} images each, in {folder}')
    return folder


def prepare_faces(source: Path, out: Path, holdout: int, align: bool, weights: Path | None,
                  scales: tuple[int, ...] = (8,)) -> None:
    """`cface prepare` with seed 0, with progress; `align` to the ArcFace template, else centre crops."""
    from cface_basicsr.data.prepare.run import PrepareSettings, prepare
    crop = {'crop': 'align', 'template': 'arcface', 'weights': weights} if align else {}
    settings = PrepareSettings(scales=scales, holdout=holdout, **crop)
    with ShowSteps(1) as show:
        report = prepare(source, out, settings, workers=cores(), progress=show.follow('prepare'))
        counts = ', '.join(f'{name}: {part.images} images of {part.identities} people'
                           for name, part in report.parts.items())
        show.end('prepare', f'{counts}; {len(report.rejected)} rejected')

