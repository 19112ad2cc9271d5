"""Stages 0 and 3: CNN_R is trained by A-Softmax, equation (3), on D_HR, or on D_HR and D_SR together."""

from typing import Any

from torch import Tensor

from cface_basicsr import registration
from cface_basicsr.data.images.image_tensor import batch_on
from cface_basicsr.models import recognition
from cface_basicsr.models.stage import StageModel
from cface_basicsr.options import RecognitionTraining


@registration.model
class RecognitionModel(StageModel):
    """Trains `network_r` and its classifier `network_c` on the labelled images of a data set.

    Options: `train.recognition_opt` (the loss), `train.optim_r` (both networks), `train.head_only_iter` (the number of
    first iterations in which only the classifier learns: for a new one on a trained recognizer).
    """

    train_section = RecognitionTraining

    def __init__(self, opt: dict[str, Any]) -> None:
        super().__init__(opt)
        self.open_stage()
        self.net_r = self.make_network('r')
        self.net_c = self.make_network('c')
        recognition.check_feature_length(self)
        self.speed_up(self.net_r)
        self.print_network(self.net_r)
        self.make_losses()
        self.optimizer_r = self.make_optimizer(self.stage.optim_r, (self.net_r, self.net_c))

    def feed_data(self, data: dict[str, Any]) -> None:
        """Move `gt` (B, 3, H, W) and `label` (B,) to the device; see `batch_on`."""
        data = batch_on(self.device, data)
        self.gt, self.label, self.keys = data['gt'], data['label'], data['gt_path']

    def optimize_parameters(self, current_iter: int) -> None:
        """One step on L_FR, equation (3)."""
        head_only = current_iter <= self.stage.head_only_iter
        for _ in self.parts():
            self.end_part(recognition.recognition_step(self, self.gt, self.label, head_only=head_only))
        self.end_step(current_iter)

    def more_for_the_log(self) -> dict[str, Tensor]:
        """The accuracy on the last batch, and the spread of its features."""
        return recognition.accuracy_and_spread(self)

    def save(self, epoch: int, current_iter: int) -> None:
        """Save net_r, net_c and the training state.

        Raises:
            UserError: a loss was NaN or infinite, or the recognizer has collapsed.
        """
        self.step_log.check()
        recognition.check_collapse(self, current_iter)
        self.save_networks('rc', current_iter)
        self.save_training_state(epoch, current_iter)
