"""Time and accuracy of the CUDA kernels: python benchmarks/gpu.py [--device cpu]

Run on an H100 (RESULTS.md); `--device cpu` makes the accuracy table alone, of a small size.

Time, on a GPU: each stage of a TopK step, then the trainer's whole step launched kernel by kernel
and as a CUDA graph, the median of REPEATS by CUDA events after a warm-up; what is in brackets is no
part of a step, which is timed on one batch again and again: the making of data, by the kernel of
world/cuda.py and by torch, is timed beside it. *Limit* is the time that arithmetic or traffic would
take at the rates of a bfloat16 matrix product and of a copy, which are measured first (an H200
gives about 790 TFLOP/s and 4.3 TB/s). Traffic is what the docstrings of the kernels say: it counts
gathers as if memory served them, so a stage that the cache serves may beat its limit. A step's
limit is the time of its matrix product and of all traffic, the gathered arrays read once.

Promised at D 768, M 16384, k 64: 5 million seed-samples a second. At D 128, M 512, k 8 and 64
seeds: 50 times SAELens on the same card; `python benchmarks/engine.py --device cuda --only tiny`
times both in turn and says whether.

Accuracy, also on a CPU (`--device cpu`: a small size): latents chosen by a bfloat16 matmul against
those that float32 chooses (promised: agreement .98), and the gradients of the samples on which both
choose alike, |difference| / |reference| in the Frobenius norm (promised: at most 1e-2). At the
start and after STEPS steps of training, SEEDS at least; and then by how much the mean explained
variance is off that of STEPS steps in float32 (promised: .002; single SAEs, which rounding sends
another way, were off by up to .005 after 300 steps, as much as seeds differ).
"""

import argparse
import statistics
import sys
from collections.abc import Callable
from dataclasses import replace
from unittest.mock import patch

import torch
from torch import Tensor

from synthsae.metrics.function import explained_variance
from synthsae.rng import torch_generator
from synthsae.sae import SAEConfig, SAEStack, Step, kernels
from synthsae.sae.topk import pre_activations
from synthsae.train import TrainConfig, batches, graph, train
from synthsae.train.adam import Adam, FusedAdam
from synthsae.train.group import Group
from synthsae.world import World, WorldConfig

SIZES = ((768, 16384, 64, 8192, 1), (128, 512, 8, 4096, 64))  # D, M, K, B, S
SMALL = ((128, 512, 8, 4096, 2),)
REPEATS, STEPS, SEEDS = 20, 1500, 4

Stage = tuple[str, Callable[[], object], float, float]
"""Name, what to time, FLOP, bytes."""


def world(d: int, m: int, k: int) -> World:
    """M features, K of which fire at a time, the most frequent far above the mean."""
    planted = WorldConfig(
        d_model=d, n_isolated=m, n_blocks=0, isolated_p=k / m, zipf=0.5, noise=0.02
    )
    return World.plant(planted, seed=0)


class Fixed:
    """A source that gives one batch again and again, so that its making is not timed."""

    def __init__(self, x: Tensor):
        self.x, self.d_model = x, x.shape[1]

    def batch(
        self,
        t: int,
        size: int,
        *,
        seed: int,
        stream: str = "data",
        device: torch.device | str = "cpu",
    ) -> Tensor:
        """The batch [size, D]."""
        return self.x[:size].to(device)


def milliseconds(call: Callable[[], object], repeats: int = REPEATS) -> float:
    """Median time of `call()` on the device."""
    times = []
    for i in range(repeats + 3):
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record()
        call()
        end.record()
        end.synchronize()
        if i >= 3:
            times.append(start.elapsed_time(end))
    return statistics.median(times)


def rates() -> tuple[float, float]:
    """FLOP and bytes a millisecond of this card: a matrix product, a copy."""
    a = torch.randn(8192, 8192, device="cuda", dtype=torch.bfloat16)
    big = torch.empty(2**30, device="cuda")
    other = torch.empty_like(big)
    flop = 2 * 8192**3 / milliseconds(lambda: a @ a)
    return flop, 2 * 4 * 2**30 / milliseconds(lambda: other.copy_(big))


def trainer(x: Tensor, m: int, k: int, s: int, most: int) -> Callable[[], None]:
    """A step of training on `x` [B, D], by graphs up to `most` pre-activations, warmed up."""
    stack = SAEStack.init(SAEConfig(n_latents=m, k=k), x.shape[1], range(s), x.device)
    with patch.object(graph, "MAX_PRE_ACTIVATIONS", most):
        group = Group(Fixed(x), stack, TrainConfig(n_steps=10**6, batch_size=len(x)), range(s))
    for _ in range(graph.WARM_UP + 1):
        group.step()
    return group.step


def optimise(kind: type[Adam | FusedAdam], params: dict[str, Tensor]) -> Callable[[], None]:
    """A step of the optimiser on gradients that stay, but for the clipping of `Adam`."""
    adam = kind({name: p.clone() for name, p in params.items()}, sphere=True)
    grads = {name: torch.randn_like(p) for name, p in params.items()}
    alive = torch.ones(len(params["b_dec"]), dtype=torch.bool, device=params["b_dec"].device)

    def step() -> None:
        adam.begin(1e-4)
        adam.step(grads, (1 / adam.norms(grads)).clamp(max=1), alive)

    return step


def stages(d: int, m: int, k: int, b: int, s: int) -> list[Stage]:
    """The stages of a step as the trainer runs them."""
    device, sae = torch.device("cuda"), SAEConfig(n_latents=m, k=k)
    planted = world(d, m, k)
    source = Fixed(planted.batch(0, b, seed=0, device=device))
    params = SAEStack.init(sae, d, range(s), device).params
    x = batches(source, 0, b, range(s), device).contiguous()
    pre = pre_activations(params, x, bfloat16_selection=True)
    code = kernels.top(pre, k)
    order = kernels.by_latent(code, m)
    miss, dots = kernels.residual(code, params["w_dec"], x)
    flop, rows, n = 2 * s * b * m * d, s * b, s * b * k
    drawn = 4 * rows * d * (1 + k)
    return [
        ("(data)", lambda: planted.batches(1, b, seeds=range(s), device=device), 0, drawn),
        ("(data by torch)", lambda: by_torch(planted, b, s, device), 0, drawn),
        ("encode", lambda: pre_activations(params, x, bfloat16_selection=True), flop,
         2 * rows * m + 6 * rows * d + 8 * s * m * d),
        ("top", lambda: kernels.top(pre, k), 0, rows * (2.5 * m + 12 * k)),
        ("(torch.topk)", lambda: pre.topk(k, sorted=False), 0, rows * (2.5 * m + 12 * k)),
        ("values in float32", lambda: kernels.inner_products(x, params["w_enc"], code), 0,
         rows * (4 * k * d + 4 * d + 12 * k)),
        ("by_latent", lambda: kernels.by_latent(code, m), 0, 40 * n),
        ("residual", lambda: kernels.residual(code, params["w_dec"], x), 0,
         rows * (4 * k * d + 8 * d + 16 * k)),
        ("weight_gradients",
         lambda: kernels.weight_gradients(order, code.values, dots, miss, x), 0,
         n * (8 * d + 48) + 8 * s * m * d),
        ("optimiser", optimise(FusedAdam, params), 0, 68 * s * m * d),
        ("(torch's Adam)", optimise(Adam, params), 0, 112 * s * m * d),
    ]  # fmt: skip


def by_torch(planted: World, b: int, s: int, device: torch.device) -> Tensor:
    """Batch 1 of `s` seeds [S, B, D] as worlds draw it that the kernel cannot draw."""
    sampler, seeds = planted.sampler(device), range(s)
    return torch.stack(
        [sampler.batch(b, torch_generator("data", seed, 1, device=device)) for seed in seeds]
    )


def steps(d: int, m: int, k: int, b: int, s: int) -> list[Stage]:
    """The whole step, launched in two ways.

    Their traffic in bytes. A sample: 4.5 M to make and search pre-activations; 60 D for the batch,
    its centre, its copy in bfloat16 and what is missed; 128 k for the code and its transpose. Of
    the S M D numbers of both matrices: 8 for the encoder in bfloat16, 12 to read rows, 8 to write
    gradients, 68 for the optimiser.
    """
    x = world(d, m, k).batch(0, b, seed=0, device=torch.device("cuda"))
    flop, rows = 2 * s * b * m * d, s * b
    traffic = rows * (4.5 * m + 60 * d + 128 * k) + 96 * s * m * d
    ways = (("step by kernels", 0), ("step by a graph", s * b * m))
    return [(name, trainer(x, m, k, s, most), flop, traffic) for name, most in ways]


def time_all() -> None:
    """Print the table of times."""
    flops, bandwidth = rates()
    name = f"{torch.cuda.get_device_name()}, torch {torch.__version__}"
    print(f"{name}: {flops / 1e9:.0f} TFLOP/s, {bandwidth / 1e9:.2f} TB/s")
    for size in SIZES:
        print("\nD {}, M {}, k {}, B {}, S {}\n".format(*size))
        print("| stage | ms | limit ms | limit / time |\n|---|---|---|---|", flush=True)
        for stage, call, flop, traffic in stages(*size):
            tell(stage, milliseconds(call), max(flop / flops, traffic / bandwidth))
        for way, call, flop, traffic in steps(*size):
            ms = milliseconds(call)
            tell(way, ms, flop / flops + traffic / bandwidth)
        print(f"\n{size[3] * size[4] / ms / 1e3:.2f} million seed-samples a second", flush=True)


def tell(stage: str, ms: float, limit: float) -> None:
    """Print a line of the table of times."""
    print(f"| {stage} | {ms:.3f} | {limit:.3f} | {limit / ms:.2f} |", flush=True)


def accuracy(device: torch.device) -> None:
    """Print the table of accuracy."""
    print("\n| D | M | k | steps | same support | w_enc | b_enc | w_dec | b_dec | EV |")
    print("|---|---|---|---|---|---|---|---|---|---|", flush=True)
    for d, m, k, b, s in SIZES if device.type == "cuda" else SMALL:
        source, config, s = world(d, m, k), SAEConfig(n_latents=m, k=k), max(s, SEEDS)
        for steps in (0, STEPS):
            how = TrainConfig(
                n_steps=steps, batch_size=1024, lr=3e-3, device=device.type, precision="bfloat16"
            )
            stack, exact = (
                train(source, config, replace(how, precision=p), seeds=range(s)).stack
                for p in ("bfloat16", "float32")
            )
            x = batches(source, 0, b, range(s), device, "eval").contiguous()
            off = (explained(stack, x) - explained(exact, x)).mean().abs()
            cells = [f"{v:.1e}" for v in (*compare(stack, x), off)]
            agreement = f"{same_support(stack, x).float().mean():.4f}"
            print(f"| {d} | {m} | {k} | {steps} | {agreement} | {' | '.join(cells)} |", flush=True)


def explained(stack: SAEStack, x: Tensor) -> Tensor:
    """Explained variance of `x` [S, B, D] by each SAE, in float32, [S]."""
    out = stack.decode(stack.encode(x))
    return torch.from_numpy(explained_variance(x.cpu().numpy(), out.cpu().numpy()))


def same_support(stack: SAEStack, x: Tensor) -> Tensor:
    """Which of the latents that float32 chooses bfloat16 chooses too, [S, B, K]."""
    exact, half = (
        stack.architecture.encode(stack.params, x, bfloat16_selection=h) for h in (False, True)
    )
    assert exact.indices is not None
    return half._replace(values=torch.ones_like(half.values)).dense(stack.config.size).gather(
        2, exact.indices
    ) > 0  # fmt: skip


def compare(stack: SAEStack, x: Tensor) -> list[float]:
    """Relative differences of w_enc, b_enc, w_dec and b_dec where all seeds choose alike."""
    x = x[:, same_support(stack, x).all(2).all(0)]
    dead = torch.zeros_like(stack.params["b_enc"], dtype=torch.bool)
    exact, half = (
        stack.architecture.gradients(stack.params, x, Step(dead, 0.0, bfloat16_selection=h)).grads
        for h in (False, True)
    )
    return [((half[name] - g).norm() / g.norm()).item() for name, g in exact.items()]


def main() -> str | None:
    """Run; a string is an error."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    device = torch.device(parser.parse_args().device)
    if device.type == "cuda":
        if not torch.cuda.is_available():
            return "torch finds no CUDA device here; --device cpu runs the accuracy part alone"
        time_all()
    accuracy(device)
    return None


if __name__ == "__main__":
    sys.exit(main())
