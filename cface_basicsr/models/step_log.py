"""What training steps leave on their device for the log, so that the host waits for it only when something is read."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from cface_basicsr.errors import UserError
from cface_basicsr.files.atomic import write_json

GO_ON = 'To go on: --auto_resume, or cface train RECIPE --from-step STEP --set train.optim_g.lr=VALUE'
"""What to do after a loss or a weight became NaN; rates that are given after a stop are used."""
MOST_STEPS = 1000
"""Steps that are kept at most without being read: each keeps the keys of a batch."""


def stacked(losses: Mapping[str, Tensor]) -> Tensor:
    """The mean of each loss, (n,), without a gradient."""
    return torch.stack([loss.detach().float().mean() for loss in losses.values()])


class _Step(NamedTuple):
    """A step's losses as they are on the device, (n,), with their names and the keys of its images."""

    iteration: int
    names: Sequence[str]
    values: Tensor
    images: Sequence[str]


class StepLog:
    """The losses of all steps since the last reading, and whether one of them was NaN or infinite.

    Args:
        folder: where the keys of the images of such a step are written.
        rank: of this process.
    """

    def __init__(self, folder: str | Path, rank: int) -> None:
        self.folder, self.rank = Path(folder), rank
        self._steps: list[_Step] = []
        self._read = 0  # of the steps at the front

    def keep(self, iteration: int, parts: Sequence[Mapping[str, Tensor]], images: Sequence[str]) -> None:
        """Keep a step's losses, unread. parts: those of each equal part of its batch; images: the keys of all of it."""
        del self._steps[:self._read]
        self._read = 0
        if len(self._steps) == MOST_STEPS:  # a log that is hardly ever read
            self.check()
        values = torch.stack([stacked(losses) for losses in parts]).mean(0) if len(parts) > 1 else stacked(parts[0])
        self._steps.append(_Step(iteration, list(parts[0]), values, images))

    def read(self, more: Mapping[str, Tensor] | None = None, world_size: int = 1) -> dict[str, float]:
        """The last step's values, averaged over the ranks, which all call this together; rank 0 has the averages.

        Args:
            more: further 0-d tensors to read with them.
            world_size: the number of ranks.

        Raises:
            UserError: a loss of a step since the last reading is NaN or infinite; see `check`.
        """
        last = self._steps[-1]
        shown = torch.cat((last.values, stacked(more))) if more else last.values.clone()
        if world_size > 1:
            torch.distributed.reduce(shown, 0)
            shown /= world_size
        return dict(zip([*last.names, *(more or ())], self._values(shown), strict=True))

    def check(self) -> None:
        """Check the losses of the steps since the last reading.

        Raises:
            UserError: one is NaN or infinite; names the first step with one, its losses that are, and the file to which
                the keys of its images were written.
        """
        self._values()

    def _values(self, *shown: Tensor) -> list[float]:
        """The numbers of a tensor; it and all unread steps come from the device at once."""
        unread = self._steps[self._read:]
        if not unread and not shown:
            return []
        numbers = torch.cat([*(step.values for step in unread), *shown]).tolist()
        self._read = len(self._steps)
        for step in unread:
            values, numbers = numbers[:len(step.names)], numbers[len(step.names):]
            bad = [name for name, value in zip(step.names, values, strict=True) if not math.isfinite(value)]
            if bad:
                self._refuse(step, bad)
        return numbers

    def _refuse(self, step: _Step, bad: list[str]) -> None:
        path = self.folder / f'nan_iter{step.iteration}_rank{self.rank}.json'
        write_json(path, {'iter': step.iteration, 'losses': bad, 'images': list(step.images)})
        raise UserError(f"{', '.join(bad)} became NaN or Inf at iteration {step.iteration}; the image keys of its "
                        f"batch are in '{path}'.\nThe last checkpoint is unharmed: check these images or lower the "
                        f'learning rate. {GO_ON}')
