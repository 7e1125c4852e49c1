"""Losses of the neural methods, each with its source. All take logits or unit vectors and return a scalar.

A batch has two views of each image: [2B, ...], first all first views, then all second ones.
"""

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, log_softmax


def distillation(
    logits: Tensor, student_temperature: float, teacher_temperature: float, prior: Tensor | None = None
) -> Tensor:
    """Return the cross-entropy of each view against the other one's sharper, detached prediction.

    Source: Caron et al. 2021 (DINO), equation 1, as SimGCD uses it (Wen, Zhao & Qi 2023, section 4.2).

    Args:
        logits: cosines, [2B, K].
        student_temperature: divides the logits that learn.
        teacher_temperature: divides those that teach.
        prior: log-probabilities of the classes to subtract from the teacher's logits, [K] (logit adjustment).
    """
    first, second = (logits / student_temperature).chunk(2)
    # Detached: only the student follows. Where both move, they agree soonest on one class for all images.
    teacher = logits.detach() / teacher_temperature
    if prior is not None:
        teacher = teacher - prior
    of_first, of_second = teacher.softmax(1).chunk(2)
    return (soft_cross_entropy(first, of_second) + soft_cross_entropy(second, of_first)) / 2


def soft_cross_entropy(logits: Tensor, targets: Tensor) -> Tensor:
    """Return -sum_k targets_k log softmax(logits)_k, averaged over rows."""
    return -(targets * log_softmax(logits, 1)).sum(1).mean()


def entropy_gap(probabilities: Tensor) -> Tensor:
    """Return log K less the entropy of the mean prediction: zero where all classes are predicted equally often.

    Source: SimGCD, the mean-entropy maximisation regulariser (section 4.2, after Assran et al. 2022).

    Args:
        probabilities: mean prediction over a batch, [K].
    """
    logs = probabilities.clamp(min=1e-12).log()  # 0 log 0 is 0, but NaN in floats
    return (probabilities * logs).sum() + torch.log(torch.tensor(float(len(probabilities))))


def debiased(probabilities: Tensor, counts: Tensor, power: float) -> Tensor:
    """Return the mean prediction over estimated class counts to a power, made to sum to one, [K].

    Source: Bai et al. 2023 (BaCon), the regulariser of the pseudo-labelling branch. Its entropy is greatest
    where the mean prediction follows ``counts ** power``, not where it is uniform.
    """
    ratio = probabilities / counts**power
    return ratio / ratio.sum()


def info_nce(projections: Tensor, temperature: float) -> Tensor:
    """Return the self-supervised contrastive loss: the other view of the image among all others of the batch.

    Source: van den Oord et al. 2018, as in GCD and SimGCD.

    Args:
        projections: unit vectors, [2B, P].
        temperature: divides the cosines.
    """
    size = len(projections)
    similarities = projections @ projections.T / temperature
    similarities.fill_diagonal_(-torch.inf)
    targets = torch.arange(size, device=projections.device).roll(size // 2)
    return cross_entropy(similarities, targets)


def supervised_contrastive(projections: Tensor, positives: Tensor, temperature: float) -> Tensor:
    """Return the mean negative log-likelihood of each row's positives among all other rows.

    Source: Khosla et al. 2020, "Supervised contrastive learning", equation 2 (the sum outside the logarithm).
    With soft weights instead of 0 and 1 it is BaCon's soft contrastive loss.

    Args:
        projections: unit vectors, [2B, P].
        positives: weight of each pair, [2B, 2B]; the diagonal is not used. Rows without a positive are skipped.
        temperature: divides the cosines.
    """
    itself = torch.eye(len(projections), dtype=torch.bool, device=projections.device)
    similarities = (projections @ projections.T / temperature).masked_fill(itself, -torch.inf)
    # The diagonal is -inf for the sum and 0 afterwards: its weight is 0, but 0 times infinity is NaN.
    likelihoods = (similarities - similarities.logsumexp(1, keepdim=True)).masked_fill(itself, 0)
    weights = positives.to(likelihoods.dtype).masked_fill(itself, 0)
    total = weights.sum(1)
    some = total > 0
    if not some.any():
        return projections.sum() * 0
    return -((weights * likelihoods).sum(1)[some] / total[some]).mean()


def same_class(labels: Tensor) -> Tensor:
    """Return for labels [B] of images with two views which pairs of rows are of one class, bool [2B, 2B]."""
    both = torch.cat([labels, labels])
    return both[:, None] == both


@torch.no_grad()
def sinkhorn(logits: Tensor, epsilon: float, iterations: int) -> Tensor:
    """Return soft assignments [B, K] whose columns share the rows equally.

    Source: Caron et al. 2020 (SwAV), algorithm 1 and appendix A.1, as UNO uses it (Fini et al. 2021, section
    3.3): rows and columns of exp(logits / epsilon) are scaled in turn.
    """
    # In logarithms: no exponential over- or underflows then, whatever the logits and epsilon.
    log_q = (logits.double() / epsilon).T
    log_q = log_q - log_q.logsumexp((0, 1))
    rows, columns = log_q.shape
    for _ in range(iterations):
        log_q = log_q - log_q.logsumexp(1, keepdim=True) - torch.log(torch.tensor(float(rows)))
        log_q = log_q - log_q.logsumexp(0, keepdim=True) - torch.log(torch.tensor(float(columns)))
    return (log_q + torch.log(torch.tensor(float(columns)))).exp().T.to(logits.dtype)
