"""`cface features`: what a recognizer sees in each image of a folder, as a file."""

from pathlib import Path
from typing import Annotated

import typer

from cface_basicsr.cli.arguments import Device, Json, Overwrite, check_new
from cface_basicsr.runtime import pick_device, start_computing


def command(
    folder: Annotated[Path, typer.Argument(metavar='DIR')],
    recognizer: Annotated[str, typer.Option()],
    out: Annotated[Path, typer.Option(metavar='FILE.npy')],
    flip: Annotated[bool, typer.Option('--flip')] = False,
    batch_size: Annotated[int | None, typer.Option(min=1, show_default='64 on a GPU, 8 on a CPU')] = None,
    overwrite: Overwrite = False, device: Device = None, as_json: Json = False,
) -> None:
    """Save the features of all images, as the recognizer gives them: FILE.npy, float32, one row per image.

    FILE.keys.txt next to it has the key of each row. `cface evaluate … --features` and numpy.load read them.

    Args:
        folder: Folder made by `cface prepare` (its hr.lmdb), or a store.
        recognizer: FILE of a recognizer (.pth, .onnx), dlib, or package.module:callable.
        out: The file to write.
        flip: Join the features of an image with those of its mirror image, as in SphereFace's evaluation of LFW.
        batch_size: Images at a time.

    \b
    Example:
      cface features datasets/lfw --recognizer dlib --out lfw.npy
      cface evaluate pairs datasets/lfw --features dlib=lfw.npy
    """
    from cface_basicsr.cli.show import ShowSteps, say, say_json, warn
    from cface_basicsr.evaluation.features_file import check_features_name, keys_file, write_features
    from cface_basicsr.files.face_store import open_faces
    from cface_basicsr.recognizers.named import recognizer_path
    check_features_name(out)
    check_new(out, overwrite)
    recognizer_path(recognizer)
    store = open_faces(folder)
    # Torch is imported here, which takes seconds: what can be refused without it is refused above.
    start_computing()
    from cface_basicsr.evaluation.features import extract_features
    from cface_basicsr.recognizers.load import crop_note, load_recognizer
    network = load_recognizer(recognizer)
    if note := crop_note(store.path.parent, 'the recognizer', network):
        warn(f'warning: {note}')
    with ShowSteps(1) as show:
        progress = show.follow('features')
        features = extract_features(network, store.images(progress), batch_size=batch_size, device=pick_device(device),
                                    flip=flip, unit_length=False)
    write_features(out, features, store.keys)
    count, length = features.shape
    if as_json:
        say_json({'features': str(out), 'keys': str(keys_file(out)), 'images': count, 'length': length})
    else:
        say(f'{out}: {count} images, {length} numbers for each; their keys: {keys_file(out)}')
