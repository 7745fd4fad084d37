"""The oracle of the SAE tests: TopK the plain way, dense, seed by seed, gradients by autograd."""

import torch


def random_params(s, m, d, seed=0, dtype=torch.float64):
    """Parameters of a stack that are in no special position: rows not unit, biases not 0."""
    g = torch.Generator().manual_seed(seed)

    def normal(*shape):
        return torch.randn(shape, generator=g, dtype=dtype)

    return {
        "w_enc": normal(s, m, d),
        "b_enc": 0.3 * normal(s, m),
        "w_dec": normal(s, m, d),
        "b_dec": 0.5 * normal(s, d),
    }


def topk(pre, k):
    """relu of the k largest of each row, the others 0."""
    keep = torch.zeros_like(pre).scatter(1, pre.topk(k, dim=1).indices, 1.0)
    return pre.relu() * keep


def loss(p, x, k, dead=None, coefficient=0.0):
    """The loss of one SAE on x [B, D] (science.md, section 8); `dead` [M] bool feeds AuxK."""
    z = topk((x - p["b_dec"]) @ p["w_enc"].T + p["b_enc"], k)
    x_hat = z @ p["w_dec"] + p["b_dec"]
    total = (x - x_hat).square().sum() / (x - x.mean(0)).square().sum()
    if dead is None or not dead.any():
        return total
    e = (x - x_hat).detach()
    scatter = (e - e.mean(0)).square().sum()
    if scatter == 0:
        return total
    pre = (x - p["b_dec"].detach()) @ p["w_enc"][dead].T + p["b_enc"][dead]
    e_hat = topk(pre, min(x.shape[1] // 2, int(dead.sum()))) @ p["w_dec"][dead]
    return total + coefficient * (e - e_hat).square().sum() / scatter


def gradients(params, x, k, dead=None, coefficient=0.0):
    """Loss [S] and gradient by parameter of a stack, from autograd in the dtype of `params`."""
    p = {name: v.clone().requires_grad_() for name, v in params.items()}
    each = [
        loss(
            {name: v[s] for name, v in p.items()},
            x[s],
            k,
            None if dead is None else dead[s],
            coefficient,
        )
        for s in range(len(x))
    ]
    torch.stack(each).sum().backward()
    return torch.stack(each).detach(), {name: v.grad for name, v in p.items()}
