"""Where a latent fires most, compared with a search over all samples."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

import synthsae
from realdata.activations import Activations
from synthsae import SAEConfig, SAEStack, World, WorldConfig
from synthsae.config.sources import SourceConfig
from synthsae.evaluation import held_out
from synthsae.reports.contexts import TOP, contexts
from synthsae.sae import ARCHITECTURES
from synthsae.train.source import Passage


@dataclass
class Numbered:
    """A world whose samples are numbered and have their number as text."""

    world: World
    has_text: bool = True

    @property
    def d_model(self) -> int:
        return self.world.d_model

    def batch(self, t: int, size: int, **options) -> torch.Tensor:
        return self.world.batch(t, size, **options)

    def rows(self, t: int, size: int, *, seed: int, stream: str = "data") -> NDArray[np.int64]:
        return np.arange(t * size, (t + 1) * size)

    def passages(self, rows: NDArray[np.int64]) -> list[Passage]:
        return [Passage("<", str(row), ">") for row in rows]


def test_the_top_contexts_are_those_of_the_largest_activations() -> None:
    world = World.plant(WorldConfig(d_model=8, n_isolated=4, n_blocks=1, rank=2), seed=0)
    source, n = Numbered(world), 5000  # two batches
    for arch in ("topk", "relu"):
        assert arch in ARCHITECTURES
        stack = SAEStack.init(SAEConfig(arch=arch, k=2, n_latents=12), 8, seeds=range(2))
        found = contexts(stack, source, n)
        x = torch.cat([held.x for held in held_out(source, n, stack=stack)])
        values, indices = stack.encode(x)
        for s in range(2):
            z = torch.zeros(n, 12, dtype=torch.float64)
            if indices is None:
                z = values[s].double()
            else:
                z.scatter_add_(1, indices[s], values[s].double())
            for j in range(12):
                want = z[:, j][z[:, j] > 0].sort(descending=True).values[:TOP]
                got = found.of(s, j)
                np.testing.assert_allclose([v for v, _ in got], want, rtol=1e-6)
                for value, passage in got:
                    np.testing.assert_allclose(z[int(passage.token), j], value, rtol=1e-6)


def test_a_language_model_shows_its_text(
    language_model: Callable[[str], Path], stories: Path, tmp_path: Path
) -> None:
    source = Activations.open(
        SourceConfig(
            model=str(language_model("gpt2")),
            text=str(stories),
            layer=1,
            context=16,
            tokens=600,
            held_out=0.25,
            cache=str(tmp_path),
            device="cpu",
        )
    )
    assert source.has_text
    rows = np.arange(source.n_eval)
    ids, tokenizer = source.contexts(), source.model.tokenizer
    for (before, token, after), number, at in zip(
        source.passages(rows, around=3), *source.places(rows), strict=True
    ):
        assert token == tokenizer.decode(ids[number, at : at + 1].tolist())
        assert before == tokenizer.decode(ids[number, max(0, at - 3) : at].tolist())
        assert after == tokenizer.decode(ids[number, at + 1 : at + 4].tolist())
    stack = SAEStack.init(SAEConfig(k=2, n_latents=8), source.d_model, seeds=range(3))
    seen = synthsae.report(stack, source, n_samples=source.n_eval)
    live = int(seen.latents.loc[seen.evidence.saes.seeds[0]].live.to_numpy().argmax())
    view = seen.latent(live)
    assert view.contexts
    assert f"[{view.contexts[0][1].token}]" in repr(view)
    assert "<mark>" in view._repr_html_()
