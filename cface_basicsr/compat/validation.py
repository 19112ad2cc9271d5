"""Validation: in batches and by all ranks, with the values that one rank has from one image after the other."""

import itertools
import math
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from tqdm import tqdm

from cface_basicsr.compat.data_order import Loaders
from cface_basicsr.compat.defect import row, swapped
from cface_basicsr.compat.resume import save_out_of_turn
from cface_basicsr.compat.seeded_items import kept_random_state
from cface_basicsr.compat.verification import VERIFICATION, verified_faces
from cface_basicsr.errors import UserError
from cface_basicsr.ops.ranks import gathered, of_all_ranks, place_among_ranks, share_buffers
from cface_basicsr.ops.recognizer_input import feature_batch

_Picture = NDArray[np.uint8]
"""(H, W, 3) BGR."""
_Measured = list[tuple[int, list[float], NDArray[np.float32] | None]]
"""Row of the data set, a value of each metric, and what a judge sees, where one is asked."""


@row('validation-in-batches', 'basicsr.models.sr_model:SRModel.nondist_validation', has='torch.cuda.empty_cache()')
def _in_batches(validation: Callable, self: Any, dataloader: Any, current_iter: Any, tb_logger: Any,
                save_img: bool) -> None:
    """Without it: a generator gets one image at a time, after which all memory of the GPU is given back."""
    _conclude(self, dataloader, _measure(self, dataloader, current_iter, save_img), current_iter, tb_logger)


@row('validation-by-all-ranks', 'basicsr.models.sr_model:SRModel.dist_validation', has="self.opt['rank'] == 0")
def _by_all_ranks(validation: Callable, self: Any, dataloader: Any, current_iter: Any, tb_logger: Any,
                  save_img: bool) -> None:
    """Without it: one rank validates, and the others wait for it.

    A model whose class says how one rank validates, and not how several do, is left to rank 0.
    """
    if not _knows_ranks(type(self)):
        return validation(self, dataloader, current_iter, tb_logger, save_img)
    for network in filter(None, (self.get_bare_model(self.net_g), getattr(self, 'net_g_ema', None))):
        share_buffers(network)
    mine, failure = None, None
    try:
        mine = _measure(self, dataloader, current_iter, save_img, *place_among_ranks())
    except Exception as error:  # the others wait for what this rank has measured
        failure = error
    parts = gathered(mine)
    if failure:
        raise failure
    if parts and None not in parts:
        everything = sorted(itertools.chain(*parts), key=lambda each: each[0])
        _conclude(self, dataloader, everything, current_iter, tb_logger)
    return None


@row('failed-validation', 'basicsr.models.base_model:BaseModel.validation', requires=('mid-epoch',))
def _save_before_it_ends(validation: Callable, self: Any, dataloader: Any, current_iter: Any, *args: Any,
                         **kwargs: Any) -> None:
    """Without it: a metric that fails at a validation loses what was trained since the last checkpoint."""
    failure = None
    try:
        validation(self, dataloader, current_iter, *args, **kwargs)
    except Exception as error:
        failure = error
    if not any(of_all_ranks(failure is not None)):
        return
    if not self.is_train:
        raise failure or SystemExit(2)  # another rank says why
    saved = _save(self, current_iter)
    if failure is None:
        raise SystemExit(2)
    if isinstance(failure, UserError):
        raise UserError(f'{failure}\n{saved}') from failure
    from basicsr.utils import get_root_logger
    get_root_logger().warning(saved)
    raise failure


def _save(model: Any, iteration: int) -> str:
    """Save the state of a training whose validation has failed; what the message says of it."""
    try:
        save_out_of_turn(model, iteration)
    except UserError as error:  # its networks hold NaN, too
        return str(error)
    of_all_ranks(None)  # nobody leaves before the state is there
    return f'The state of iteration {iteration:,} is saved: the same command with --auto_resume continues.'


_TRIED = 256
"""Pictures of a validation set at most among which the smallest is sought."""


@row('tried-metrics', 'basicsr.train:create_train_val_dataloader', unless='metrics')
def _try_the_metrics(create: Callable[..., Loaders], opt: dict[str, Any], logger: Any) -> Loaders:
    """Without it: a metric that lacks a file, or does not fit the pictures, ends a training at its first validation."""
    loaders = create(opt, logger)
    metrics = (opt.get('val') or {}).get('metrics') or {}
    for loader in loaders[2] if metrics else ():
        with kept_random_state():
            pictures = _small_pictures(loader.dataset, opt.get('scale', 1))
            if pictures:
                _values(pictures, metrics)
    return loaders


def _small_pictures(data: Any, scale: int) -> dict[str, _Picture]:
    """The smallest HR image of a set and another picture of its size, or what an LR image becomes; none of videos."""
    from basicsr.utils import tensor2img
    items = (data[row] for row in range(0, len(data), -(-len(data) // _TRIED) or 1))
    images = ((item['gt'], 0) if 'gt' in item else (item['lq'], scale) for item in items)
    smallest, factor = min(images, key=lambda each: min(each[0].shape[-2:]), default=(torch.empty(0), 0))
    if smallest.ndim != 3:
        return {}
    picture = tensor2img([smallest])
    if factor:
        return {'img': picture.repeat(factor, 0).repeat(factor, 1)}
    return {'img': picture, 'img2': np.ascontiguousarray(picture[:, ::-1])}


def _knows_ranks(kind: type) -> bool:
    owner = next(each for each in kind.__mro__ if 'nondist_validation' in vars(each))
    return 'dist_validation' in vars(owner)


def _measure(model: Any, loader: Any, current_iter: Any, save_img: bool, rank: int = 0, ranks: int = 1) -> _Measured:
    """The metrics of this rank's images; batches are the same for any number of ranks."""
    opt, data = model.opt['val'], loader.dataset
    size, measured, verified = opt.get('batch_size', 1), [], verified_faces(model, data)
    share = -(-feature_batch(model.device) // size) * size if verified else size  # a judge sees it at once
    parts = [range(start, min(start + share, len(data))) for start in range(rank * share, len(data), ranks * share)]
    with tqdm(total=sum(map(len, parts)), unit='image', disable=rank > 0 or not opt.get('pbar', False)) as bar:
        for part in parts:
            values, judged = {}, {}
            batches = [part[start:start + size] for start in range(0, len(part), size)]
            for row, name, pictures in _pictures(model, loader, batches):
                if save_img:
                    _write(pictures['img'], model.opt, data.opt['name'], name, current_iter)
                values[row] = _values(pictures, opt.get('metrics') or {})
                if verified and row in verified.rows:
                    judged[row] = pictures['img']
                bar.update(1)
                bar.set_description(f'Test {name}')
            seen = verified.features(judged, model.device) if verified else {}
            measured += [(row, each, seen.get(row)) for row, each in values.items()]
    return measured


def _pictures(model: Any, loader: Any,
              batches: Sequence[Sequence[int]]) -> Iterator[tuple[int, str, dict[str, _Picture]]]:
    """Row, name and pictures (img: SR, img2: HR where there is one) of each image."""
    from basicsr.utils import tensor2img
    for rows in batches:
        items = ((row, loader.dataset[row]) for row in rows)
        for _, alike in itertools.groupby(items, key=lambda item: _shapes(item[1])):
            numbers, images = zip(*alike, strict=True)
            batch = loader.collate_fn(list(images))
            shown = _shown(model, batch)
            for place, number in enumerate(numbers):
                name = Path(batch['lq_path'][place]).stem
                yield number, name, {key: tensor2img([each[place:place + 1]]) for key, each in shown.items()}


def _shapes(item: dict[str, Any]) -> list[torch.Size]:
    return [value.shape for value in item.values() if isinstance(value, torch.Tensor)]


def _shown(model: Any, batch: dict[str, Any]) -> dict[str, torch.Tensor]:
    """What BasicSR compares, (B, 3, H, W) each; the model keeps nothing of it."""
    model.feed_data(batch)
    model.test()
    visuals = model.get_current_visuals()
    for name in {'lq', 'output', 'gt'} & vars(model).keys():
        delattr(model, name)
    return {name: visuals[key] for name, key in (('img', 'result'), ('img2', 'gt')) if key in visuals}


def _write(picture: _Picture, opt: dict[str, Any], data_set: str, name: str, current_iter: Any) -> None:
    from basicsr.utils import imwrite
    if opt['is_train']:
        place = os.path.join(name, f'{name}_{current_iter}.png')
    else:
        place = os.path.join(data_set, f"{name}_{opt['val'].get('suffix') or opt['name']}.png")
    imwrite(picture, os.path.join(opt['path']['visualization'], place))


def _values(pictures: dict[str, _Picture], metrics: dict[str, Any]) -> list[float]:
    from basicsr.metrics import calculate_metric
    for name, section in metrics.items():
        side, border = min(pictures['img'].shape[:2]), section.get('crop_border', 0)
        if border * 2 >= side:
            raise UserError(f"option 'val.metrics.{name}.crop_border': {border} pixels off each edge leave nothing of "
                            f'pictures {side} pixels wide or high.')
    values = [calculate_metric(pictures, section) for section in metrics.values()]
    for name, value in zip(metrics, values, strict=True):
        if math.isnan(value):
            raise UserError(f"option 'val.metrics.{name}': {metrics[name]['type']} of a picture is not a number.")
    return values


def _conclude(model: Any, loader: Any, measured: _Measured, current_iter: Any, tb_logger: Any) -> None:
    """Log the means of the metrics, and remember the best ones."""
    metrics, name = model.opt['val'].get('metrics'), loader.dataset.opt['name']
    verified = verified_faces(model, loader.dataset)
    if metrics is None and not verified:
        return
    with swapped(model, 'opt', {**model.opt, 'val': {**model.opt['val'], 'metrics': metrics or {}}}):
        model._initialize_best_metric_results(name)
    results = dict.fromkeys(metrics or {}, 0)
    for _, values, _ in measured:
        for metric, value in zip(results, values, strict=True):
            results[metric] += value  # in the order of the images: another one has other last digits
    model.metric_results = {metric: total / len(measured) for metric, total in results.items()}
    if verified:
        model.best_metric_results[name].setdefault(VERIFICATION, {'better': 'higher', 'val': -math.inf, 'iter': -1})
        features = {row: seen for row, _, seen in measured if seen is not None}
        model.metric_results[VERIFICATION] = verified.accuracy(features)
    for metric, value in model.metric_results.items():
        model._update_best_metric_result(name, metric, value, current_iter)
    model._log_validation_metric_values(current_iter, name, tb_logger)
