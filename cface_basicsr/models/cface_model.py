"""Stages 1 and 4: N_SR and N_D are trained by the total loss, equation (7); in stage 4 CNN_R learns too."""

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import torch
from basicsr.models.sr_model import SRModel
from basicsr.utils import get_root_logger
from torch import Tensor, nn
from torchvision.utils import make_grid

from cface_basicsr import registration
from cface_basicsr.data.images.image_tensor import batch_on
from cface_basicsr.errors import UserError
from cface_basicsr.evaluation.super_resolution import scale_of
from cface_basicsr.losses.multi_step_l1_loss import MultiStepL1Loss
from cface_basicsr.models import recognition
from cface_basicsr.models.recognition import features_of
from cface_basicsr.models.stage import StageModel
from cface_basicsr.ops.identity_distance import identity_distance
from cface_basicsr.ops.ranks import moments_over_ranks, place_among_ranks, whole_batch
from cface_basicsr.ops.views import view, view_draws
from cface_basicsr.options.training import CFaceTraining
from cface_basicsr.runtime import eval_mode


@registration.model
class CFaceModel(StageModel, SRModel):
    """The C-Face network: SRGAN with the C-Face loss.

    The losses decide what is trained: `gan_opt` adds the discriminator `network_d`, `cface_opt` the recognizer
    `network_r`, `recognition_opt` lets that recognizer learn in every step (stage 4). With only `pixel_opt` it is a
    plain warm-up, without `cface_opt` it is SRGAN.
    """

    train_section = CFaceTraining
    fake_logits: Tensor | None = None  # N_D's of SR, from the update of N_SR for that of N_D
    real_logits: Tensor | None = None  # N_D's of HR, from the update of N_SR, where N_D is relativistic
    features: tuple[Tensor, Tensor] | None = None  # CNN_R's of SR and HR, from the update of N_SR for that of CNN_R
    draws: Tensor | None = None  # of this step's views, (B, 5)
    compared: Sequence[tuple[Tensor, Tensor, Tensor, Tensor]] = ()  # this step's, by L_CF: see _distances

    def init_training_settings(self) -> None:
        """Build what the losses need; SRModel calls this after it has built net_g."""
        needed = self.open_stage()
        check_scale_of(self.get_bare_model(self.net_g), self.opt['scale'])
        self.net_g.train()
        learns = 'network_c' in needed
        self.net_d = self.make_network('d') if 'network_d' in needed else None
        self.net_r = self.make_network('r', trained=learns) if 'network_r' in needed else None
        self.net_c = self.make_network('c') if learns else None
        if learns:
            recognition.check_feature_length(self)
        if self.stage.compared_by_features():
            recognition.check_repeatable(self.get_bare_model(self.net_r), self.device)
        self.more_r = [recognition.frozen_recognizer(file, self.device)
                       for file in getattr(self.stage, 'more_recognizers', ())]
        self.views = getattr(self.stage, 'views', None)  # not in SICNN
        data = (self.opt.get('datasets') or {}).get('train') or {}
        self.features_from_file = data.get('reference_features') == 'file'
        if self.features_from_file:
            recognition.check_index_of(self.get_bare_model(self.net_r), self.opt)
        self._init_average()
        self.make_losses()
        self.speed_up(self.net_g, self.net_r, getattr(self, 'cri_content', None))  # not in SICNN
        self.speed_up(self.net_d, keep_layout=self.device.type == 'cpu')
        self._init_optimizers()

    def _init_average(self) -> None:
        """An averaged copy of net_g (EMA), for tests and files."""
        self.ema_decay = self.stage.ema_decay
        if self.ema_decay:
            get_root_logger().info(f'net_g is averaged with decay {self.ema_decay}.')
            self.net_g_ema = self.make_network('g', trained=False)
            if self.opt['path'].get('resume_state'):
                self.load_network(self.net_g_ema, self.opt['path']['pretrain_network_g'], param_key='params_ema')
            else:
                self.model_ema(0)

    def _init_optimizers(self) -> None:
        self.optimizer_g = self.make_optimizer(self.stage.optim_g, (self.net_g,))
        if self.net_d:
            self.optimizer_d = self.make_optimizer(self.stage.optim_d, (self.net_d,))
        if self.net_c:
            self.optimizer_r = self.make_optimizer(self.stage.optim_r, (self.net_r, self.net_c))

    def feed_data(self, data: dict[str, Any]) -> None:
        """Move a batch of CFaceTripletDataset to the device: images (B, 3, h, w), labels (B,); see `batch_on`."""
        data = batch_on(self.device, data, self.opt['scale'])
        super().feed_data(data)
        self.keys = data['gt_path']
        for name in ('compare', 'phi_gt', 'phi_compare', 'has_compare', 'label'):
            if name in data:
                setattr(self, name, data[name])

    # ----------------------------------------------------------------------------------------------- the training step

    def optimize_parameters(self, current_iter: int) -> None:
        """One step of stage 1 or stage 4 (paper, Algorithm 1)."""
        if self.views:
            self.views.check_within(min(self.gt.shape[-2:]))
            self.draws = view_draws(self.opt['manual_seed'], current_iter, self.keys)
        for _ in self.parts():  # the whole batch, unless accum_iter divides it
            outputs = self.through(self.net_g, self.lq)
            sr = self.output = outputs[-1] if isinstance(outputs, tuple) else outputs
            losses = self.update_generator(outputs)
            if self.net_d:
                losses |= self.update_discriminator(sr.detach())
            if self.net_c:
                losses |= self.update_recognizer(sr.detach())
            self.end_part(losses)
        if self.ema_decay:
            self.model_ema(decay=self.ema_decay)
        self.end_step(current_iter)

    def update_generator(self, outputs: Tensor | tuple[Tensor, ...]) -> dict[str, Tensor]:
        """Descend the total loss, equation (7), with N_SR.

        Args:
            outputs: (B, 3, H, W), carries the gradient; a feedback network gives one for each of its steps.
        """
        self.clear(self.optimizer_g)
        self.outputs = outputs if isinstance(outputs, tuple) else (outputs,)
        losses = self.generator_losses(self.outputs[-1])
        total = sum(losses.values())  # L_total = alpha L_GAN + beta L_P + L_CF, eq. (7)
        kept = self.fake_logits is not None or self.features is not None  # for the networks' own updates
        self.pull(total, self.optimizer_g, keep=kept)
        self.descend(self.optimizer_g)
        return losses

    def generator_losses(self, sr: Tensor) -> dict[str, Tensor]:
        """The weighted terms of equation (7) that this stage has. Only N_SR gets a gradient."""
        losses = {}
        if self.cri_pixel:
            steps = isinstance(self.cri_pixel, MultiStepL1Loss) and len(self.outputs) > 1
            losses['l_g_pix'] = self.cri_pixel(self.outputs if steps else sr, self.gt)
        if self.cri_content:  # beta L_P, eq. (2); BasicSR's PerceptualLoss gives two terms, each of which may be None
            found = self.cri_content(sr, self.gt)
            terms = zip(('l_g_content', 'l_g_style'), found if isinstance(found, tuple) else (found,), strict=False)
            losses |= {name: term for name, term in terms if term is not None}
        if self.cri_gan:
            losses['l_g_gan'] = self._generator_gan_loss(sr)  # alpha L_GAN, eq. (1)
        features = list(self._identity_features(sr)) if self.stage.compared_by_features() else []  # CNN_R's first
        if self.cri_cface:  # L_CF, eq. (5) or (6); by several recognizers the mean of their terms
            terms = [self.cri_cface.terms(*each, has_compare=self.has_compare) for each in features]
            losses['l_cf_self'], losses['l_cf_compare'] = (sum(each) / len(terms) for each in zip(*terms, strict=True))
            before = [] if self.first_part else self.compared
            self.compared = [*before, *((phi.detach(), hr, c, self.has_compare) for phi, hr, c in features)]
        return losses

    def _generator_gan_loss(self, sr: Tensor) -> Tensor:
        discriminator = self.get_bare_model(self.net_d)
        if self.stage.net_d_reuse_fake and not self.stage.use_compile:
            logits = self.fake_logits = self._judged(discriminator, sr)  # with their graph, for update_discriminator
        else:
            with recognition.without_gradients(discriminator):
                logits = self._judged(discriminator, sr)
        if not self.stage.relativistic:
            return self.cri_gan(logits, True, is_disc=False)
        with torch.no_grad():
            real = self.real_logits = self._judged(discriminator, self.gt)
        return (self.cri_gan(relative(real, logits), False, is_disc=False)
                + self.cri_gan(relative(logits, real), True, is_disc=False)) / 2

    def _judged(self, discriminator: nn.Module, images: Tensor) -> Tensor:
        """Logits of images (B, 3, H, W); on a CPU always in the default layout, which is the faster one for N_D."""
        other = self.stage.use_channels_last and self.device.type == 'cpu'
        return self.through(discriminator, images.contiguous() if other else images)

    def _identity_features(self, sr: Tensor) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        """phi(SR), phi(HR), phi(C), (B, D) each, of each recognizer; only phi(SR) has a gradient.

        The bare CNN_R is frozen here, in stage 4 too: the gradient reaches only SR. Without the second term of L_CF
        (gamma2 = 0, SICNN's L_SI) phi(C) is phi(HR) and costs nothing.
        """
        compared = bool(self.cri_cface) and self.cri_cface.gamma2 != 0
        if self._reuses_features():
            yield self._features_that_learn(sr, compared)
        else:
            with recognition.frozen(self.get_bare_model(self.net_r)) as recognizer:
                yield self._features_of(recognizer, sr, compared)
        for recognizer in self.more_r:
            yield self._features_of(recognizer, sr, compared)

    def _features_of(self, recognizer: nn.Module, sr: Tensor, compared: bool) -> tuple[Tensor, Tensor, Tensor]:
        """phi(SR), phi(HR), phi(C) of a frozen recognizer, of one view of the three where views are asked for."""
        if self.features_from_file:
            return features_of(self, recognizer, sr), self.phi_gt, self.phi_compare
        seen = partial(view, draws=self.draws, **self.views.model_dump()) if self.views else lambda images: images
        with torch.no_grad():
            if compared:
                both = torch.cat((seen(self.gt), seen(self.compare)))
                hr, compare = features_of(self, recognizer, both).chunk(2)
            else:
                hr = compare = features_of(self, recognizer, seen(self.gt))
        return features_of(self, recognizer, seen(sr)), hr, compare

    def _reuses_features(self) -> bool:
        return bool(self.net_c and self.stage.net_r_reuse_features and not self.views and not self.stage.use_compile
                    and getattr(self.get_bare_model(self.net_r), 'same_in_training', False))

    def _features_that_learn(self, sr: Tensor, compared: bool) -> tuple[Tensor, Tensor, Tensor]:
        """The same; the graphs of phi(SR) and phi(HR) stay for update_recognizer. DDP is to see one of the two."""
        bare = self.get_bare_model(self.net_r)
        own, hr = self.features = features_of(self, bare, sr), features_of(self, self.net_r, self.gt)
        with torch.no_grad():
            return own, hr.detach(), features_of(self, bare, self.compare) if compared else hr.detach()

    def update_discriminator(self, sr: Tensor) -> dict[str, Tensor]:
        """Descend the discriminator's side of equation (1) with N_D. `sr`: (B, 3, H, W), detached.

        Through DDP goes only the second of the two sums, whose gradient it averages together with the first one's.
        """
        self.clear(self.optimizer_d)
        fake = self._judged(self.bare(self.net_d), sr) if self.fake_logits is None else self.fake_logits
        self.fake_logits = None
        against, half = (relative, 0.5) if self.stage.relativistic else (lambda logits, others: logits, 1.0)
        l_fake = half * self.cri_gan(against(fake, self.real_logits), False, is_disc=True)
        self.pull(l_fake, self.optimizer_d)
        real = self._judged(self.net_d, self.gt)
        l_real = half * self.cri_gan(against(real, fake.detach()), True, is_disc=True)
        self.pull(l_real, self.optimizer_d)
        self.descend(self.optimizer_d)
        return {'l_d_real': l_real, 'out_d_real': real, 'l_d_fake': l_fake, 'out_d_fake': fake}

    def update_recognizer(self, sr: Tensor) -> dict[str, Tensor]:
        """Descend L_FR, equation (3), with CNN_R on the batch's SR and HR images together (stage 4)."""
        images, labels = torch.cat((sr, self.gt)), torch.cat((self.label, self.label))  # (2 B, 3, H, W), (2 B,)
        features, self.features = self.features, None
        known = None if features is None else torch.cat(features)
        return recognition.recognition_step(self, images, labels, features=known)

    def more_for_the_log(self) -> dict[str, Tensor]:
        """Of the last batch: where CNN_R learns, its accuracy and the spread of its features; what L_CF is made of.

        That is the means, by all recognizers that lead L_CF, of L_SI(SR, HR), L_SI(SR, C) and L_SI(HR, C), and of the
        margin, by which SR is further from C than HR is; those with a C are over the faces that have one.
        """
        learned = recognition.accuracy_and_spread(self) if self.net_c else {}
        return learned | (self._distances() if self.compared else {})

    @torch.no_grad()
    def _distances(self) -> dict[str, Tensor]:
        """What `more_for_the_log` says of L_CF, from phi(SR), phi(HR) and phi(C) of each recognizer and each part."""
        def apart(one: int, other: int) -> Tensor:
            return torch.cat([identity_distance(part[one], part[other], distance=self.cri_cface.distance)
                              for part in self.compared])

        found = {'si_sr_hr': apart(0, 1).mean()}
        if self.cri_cface.gamma2:
            has_compare = torch.cat([part[3] for part in self.compared]).float()
            count = whole_batch(has_compare).sum().clamp_min(1) / place_among_ranks()[1]  # the log averages the ranks
            to_c, own_to_c = ((apart(one, 2) * has_compare).sum() / count for one in (0, 1))
            found |= {'si_sr_compare': to_c, 'si_hr_compare': own_to_c, 'si_margin': to_c - own_to_c}
        return found

    # -------------------------------------------------------------------------------------------- validation and files

    @torch.no_grad()
    def test(self) -> None:
        """Super-resolve `lq` into `output`, with the averaged generator if there is one.

        Ranks may have different numbers of images: through DDP, a network with BatchNorm would wait for the others.
        """
        network = getattr(self, 'net_g_ema', None) or self.get_bare_model(self.net_g)
        with eval_mode(network):
            self.output = network(self.lq)

    def nondist_validation(self, dataloader: Any, current_iter: int, tb_logger: Any, save_img: bool) -> None:
        """BasicSR's validation, and a strip of faces (LR, SR, HR) in TensorBoard."""
        super().nondist_validation(dataloader, current_iter, tb_logger, save_img)
        self._show_faces(dataloader, current_iter, tb_logger)

    def dist_validation(self, dataloader: Any, current_iter: int, tb_logger: Any, save_img: bool) -> None:
        """The same by several ranks; only rank 0 has a `tb_logger`."""
        super().dist_validation(dataloader, current_iter, tb_logger, save_img)
        self._show_faces(dataloader, current_iter, tb_logger)

    def _show_faces(self, dataloader: Any, current_iter: int, tb_logger: Any) -> None:
        count = min(self.opt['val'].get('num_tb_images', 8), len(dataloader.dataset))
        if tb_logger and count:
            items = [dataloader.dataset[i] for i in range(count)]
            self.lq = torch.stack([item['lq'] for item in items]).to(self.device)
            self.test()
            hr = torch.stack([item['gt'] for item in items])
            lr = torch.nn.functional.interpolate(self.lq.cpu(), size=hr.shape[-2:])
            faces = torch.cat((lr, self.output.cpu().clamp(0, 1), hr))
            tb_logger.add_image(f"faces/{dataloader.dataset.opt['name']}", make_grid(faces, nrow=count), current_iter)
            del self.lq, self.output

    def save(self, epoch: int, current_iter: int) -> None:
        """Save the networks that learn, and the training state.

        Raises:
            UserError: a loss was NaN or infinite, or the recognizer learns too and has collapsed.
        """
        self.step_log.check()
        if self.net_c:
            recognition.check_collapse(self, current_iter)
        if self.ema_decay:
            self.save_network([self.net_g, self.net_g_ema], 'net_g', current_iter, param_key=['params', 'params_ema'])
        learning = [label for label, there in (('g', not self.ema_decay), ('d', self.net_d), ('r', self.net_c),
                                               ('c', self.net_c)) if there]
        self.save_networks(''.join(learning), current_iter)
        self.save_training_state(epoch, current_iter)


def check_scale_of(network: nn.Module, scale: int) -> None:
    """Check that a generator enlarges by the scale of the option file, by one small image; it comes back in eval mode.

    Raises:
        UserError: it enlarges by another, takes no image, or has no weights.
    """
    if not any(parameter.requires_grad for parameter in network.parameters()):
        raise UserError(f"option 'network_g': {type(network).__name__} has no weights, so there is nothing to train.")
    found = scale_of(network, "option 'network_g'")
    if found != scale:
        raise UserError(f"option 'network_g': {type(network).__name__} with these arguments enlarges {found} times, "
                        f"and 'scale' is {scale}. Take a network that has this scale.")


def relative(logits: Tensor, others: Tensor) -> Tensor:
    """Logits (B, 1, …) minus the mean of others over the global batch: ESRGAN's relativistic average discriminator."""
    mean = moments_over_ranks(others)[0]
    return logits - mean.view(1, -1, *[1] * (logits.ndim - 2))
