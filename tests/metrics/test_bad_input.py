"""Bad input gets one line that names the argument, what came and what is allowed."""

import numpy as np
import pytest

from synthsae.metrics import (
    activation,
    alignment,
    consensus,
    covariance,
    function,
    grassmann,
    groups,
    latent,
    masking,
    planted,
    rank,
    reappearance,
    recovery,
    regression,
    subspace,
    transfer,
)
from synthsae.metrics.detection import Detection
from synthsae.metrics.shared import shared, shared_pair

RNG = np.random.default_rng(0)
X = RNG.standard_normal((2, 5, 4))
A, B = X
NAN = np.where(np.arange(4) == 1, np.nan, A)
INF = np.full((2, 5, 4), np.inf)
NARROW = A[:, :3]
ROW = A[0]
TEXT = np.array([["a", "b"]])
COMPLEX = A + 1j
CODES = np.abs(RNG.standard_normal((6, 5)))
SAMPLES = RNG.standard_normal((6, 4))

CASES = {
    "cosines b width": (lambda: latent.cosines(A, NARROW), r"b's rows: shape \(3,\).*\(4,\)"),
    "cosines a vector": (lambda: latent.cosines(ROW, A), r"a: .*\(4,\); allowed.*\[\.\.\., M, D\]"),
    "cosines leading": (lambda: latent.cosines(X, np.ones((3, 5, 4))), r"b: leading shape \(3,\)"),
    "cosines nan": (lambda: latent.cosines(A, NAN), r"b: 5 non-finite values in shape \(5, 4\)"),
    "cosines text": (lambda: latent.cosines(TEXT, A), r"a: <U1 of shape \(1, 2\)"),
    "cosines complex": (lambda: latent.cosines(COMPLEX, A), "a: complex128"),
    "max_cosines": (lambda: latent.max_cosines(NAN, A), "a: 5 non-finite"),
    "mmcs stack": (lambda: latent.mmcs(X, A), r"a: .*\(2, 5, 4\); allowed.*\[M, D\]"),
    "match stack": (lambda: latent.match(A, X), r"b: .*\(2, 5, 4\)"),
    "match first stack": (lambda: latent.match(X, A), r"a: .*\(2, 5, 4\)"),
    "assign nan": (lambda: latent.assign(NAN), "scores: 5 non-finite"),
    "mcc no feature": (lambda: latent.mcc(A, A[:0]), r"features: shape \(0, 4\)"),
    "pairwise one seed": (lambda: latent.pairwise_mcc(X[:1]), "directions: 1 seeds .* 2 or more"),
    "pairwise live": (
        lambda: latent.pairwise_mcc(X, np.ones((2, 4), bool)),
        r"live: bool of shape \(2, 4\); allowed: bool of shape \(2, 5\)",
    ),
    "pairwise mmcs": (lambda: latent.pairwise_mmcs(A), r"directions: .*\(5, 4\)"),
    "summarise": (lambda: latent.summarise([0.1], (0.5, 1.5)), "quantiles: 1.5; allowed: 0 to 1"),
    "summarise threshold": (lambda: latent.summarise([0.1], threshold=2), "threshold: 2"),
    "found one seed": (lambda: latent.found(X[:1]), "directions: 1 seeds"),
    "found theta": (lambda: latent.found(X, 1.1), "theta: 1.1; allowed: -1 to 1"),
    "found theta nan": (lambda: latent.found(X, np.nan), "theta: nan"),
    "found matrix": (lambda: latent.found(A), r"directions: float64 of shape \(5, 4\)"),
    "found inf": (lambda: latent.found(INF), "directions: non-finite values in seed 0"),
    "found block": (lambda: reappearance.found(X, block=0), "block: 0"),
    "reappearance live": (lambda: latent.reappearance(X, live=[[1] * 5] * 2), "live: int64"),
    "labels p": (lambda: reappearance.labels([1.2]), "p_hat: 1.2 to 1.2"),
    "labels negative": (lambda: reappearance.labels([-0.1]), "p_hat: -0.1 to -0.1"),
    "labels stable": (lambda: reappearance.labels([1.0], -0.1), "stable: -0.1"),
    "labels unstable": (lambda: reappearance.labels([1.0], 0.5, 0.5), "unstable: 0.5"),
    "shared widths": (lambda: shared_pair(A, A, NARROW, NARROW), "b's rows"),
    "shared sides": (lambda: shared_pair(A, A[:3], B, B), r"enc_a: shape \(3, 4\)"),
    "shared theta": (lambda: shared_pair(A, A, B, B, -2), "theta: -2"),
    "shared theta above": (lambda: shared_pair(A, A, B, B, 1.5), "theta: 1.5"),
    "shared one seed": (lambda: shared(X[:1], X[:1]), "dec: 1 seeds"),
    "correlations samples": (
        lambda: activation.correlations(CODES, CODES[:3]),
        "codes_b's samples",
    ),
    "correlations none": (lambda: activation.correlations(CODES[:0], CODES[:0]), "codes_a: shape"),
    "match_activations": (lambda: activation.match_activations(X, X), r"codes_a: .*\[B, M\]"),
    "rv square": (lambda: covariance.rv(A, A), r"a's columns: shape \(4,\); allowed: \(5,\)"),
    "rv sizes": (lambda: covariance.rv(A @ A.T, A.T @ A), r"b's rows: shape \(4,\).*\(5,\)"),
    "rv leading": (
        lambda: covariance.rv(np.ones((2, 4, 4)), np.ones((3, 4, 4))),
        r"b: leading shape \(3,\)",
    ),
    "rv symmetric": (lambda: covariance.rv(A[:4], A[:4]), "a: .*not symmetric; allowed: symmetric"),
    "rv none": (lambda: covariance.rv(np.eye(0), np.eye(0)), r"a: shape \(0, 0\)"),
    "rv nan": (lambda: covariance.rv(A @ A.T, NAN @ NAN.T), "b: 25 non-finite"),
    "rv draws": (lambda: covariance.permuted_rv(np.eye(2), np.eye(2), RNG, 0), "draws: 0"),
    "rv null stack": (
        lambda: covariance.permuted_rv(np.eye(2), np.ones((3, 2, 2)), RNG),
        r"b: shape \(3, 2, 2\); allowed: \(2, 2\)",
    ),
    "nearest": (lambda: planted.nearest_features(A, A[:0]), r"features: shape \(0, 4\)"),
    "nearest stack": (lambda: planted.nearest_features(X, A), r"latents: .*\[M, D\]"),
    "feature_reappearance": (
        lambda: planted.feature_reappearance(X, A, np.ones((2, 4))),
        r"p_hat: shape \(2, 4\)",
    ),
    "feature theta": (lambda: planted.feature_reappearance(X, A, X[..., 0], theta=3), "theta: 3"),
    "detection batch": (lambda: Detection.of(CODES, CODES[:2], [0] * 5), "feature_codes' batch"),
    "detection index": (lambda: Detection.of(CODES, CODES, [5] * 5), "nearest: 5 to 5.*0 to 4"),
    "detection negative": (lambda: Detection.of(CODES, CODES, [-1] * 5), "nearest: -1 to -1"),
    "detection length": (lambda: Detection.of(CODES, CODES, [0]), r"nearest: shape \(1,\)"),
    "angles widths": (lambda: subspace.principal_angles(A, A[:3]), r"b's columns: shape \(3,\)"),
    "angles nan": (lambda: subspace.principal_angles(NAN, A), "a: 5 non-finite"),
    "overlap": (lambda: subspace.overlap(A, A[:3]), "u's columns"),
    "overlap stack": (lambda: subspace.overlap(A, X), r"u: .*\[D, R\]"),
    "energy": (lambda: subspace.block_energy(A, A), r"basis's columns: shape \(5,\).*\(4,\)"),
    "members threshold": (lambda: subspace.members(A, A.T, threshold=2), "threshold: 2"),
    "members live": (lambda: subspace.members(A, A.T, np.ones(3, bool)), r"live: bool.*\(3,\)"),
    "span rank 0": (lambda: subspace.learned_span(A, 0), "rank: 0; allowed: whole numbers from 1"),
    "span rank 1.5": (lambda: subspace.learned_span(A, 1.5), "rank: 1.5"),
    "recovery widths": (lambda: subspace.recovery_angles(A, A[:3]), "b's columns"),
    "chordal": (lambda: grassmann.chordal_distance(NAN, A), "a: 5 non-finite"),
    "geodesic": (lambda: grassmann.geodesic_distance(A, A[:2]), "b's columns"),
    "block rank 0": (lambda: recovery.block_recovery(X, A.T[:, :0]), "basis's rank: 0"),
    "block p": (lambda: recovery.block_recovery(X, A.T, p_hat=ROW), r"p_hat: shape \(4,\)"),
    "effective rank": (lambda: rank.effective_rank(NAN), "directions: 5 non-finite"),
    "participation": (lambda: rank.participation_ratio(ROW), r"directions: .*\(4,\)"),
    "iid n": (lambda: rank.iid_effective_rank(0, 4), "n: 0"),
    "iid d": (lambda: rank.iid_participation_ratio(4, 0), "d: 0"),
    "transfer widths": (lambda: transfer.transfer_curve(A, NARROW), "target's rows"),
    "transfer empty": (lambda: transfer.transfer_curve(A, A[:0]), r"target: shape \(0, 4\)"),
    "transfer n": (lambda: transfer.matched_transfer(A, A, 6, RNG), "n: 6; allowed: 1 to 5"),
    "transfer draws": (lambda: transfer.random_transfer(A, RNG, 0), "draws: 0"),
    "groups threshold": (lambda: groups.components(A, 1.5), "threshold: 1.5"),
    "groups alpha": (lambda: groups.groups(A, 2), "alpha: 2"),
    "groups least": (lambda: groups.groups(A, least=1), "least: 1"),
    "groups D": (lambda: groups.chance_cosine(5, 1), "d: 1"),
    "identities seeds": (lambda: alignment.identities(X[:1]), "directions: 1 seeds"),
    "identities live": (lambda: alignment.identities(X, np.ones((3, 4))), "live: float64"),
    "identities tight": (lambda: alignment.identities(X, tight=2), "tight: 2"),
    "alignment seeds": (lambda: alignment.chance_alignment(0.1, 1, 2, 1), "n_seeds: 1"),
    "subspaces shape": (lambda: consensus.subspaces(A), r"directions: .*allowed: .*S, M, D"),
    "consensus nan": (lambda: consensus.consensus(np.full((2, 3, 4), np.nan)), "24 non-finite"),
    "ev shapes": (lambda: function.explained_variance(A, B[:3]), r"x_hat's batch: shape \(3, 4\)"),
    "ev leading": (lambda: function.fvu(X, np.ones((3, 5, 4))), r"x_hat: leading shape \(3,\)"),
    "ev none": (lambda: function.fvu(A[:0], B[:0]), r"x: shape \(0, 4\)"),
    "ev nan": (lambda: function.explained_variance(A, NAN), "x_hat: 5 non-finite"),
    "rates none": (lambda: function.firing_rates(CODES[:0]), "codes: shape"),
    "l0 vector": (lambda: function.l0(ROW), "codes: float64"),
    "dead rates": (lambda: function.dead_fraction([0.1, 1.5]), "rates: 0.1 to 1.5"),
    "dead threshold": (lambda: function.live([0.1], 2), "live_threshold: 2"),
    "shrinkage": (lambda: function.shrinkage(A, NARROW), "x_hat's batch"),
    "shrinkage leading": (
        lambda: function.shrinkage(X, np.ones((3, 5, 4))),
        r"x_hat: leading shape \(3,\).*\(2,\)",
    ),
    "masking decoder": (
        lambda: masking.removal_costs(SAMPLES, SAMPLES, CODES, A.T),
        r"decoder: shape \(4, 5\); allowed: \(5, 4\)",
    ),
    "masking samples": (
        lambda: masking.removal_costs(SAMPLES, SAMPLES, CODES[:2], A),
        "codes' samples",
    ),
    "masking order": (
        lambda: masking.masking_curve(SAMPLES, SAMPLES, CODES, A, [0, 0]),
        "order: .*distinct latents from 0 to 4",
    ),
    "masking range": (
        lambda: masking.masking_curve(SAMPLES, SAMPLES, CODES, A, [5]),
        "order: .*0 to 4",
    ),
    "masking n": (lambda: masking.masking_orders(["stable"], [0.1], -1, RNG), "n: -1"),
    "masking rates": (
        lambda: masking.masking_orders(["stable"], [0.1, 0.2], 1, RNG),
        r"labels: shape \(1,\)",
    ),
    "masking near": (lambda: masking.masking_orders(["dead"], [0.1], 1, RNG, 0), "near: 0"),
    "masking half": (
        lambda: masking.masking_curve(SAMPLES, SAMPLES, CODES, A, [0.5]),
        "order: float64 .*; allowed: whole numbers",
    ),
    "masking samples nan": (
        lambda: masking.removal_costs(SAMPLES, SAMPLES * np.nan, CODES, A),
        "x_hat: 24 non-finite",
    ),
    "detection half": (lambda: Detection.of(CODES, CODES, [0.5] * 5), "nearest: float64"),
    "labels complex": (lambda: reappearance.labels([0.5 + 1j]), "p_hat: complex128"),
    "labels text": (lambda: reappearance.labels(["0.5"]), "p_hat: <U3"),
    "block p text": (lambda: recovery.block_recovery(X, A.T, p_hat=TEXT), "p_hat: <U1"),
    "feature p": (lambda: planted.feature_reappearance(X, A, X[..., 0] + 1j), "p_hat: complex128"),
    "cosines masked": (lambda: latent.cosines(np.ma.masked_array(A, A > 1), A), "a: . non-finite"),
    "cosines ragged": (lambda: latent.cosines([[1, 2], [3]], A), "a: a list; allowed: an array"),
    "cosines object": (lambda: latent.cosines(A.astype(object), A), "a: object"),
    "found masked": (lambda: latent.found(np.ma.masked_array(X, X > 1)), "directions: non-finite"),
    "found ragged": (lambda: latent.found([[[1, 2], [3]]] * 2), "directions: a list"),
    "found theta text": (lambda: latent.found(X, "high"), "theta: 'high'; allowed: a number"),
    "seeds text": (lambda: alignment.chance_alignment(0.1, 1, 2, "4"), "n_seeds: '4'"),
    "alignment nan": (lambda: alignment.chance_alignment(np.nan, 1, 2, 3), "angle: 1 non-finite"),
    "regression rows": (lambda: regression.least_squares([1.0], A), r"y: shape \(1,\)"),
}


@pytest.mark.parametrize("name", CASES)
def test_bad_input_is_named_in_one_line(name):
    call, message = CASES[name]
    with pytest.raises(ValueError, match=message) as error:
        call()
    assert "\n" not in str(error.value)
    assert "allowed" in str(error.value)
