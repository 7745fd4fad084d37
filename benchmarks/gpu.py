"""Time and accuracy of the CUDA kernels: python benchmarks/gpu.py [--device cpu]

NOT YET RUN ON A GPU: the kernels have been interpreted on a CPU and compiled for sm_90, no more,
and of this script the accuracy table has run, on a CPU.

Time, on a GPU: each stage of a TopK step and the trainer's whole step, the median of REPEATS by
CUDA events after a warm-up. *Limit* is the time that the stage's arithmetic or traffic would take
at the rates of a bfloat16 matrix product and of a copy, which are measured first (an H200 gives
about 790 TFLOP/s and 4.3 TB/s); traffic is what the docstrings of `synthsae.sae.cuda` say. It
counts gathers as if memory served them, so a stage that the cache serves may beat its limit.
Promised at D 768, M 16384, k 64: 5 million seed-samples a second (limit about 7.7).

Accuracy, also on a CPU (`--device cpu`: a small size): latents chosen by a bfloat16 matmul against
those that float32 chooses (promised: agreement .98), and the gradients of the samples on which both
choose alike, |difference| / |reference| in the Frobenius norm (promised: at most 1e-2). At the
start and after STEPS steps of training.
"""

import argparse
import statistics
import sys
from collections.abc import Callable

import torch
from torch import Tensor

from synthsae.sae import SAEConfig, SAEStack, Step, kernels
from synthsae.sae.topk import pre_activations
from synthsae.train import TrainConfig, batches, train
from synthsae.train.group import Group
from synthsae.world import World, WorldConfig

SIZES = ((768, 16384, 64, 8192, 1), (128, 512, 8, 4096, 64))  # D, M, K, B, S
SMALL = ((128, 512, 8, 4096, 2),)
REPEATS, STEPS = 20, 300

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


def stages(d: int, m: int, k: int, b: int, s: int) -> list[Stage]:
    """The stages of a step as the trainer runs them, and the whole step."""
    device, sae = torch.device("cuda"), SAEConfig(n_latents=m, k=k)
    source = Fixed(world(d, m, k).batch(0, b, seed=0, device=device))
    stack = SAEStack.init(sae, d, range(s), device)
    group = Group(source, stack, TrainConfig(n_steps=10**6, batch_size=b), range(s))
    params, x = stack.params, batches(source, 0, b, range(s), device).contiguous()
    pre = pre_activations(params, x, half=True)
    code = kernels.top(pre, k)
    order = kernels.by_latent(code, m)
    miss, dots = kernels.residual(code, params["w_dec"], x)
    flop, rows, n = 2 * s * b * m * d, s * b, s * b * k
    return [
        ("encode", lambda: pre_activations(params, x, half=True), flop,
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
        ("step", group.step, flop, 88 * s * m * d),
    ]  # fmt: skip


def time_all() -> None:
    """Print the table of times."""
    flops, bandwidth = rates()
    name = f"{torch.cuda.get_device_name()}, torch {torch.__version__}"
    print(f"{name}: {flops / 1e9:.0f} TFLOP/s, {bandwidth / 1e9:.2f} TB/s")
    for size in SIZES:
        print("\nD {}, M {}, k {}, B {}, S {}\n".format(*size))
        print("| stage | ms | limit ms | limit / time |\n|---|---|---|---|", flush=True)
        for stage, call, flop, traffic in stages(*size):
            ms, limit = milliseconds(call), max(flop / flops, traffic / bandwidth)
            print(f"| {stage} | {ms:.3f} | {limit:.3f} | {limit / ms:.2f} |", flush=True)
        print(f"\n{size[3] * size[4] / ms / 1e3:.2f} million seed-samples a second", flush=True)


def accuracy(device: torch.device) -> None:
    """Print the table of accuracy."""
    print("\n| D | M | k | steps | same support | w_enc | b_enc | w_dec | b_dec |")
    print("|---|---|---|---|---|---|---|---|---|", flush=True)
    for d, m, k, b, s in SIZES if device.type == "cuda" else SMALL:
        source, config = world(d, m, k), SAEConfig(n_latents=m, k=k)
        for steps in (0, STEPS):
            how = TrainConfig(n_steps=steps, batch_size=1024, lr=3e-3, device=device.type)
            stack = train(source, config, how, seeds=range(s)).stack
            x = batches(source, 0, b, range(s), device, "eval").contiguous()
            cells = [f"{v:.1e}" for v in compare(stack, x)]
            agreement = f"{same_support(stack, x).float().mean():.4f}"
            print(f"| {d} | {m} | {k} | {steps} | {agreement} | {' | '.join(cells)} |", flush=True)


def same_support(stack: SAEStack, x: Tensor) -> Tensor:
    """Which of the latents that float32 chooses bfloat16 chooses too, [S, B, K]."""
    exact, half = (stack.architecture.encode(stack.params, x, half=h) for h in (False, True))
    assert exact.indices is not None
    return half._replace(values=torch.ones_like(half.values)).dense(stack.config.size).gather(
        2, exact.indices
    ) > 0  # fmt: skip


def compare(stack: SAEStack, x: Tensor) -> list[float]:
    """Relative differences of w_enc, b_enc, w_dec and b_dec where all seeds choose alike."""
    x = x[:, same_support(stack, x).all(2).all(0)]
    dead = torch.zeros_like(stack.params["b_enc"], dtype=torch.bool)
    exact, half = (
        stack.architecture.gradients(stack.params, x, Step(dead, 0.0, half=h)).grads
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
