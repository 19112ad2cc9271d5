"""A-Softmax by a sample of the classes against all of them: loss and gradients, without the recognizer.

What 2 million people need is counted from the slope between two numbers of classes. The optimizer's step comes on top;
it changes all classes either way, since each has momentum and weight decay.
"""

from collections.abc import Callable

import torch

from performance.limits import Limit
from performance.measure import Finding, ratio, slope, take_turns

PEOPLE = 2_000_000
"""Of WebFace42M."""


def run(*, classes: int = 40_000, length: int = 512, batch: int = 256, rounds: int = 5,
        rate: float = 0.1) -> list[Finding]:
    """Measure.

    Args:
        classes: of the classifier; half of them are measured, too.
        length: D.
        batch: faces.
        rounds: how often each is computed.
        rate: the share of the classes that is sampled.
    """
    sizes = (classes // 2, classes)
    jobs = {f'{share} {count}': _pull(count, length, batch, share) for share in (rate, 1.0) for count in sizes}
    times = take_turns(jobs | {'step': _step(classes, length)}, rounds)
    sampled, whole = ([times[f'{share} {count}'] for count in sizes] for share in (rate, 1.0))
    counted = [slope(sizes, [each.median_cpu for each in kind]) * PEOPLE for kind in (sampled, whole)]
    limits = [Limit(6 * batch * length * rate * count, threads=torch.get_num_threads()) for count in (classes, PEOPLE)]
    step, moved = times['step'], Limit(moved=5 * 4 * length * classes)  # weight and momentum go both ways
    what = f'A-Softmax and its gradients, {rate:.0%} of {{:,}} classes, batch {batch}, D = {length}'
    return [Finding(f'classifier_{rate}', what.format(classes) + ', by CPU time', f'{sampled[1].median_cpu:.3g} s',
                    f'all classes: {whole[1].median_cpu:.3g} s', ratio(sampled[1].cpu, whole[1].cpu),
                    limit=limits[0].words(), of_limit=sampled[1].median_cpu / limits[0].seconds),
            Finding('classifier_step', f'fused SGD with momentum and weight decay: its step of {classes:,} '
                    'classes, by CPU time', f'{step.median_cpu:.3g} s', f'the former: {sampled[1].median_cpu:.3g} s',
                    ratio(step.cpu, sampled[1].cpu), limit=moved.words(), of_limit=step.median_cpu / moved.seconds),
            Finding(f'classifier_{PEOPLE}', what.format(PEOPLE) + ', counted', f'{counted[0]:.3g} s',
                    f'all classes: {counted[1]:.3g} s', counted[0] / counted[1], limit=limits[1].words(),
                    of_limit=counted[0] / limits[1].seconds)]


def _pull(classes: int, length: int, batch: int, rate: float) -> Callable[[], None]:
    from cface_basicsr.archs.a_softmax_head_arch import ASoftmaxHead
    from cface_basicsr.losses.a_softmax_loss import ASoftmaxLoss
    loss, head = ASoftmaxLoss(sample_rate=rate), ASoftmaxHead(feature_length=length, num_classes=classes)
    features, labels = torch.randn(batch, length, requires_grad=True), torch.arange(batch) % classes

    def pull() -> None:
        head.weight.grad = None
        head.step += 1
        loss(features, head(features), labels, head.step).backward()
    return pull


def _step(classes: int, length: int) -> Callable[[], None]:
    weight = torch.nn.Parameter(torch.randn(length, classes))
    weight.grad = torch.randn(length, classes)
    return torch.optim.SGD([weight], 0.1, momentum=0.9, weight_decay=5e-4, fused=True).step
