"""The prose of RESULTS.md."""

INTRODUCTION = """Made by `report.py` from the records in `benchmarks/results`. What measures:

```console
$ python benchmarks/engine.py                 # on a GPU: --device cuda; a first look: --quick
$ python benchmarks/rank_sweep.py
$ python benchmarks/metrics.py
```"""

TITLES = {
    "sizes": "The training engine beside other libraries",
    "tiny": "Many seeds of small SAEs",
    "generated": "With data generation on both sides",
    "scaling": "Scaling",
}

TEXTS = {
    "sizes": """S is D 128, M 512, k 8, batch 4096; L is D 768, M 4096, k 32, batch 1024. Float32,
pre-generated batches in memory, the same for all, on two threads and two cores. 8 seeds here, one
SAE there: the others have no seed axis, and a loop over seeds has the same rate. *Dead* is the
share of latents that a library counts as dead at the end of the timing: its AuxK runs on those.
They are made by multiplying their encoder rows by 0.01 at the start, which leaves pre-activations
of both signs that are never among the k largest, and kept by a learning rate of 1e-9. Then AuxK's
five products take 10 D a dead latent and sample: with 10%, half as much as the encoder's 2 D M.
overcomplete without AuxK does none of that.""",
    "tiny": """64 seeds here; there, four trainings in a loop, their set-up not counted: two of them
on one thread and two on two, and the faster pair counts. Whoever starts such a loop on each core by
hand gains up to a factor of two.""",
    "generated": """M independent features of magnitude 1, k of which fire on average: `train` on a
`World` here, `train_toy_sae` with SAELens' own generator there.""",
    "scaling": """One field of S at a time, 8 seeds, two threads. *Dense autograd* is the TopK SAE
one would write in plain torch. The *arithmetic limit* is 2 D M + 8 D k floating-point operations a
sample at the speed of a large float32 matrix product, measured in the same rounds. A single seed
uses one thread, by default.""",
}

GPU = """## On a GPU, stage by stage

One NVIDIA H100 80GB (driver 580.159, torch 2.11.0+cu130, Triton 3.6), 2026-11-26, in two leases of
minutes. `python benchmarks/gpu.py`: medians of 20, beside the time at the card's own rates (793
TFLOP/s in bfloat16, a copy of 3.02 TB/s).

| D, M, k, batch, seeds | step ms | limit ms | million seed-samples/s | promised |
| --- | --- | --- | --- | --- |
| 768, 16384, 64, 8192, 1 | 3.00 | 1.01 | 2.7 | 5: not reached |
| 128, 512, 8, 4096, 64 | 3.43 | 1.13 | 76 | |

Milliseconds of each stage, one seed of D 768, M 16384 and 64 seeds of D 128, M 512:

| stage | large | 64 seeds |
| --- | --- | --- |
| encode | .61 | .65 |
| top | .46 (torch.topk 1.09) | .45 (3.56) |
| values in float32 | .27 | .19 |
| by_latent | .16 | .39 |
| residual | .41 | .20 |
| weight_gradients | .74 | .56 |
| optimiser | .52 (torch 0.71) | .38 (.38) |
| making the data, not part of a step | .66 (torch 1.82) | .65 (49) |

What is in reach: in `encode` the product alone takes .32 and .15 ms. The rest is `baddbmm` adding
a bias; as 8 more columns of both factors the bias costs .05 and .00 ms. Weight gradients from
bfloat16 batches take .50 in place of .78 ms at 64 seeds, and 1.27 in place of .84 at the large one.

| promised | measured |
| --- | --- |
| 50 times SAELens at 64 seeds of S | 64 times (83.3 against 1.30 million a second; one round) |
| 98% of the latents chosen by bfloat16 are float32's | 99.1 to 99.6% |
| gradients within 1e-2 where both choose alike | within 3e-6 |
| explained variance within .002 after 1,500 steps | within .0004 |
| the same bits replayed as launched, no wait for the device | yes, `tests/train/test_on_gpu.py` |

64 small SAEs, one round: D 16, M 32: 30 million a second against SAELens' .12; D 64, M 256: 29
against .10. With 10% of latents dead a step takes 4 to 8 times as long: AuxK has no kernel of its
own, and is what to mend next.

The bits of a seed depend on how many seeds share its group: cuBLAS chooses another kernel for
another number of matrices, and a later choice of latents amplifies the rounding (decoder entries
differ by 1e-7 to 3e-2 after 60 steps). In groups of the same size they are the same, as `train`
says."""

STEPS = "Each library runs its own training step:"
STEP_COLUMNS = ("library", "what is timed", "AuxK", "clipping", "dead counts", "compiled")
STEP_ROWS = [
    ("synthsae", "what more steps add to `train`", "1/32", "1.0 a seed", "yes", "no"),
    ("SAELens", "`SAETrainer.fit`, dense activations (default)", "1.0", "1.0", "yes", "no"),
    ("dictionary_learning", "`TopKTrainer.update`", "1/32", "1.0", "yes", "no"),
    (
        "overcomplete",
        "`train_sae`, README's squared error, not monitored",
        "no",
        "1.0",
        "yes",
        "no",
    ),
    ("overcomplete AuxK", "the same with its `top_k_auxiliary_loss`", "0.1", "1.0", "yes", "no"),
    (
        "eai-sparsify",
        "`SparseCoder` in the steps of its `Trainer`, signum (default)",
        "1/32 (default: 0)",
        "none",
        "yes",
        "no",
    ),
    ("dense autograd", "plain torch of ours, fused Adam", "1/32", "1.0", "yes", "no"),
]
SETTINGS = """The learning rate is 3e-4 for all unless latents are kept dead; other settings are
each library's defaults. AuxK costs a step something only where latents are dead; overcomplete's
has no such condition and takes the latents that a sample did not choose. eai-sparsify has
a sparse decoder that is eager where Triton is missing, and bfloat16 autocast on a GPU."""

RANK = """`python benchmarks/rank_sweep.py`: the default `rank_sweep` in a fresh folder, imports
included.

*Gap* is the largest distance of mean p_hat from the coverage law over the ranks of the isotropic
law, and beside it the same in standard deviations of random rotations. *Accepted*: the gap is at
most .05 or 3 of them at every rank; p_hat is at least .95 at ranks 1 and 2 and at most .10 at 16;
overlap is at least .98 and isolated features reappear at .99 or more at every rank; under the
sparse law p_hat and MCC are at least .9 at every rank."""

METRICS = """`python benchmarks/metrics.py`: two dictionaries of M random directions in D = 768,
float32, beside the bare float32 products of their cosines. *p_hat holds* is memory beyond its
inputs, whatever the number of seeds; 16 seeds are 120 such pairs. The Hungarian holds an M x M
matrix in float64."""

SPLICED = """`python benchmarks/spliced.py MODEL TEXT LAYER`: cross-entropy of 4 contexts of 128
tokens, clean, with zeros at the site (`resid_post`) and with 13 ablations of one TopK SAE
(M = 4096, k = 32). *Before*: the whole model for each of them. *Now*: the blocks below the site
once. Seconds of the processor; ratios are within rounds, median [smallest, largest]."""
