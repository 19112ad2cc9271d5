"""SICNN (Zhang et al., ECCV 2018): CNN_R and CNN_H learn in turn, so that both domains share one identity space."""

from torch import Tensor

from cface_basicsr import registration
from cface_basicsr.models.cface_model import CFaceModel
from cface_basicsr.models.recognition import features_of, frozen
from cface_basicsr.options import SICNNTraining


@registration.model
class SICNNModel(CFaceModel):
    """Domain-integrated training: each batch gives one update of CNN_R and then one of CNN_H.

    CNN_R (`network_r` with its classifier `network_c`) descends `recognition_opt` on the batch's SR and HR images
    together; CNN_H (`network_g`) descends `pixel_opt`, L_SR, and `identity_opt`, L_SI, with the CNN_R of that moment.
    The authors' solver counts each turn as an iteration; here the two together are one.
    """

    train_section = SICNNTraining

    def optimize_parameters(self, current_iter: int) -> None:
        """Both turns on one batch: CNN_R, then CNN_H."""
        for _ in self.parts():  # always the whole batch: CNN_H needs the new CNN_R
            sr = self.output = self.through(self.net_g, self.lq)
            losses = self.update_recognizer(sr.detach())
            self.end_part(losses | self.update_generator(sr))
        if self.ema_decay:
            self.model_ema(decay=self.ema_decay)
        self.end_step(current_iter)

    def generator_losses(self, sr: Tensor) -> dict[str, Tensor]:
        """The weighted terms of CNN_H's turn: L_SR and L_SI. CNN_R is frozen, and HR's features get no gradient."""
        with frozen(self.get_bare_model(self.net_r)) as recognizer:
            hr = features_of(self, recognizer, self.gt)
            identity = self.cri_identity(features_of(self, recognizer, sr), hr)
        return {'l_g_pix': self.cri_pixel(sr, self.gt), 'l_g_identity': identity}
