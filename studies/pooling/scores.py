"""Pools of seeds and what else the same training could buy, judged by a pool of other seeds."""

from dataclasses import replace
from functools import partial

import numpy as np
import xarray as xr
from synthsae.studies.pooling.ensembles import boost, evaluate_ensemble
from synthsae.studies.pooling.unions import turned

from synthsae.arrays import Array, Mask
from synthsae.definitions import Definitions, shown
from synthsae.evaluation import Evaluation, evaluate
from synthsae.metrics.latent import max_cosines
from synthsae.metrics.pooling import distinct
from synthsae.metrics.reappearance import BLOCK
from synthsae.rng import numpy_generator
from synthsae.sae import SAEConfig, SAEStack
from synthsae.scores.kinds import planted_kinds
from synthsae.scores.needs import requires
from synthsae.scores.run import Run, labelled
from synthsae.seeds.pooling import pool
from synthsae.train import TrainConfig, refit, train

Key = tuple[str, int]

RECIPES = ("kept", "refitted", "random", "wide", "averaged", "boosted")
"""Ways to spend N seeds, as `pools` says."""


def scores(d: Definitions) -> dict[str, str]:
    """What a pool is scored by, in words."""
    same = f"the same at cosine >= {d.same:g}"
    found = f"with one of the other pool at cosine >= {d.theta:g}"
    rotated = "these latents Haar-rotated in each block"
    return {
        "explained_variance": "explained variance",
        "l0": "active latents a sample",
        "latents": "live latents",
        "dead_fraction": f"share of latents that fire on fewer than {shown(d.live)} of the samples",
        "reappearance": f"share of live latents {found}",
        "strict_reappearance": same,
        "block_reappearance": f"share of block latents {found}",
        "block_strict_reappearance": same,
        "block_reappearance_law": f"block_reappearance with {rotated}",
        "block_strict_reappearance_law": "block_strict_reappearance with them rotated",
        "isolated_reappearance": "share of isolated features' latents with one of the other pool",
        "isolated_strict_reappearance": same,
        "features_found": f"share of isolated features with a live latent at cosine >= {d.same:g}",
    }


SIZES = (1, 2, 4, 8, 16)
"""Seeds in a pool."""

DRAWS = 16
"""Haar rotations of a pool."""


def pool_sizes(run: Run) -> list[int]:
    """The `SIZES` of which the seeds hold two disjoint pools."""
    return [n for n in SIZES if 2 * n <= len(run.seeds)]


@requires("stack")
def pools(run: Run) -> xr.Dataset:
    """SAEs made of the first N seeds of either half of the seeds, each judged by the other's.

    - *kept*: `pool`, near-duplicates dropped, encoders as they were.
    - *refitted*: new encoders for it, trained for as many steps as a seed was.
    - *random*: as many latents M', drawn from all live ones of the N seeds; refitted.
    - *wide*: one SAE with M' latents from the start. Matched is latents x samples of training, to
      which multiply-adds are proportional, with the refit's: (N M / M' + 1) n_steps steps.
    - *averaged*, *boosted*: the ensembles of Gadgil et al. (`.ensembles`), N M latents in N
      n_steps steps and no refit. N k latents of a sample fire, not k.

    Learning rates are the run's times sqrt(M / M'), as the default's are. Scores are `scores`, as
    pool_NAME; those of planted kinds where the truth is known. `side` is the half; replicates are
    other cells (world_seed, first_seed). Where a block's code has no preferred direction, rotating
    one of two independent pools changes nothing in law: the `_law` scores are exact in expectation,
    at the live latents that there are, for every recipe.
    """
    stack, half, sizes = run.saes, len(run.seeds) // 2, pool_sizes(run)
    rest = [(run.seeds[j], run.seeds[half + j]) for j in range(1, sizes[-1])]
    chains = boost(stack.select((0, half)), run.source, run.config.training, rest)
    starts = zip((0, half), chains, strict=True)
    sides = [_made(run, stack, start, chain) for start, chain in starts]
    shape = (len(RECIPES), len(sizes), 2)
    rng = numpy_generator("null", run.config.world_seed, len(run.blocks) + 1)
    found: dict[str, Array] = {}
    for at in np.ndindex(shape):
        key, side = (RECIPES[at[0]], sizes[at[1]]), at[2]
        for name, value in _scores(run, sides[side][key], sides[1 - side][key], rng).items():
            found.setdefault(name, np.full(shape, np.nan))[at] = value
    dims = ("recipe", "pool_size", "side")
    texts = scores(run.definitions)
    out = {f"pool_{name}": (dims, values, texts[name]) for name, values in found.items()}
    coords = {"recipe": list(RECIPES), "pool_size": sizes}
    return labelled(run, **out).assign_coords(coords)


def _made(run: Run, stack: SAEStack, start: int, chain: SAEStack) -> dict[Key, Evaluation]:
    """What (recipe, N) makes of the first N seeds from position `start` of `stack` on."""
    source, samples, out = run.source, run.config.eval_samples, {}
    live, rule = run.definitions.live, partial(distinct, threshold=run.definitions.duplicate)
    for n in pool_sizes(run):
        members = stack.select(range(start, start + n))
        rates = run.evaluation.rates[start : start + n]
        kept = pool(members, rates, live=live, rule=rule)
        rng = numpy_generator("null", members.seeds[0], n)
        drawn = pool(members, rates, live=live, rule=partial(_draw, kept.config.size, rng))
        both = refit(SAEStack.join([kept, drawn]), source, _scaled(run, kept.config))
        refitted, random = both.select([0]), both.select([1])
        saes = (kept, refitted, random, _wide(run, members, kept.config))
        for recipe, sae in zip(RECIPES, saes, strict=False):
            out[recipe, n] = evaluate(sae, source, samples)
        for recipe, parts in (("averaged", members), ("boosted", chain.select(range(n)))):
            boosted = recipe == "boosted"
            out[recipe, n] = evaluate_ensemble(parts, source, samples, boosted=boosted)
    return out


def _draw(n: int, rng: np.random.Generator, directions: Array, rates: Array) -> Mask:
    """A rule that keeps `n` latents at random."""
    kept = np.zeros(len(rates), dtype=bool)
    kept[rng.choice(len(rates), n, replace=False)] = True
    return kept


def _wide(run: Run, members: SAEStack, config: SAEConfig) -> SAEStack:
    """One SAE of `config`, trained as long as `members` and the refit in latents x samples."""
    trained = len(members.seeds) * members.config.size / config.size + 1
    steps = round(trained * run.config.training.n_steps)
    longer = replace(_scaled(run, config), n_steps=steps)
    return train(run.source, config, longer, seeds=members.seeds[:1]).stack


def _scaled(run: Run, config: SAEConfig) -> TrainConfig:
    """The run's training with its learning rate for SAEs of another size."""
    lr, size = run.config.train.lr, run.config.sae.for_width(run.d_model).size
    return replace(run.config.training, lr=lr and lr * (size / config.size) ** 0.5)


def _scores(
    run: Run, mine: Evaluation, other: Evaluation, rng: np.random.Generator
) -> dict[str, float]:
    """`scores` of one SAE whose latents are looked for in another; both have S = 1."""
    d = run.definitions
    live, there = mine.live(d.live)[0], other.live(d.live)[0]
    a, b = mine.directions[0, live], other.directions[0, there]
    parts = np.array_split(a, max(1, len(a) // BLOCK))  # no whole matrix of cosines
    best = np.concatenate([max_cosines(part, b) for part in parts])
    out = {
        "explained_variance": float(mine.explained_variance[0]),
        "l0": float(mine.rates.sum()),
        "latents": float(len(a)),
        "dead_fraction": float(1 - live.mean()),
    } | _found("", best, d)
    if run.planted:
        block, isolated = planted_kinds(run.world, a, d)
        out |= _found("block_", best[block], d) | _found("isolated_", best[isolated], d)
        law = _found("block_", rotated(run, a[block], b, rng), d)
        out |= {f"{name}_law": share for name, share in law.items()}
        out["features_found"] = _share(max_cosines(run.world.isolated, a) >= d.same)
    return out


def rotated(run: Run, a: Array, b: Array, rng: np.random.Generator, draws: int = DRAWS) -> Array:
    """Max cosines to `b` of `a`, Haar-rotated as one code inside each block: [draws, n]."""
    return np.array([max_cosines(turned(run, a[None], rng)[0], b) for _ in range(draws)])


def _found(kind: str, best: Array, d: Definitions) -> dict[str, float]:
    """Shares of the largest cosines `best` that reach either threshold."""
    names = (f"{kind}reappearance", d.theta), (f"{kind}strict_reappearance", d.same)
    return {name: _share(best >= theta) for name, theta in names}


def _share(yes: Mask) -> float:
    """The mean, NaN of nothing."""
    return float(yes.mean()) if yes.size else np.nan
