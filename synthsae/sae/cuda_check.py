"""The small problems on which the kernels of `cuda.py` are compared with PyTorch's operations."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial

import torch
from torch import Tensor

from synthsae.guard import Case
from synthsae.sae import cuda, kernels
from synthsae.sae.code import Code

Result = Sequence[Tensor]

S, D, M, K = 2, 24, 120, 9


def top(device: torch.device) -> Iterator[Case]:
    """Few and many entries, some of them negative, of rows without equal numbers."""
    order = _normals(device)(S, 3, M).argsort(2)
    for dtype, k in ((torch.float32, 3 * M // 4), (torch.bfloat16, K)):
        pre = ((order - M // 2) / 16).to(dtype)  # bfloat16 holds these numbers, too
        yield Case(partial(_top, cuda.top, pre, k), partial(_top, kernels.top, pre, k, True))


def _top(compute: Callable[[Tensor, int], Code], pre: Tensor, k: int, sort: bool = False) -> Result:
    """Values and indices; `sort`: in the order of the indices, in which the kernel returns them."""
    values, indices = compute(pre, k)
    assert indices is not None
    if sort:
        indices, order = indices.sort(dim=2)
        values = values.gather(2, order)
    return values.float(), indices


def residual(device: torch.device) -> Iterator[Case]:
    """Residuals and inner products of a code of K entries."""
    normals = _normals(device)
    code = _code(normals(S, 5, M))
    weight, x = normals(S, M, D), normals(S, 5, D)
    yield Case(lambda: cuda.residual(code, weight, x), lambda: kernels.residual(code, weight, x))


def inner_products(device: torch.device) -> Iterator[Case]:
    """Inner products of K rows of each sample."""
    normals = _normals(device)
    code = _code(normals(S, 5, M))
    weight, x, indices = normals(S, M, D), normals(S, 5, D), code.indices
    assert indices is not None
    yield Case(
        lambda: [cuda.inner_products(x, weight, indices)],
        lambda: [kernels.inner_products(x, weight, code)],
    )


def weight_gradients(device: torch.device) -> Iterator[Case]:
    """Sums over short lists of entries, and over one of several windows."""
    normals, b = _normals(device), 2 * cuda.WINDOW + 30  # latent 1 fires on all samples
    code = _code(normals(S, b, M))
    order = kernels.by_latent(code, M)
    assert order is not None
    arrays = code.values, normals(S, b, K), normals(S, b, D), normals(S, b, D)
    yield Case(
        lambda: cuda.weight_gradients(order, *arrays),
        lambda: kernels.weight_gradients(order, *arrays),
    )


def _code(score: Tensor) -> Code:
    """The K largest of `score` [S, B, M] in each sample; latent 1 always fires."""
    score[:, :, 1] = 9
    return Code(*score.topk(K, dim=2))


def _normals(device: torch.device) -> Callable[..., Tensor]:
    """A function of a shape that draws normal numbers, the same on every device."""
    g = torch.Generator().manual_seed(0)
    return lambda *shape: torch.randn(shape, generator=g).to(device)


CHECKS = {
    "top": top,
    "inner_products": inner_products,
    "residual": residual,
    "weight_gradients": weight_gradients,
}
