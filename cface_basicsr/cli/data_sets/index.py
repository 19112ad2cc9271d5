"""`cface index`: features and compare index of a prepared folder."""

from pathlib import Path
from typing import Annotated

import typer

from cface_basicsr.cli.arguments import Device, Json
from cface_basicsr.runtime import pick_device, start_computing


def command(
    folder: Annotated[Path, typer.Argument(metavar='DIR')],
    recognizer: Annotated[Path, typer.Option()],
    k: Annotated[int, typer.Option(min=1)] = 5,
    batch_size: Annotated[int | None, typer.Option(min=1, show_default='64 on a GPU, 8 on a CPU')] = None,
    device: Device = None, as_json: Json = False,
) -> None:
    """Find the most similar images of the same person for each image, by a recognizer's features.

    Writes DIR/index/<recognizer hash>/: features.npy, compare_k<K>.npy, manifest.json, and the picture
    compare_faces.png. A killed run continues when the same command is given again.

    Args:
        folder: Folder made by `cface prepare` (with hr.lmdb).
        recognizer: CNN_R: a network file of stage 0 (.pth), published weights, or an ONNX file.
        k: Number of most similar images to keep for each image.
        batch_size: Images at a time.

    \b
    Example:
      cface index datasets/casia/train --recognizer experiments/cface_stage0/models/net_r_latest.pth --k 5
    """
    from cface_basicsr.cli.show import ShowSteps, say, say_json, warn
    from cface_basicsr.files.face_store import FaceStore
    from cface_basicsr.files.identities import read_identities
    from cface_basicsr.files.recognizer_file import recognizer_hash
    from cface_basicsr.recognizers.named import recognizer_path
    file, (keys, labels) = recognizer_path(recognizer), read_identities(folder)
    # Torch is imported here, which takes seconds: what can be refused without it is refused above.
    start_computing()
    from cface_basicsr.data.compare_index import build_index, load_compare_index
    from cface_basicsr.data.compare_picture import draw_compare_faces
    from cface_basicsr.recognizers.load import crop_note, load_recognizer
    where = pick_device(device)
    network = load_recognizer(recognizer).to(where)
    if note := crop_note(folder, 'the recognizer', network):
        warn(f'warning: {note}')
    with ShowSteps(1) as show:
        out = build_index(folder, network, recognizer_hash(file), k=k, batch_size=batch_size, device=where,
                          facts={'recognizer_file': str(file.absolute())}, progress=show.follow('index'))
        show.end('index', f'{len(keys)} images of {int(labels.max()) + 1} identities')
    index, picture = load_compare_index(out, keys, labels), out / 'compare_faces.png'
    draw_compare_faces(FaceStore(folder / 'hr.lmdb'), labels, index, picture)
    without = int((index[:, 0] < 0).sum())
    if as_json:
        say_json({'index': str(out), 'picture': str(picture), 'images': len(keys), 'k': k,
                  'images_without_compare_image': without})
    else:
        say(f'{out}: {len(keys)} images, k = {k}; {without} without another image of the same person\n{picture}')
