"""Claims of Lemma 1, Property 1 and Theorem 1 (evidence page 04e).

A bound that a matrix or a network exceeds is none; where chance enters, it is exceeded if an
interval lies above it.
"""

import numpy as np
import pandas as pd
from scipy import stats

from mergebook.ch4.bounds import ALIGNED, BIASED, NO_ZERO, SOUGHT
from mergebook.ch4.curves import interval_of, network_rows
from mergebook.claims import Outcome, claim
from mergebook.intervals import of_mean
from mergebook.weighing import below, weighed

Table = pd.DataFrame
QUARTER = 0.25
LOST = 1.0  # points of accuracy that count as a loss
STEADY = 1.3  # how much a constant may grow with the width


@claim("rethink-lemma1-spectral-norm")
def lemma(constants: Table) -> Outcome:
    """A universal C_s exists for the K_s that is printed: a quarter does for every matrix."""
    kinds = constants.groupby("kind")[["needed", "fixed"]].max()
    aligned = constants[constants.kind == ALIGNED]
    values = {
        "matrices": len(constants),
        "most": kinds.needed.max(),
        "sought": kinds.needed[SOUGHT],
        "aligned": below((aligned.fixed - (aligned.length - 1)).abs(), 1e-9),
    }
    return Outcome(below(constants.needed, QUARTER + 1e-9), values=values)


@claim("rethink-property1-proof-norm")
def stretch(ratios: Table) -> Outcome:
    """|Ax| is s_1 |x| for every x. Corrected: at most that."""
    off, over = below((ratios.ratio - 1).abs(), 1e-9), below(ratios.ratio - 1, 1e-9)
    by = ratios.groupby("input").ratio.mean().rename("ratio").reset_index()
    if None in (off, over):
        return Outcome(None, values={"inputs": by})
    return Outcome(off, over, {"inputs": by})


def _sound(networks: Table) -> pd.Series:
    return ~networks.activation.isin([NO_ZERO, BIASED])


def _enough(networks: Table) -> Table:
    return networks[networks.constant >= QUARTER]


def _beyond(networks: Table) -> float:
    """Percent of the networks that exceed their bound."""
    return 100 * (1 - networks.inside.sum() / networks.networks.sum())


@claim("rethink-property1-eq10")
def output_norm(networks: Table) -> Outcome:
    """No network exceeds (L lambda)^m |x|, with a quarter for C_s.

    Corrected: none whose activation is 0 at 0, without biases. Fails: one of these does too.
    """
    enough, less = _enough(networks), networks[networks.constant < QUARTER]
    over = enough.inside < enough.networks
    sound = _sound(enough)
    values = {
        "cases": int(sound.sum()),
        "over": [
            {
                "activation": name,
                "share": _beyond(part),
                "nonzero": _beyond(part[part.input == "ones"]),
            }
            for name, part in enough[enough.activation.isin(enough[over].activation)].groupby(
                "activation"
            )
        ],
        "sound": int(over[sound].sum()),
        "less": int((less.inside < less.networks)[_sound(less)].sum()),
        "tight": enough[sound & (enough.input == "ones")].slack.min(),
        "usual": enough[
            sound & (enough.input == "ones") & (enough.weights == "variance 1/N")
        ].slack.median(),
    }
    return Outcome(bool(not over.any()), bool(not over[sound].any()), values)


@claim("rethink-property1-probability")
def probability(networks: Table) -> Outcome:
    """For every tau the share of networks within the bound is at least the promise.

    Corrected: for activations with value 0 at 0, without biases, where every network is within.
    Fails: there too an interval lies below the promise.
    """
    enough = _enough(networks)
    k, n = enough.inside.to_numpy(float), enough.networks.to_numpy(float)
    # Clopper and Pearson's upper end, with 95 % for all settings together.
    high = np.where(k < n, stats.beta.ppf(1 - 0.025 / len(enough), k + 1, n - k), 1)
    broken = pd.Series(high < enough.promise.to_numpy(), enough.index)
    sound = _sound(enough)
    every = (enough.inside == enough.networks)[sound].all()
    values = {
        "cases": len(enough),
        "broken": int(broken.sum()),
        "sound": int(broken[sound].sum()),
        "least": 100 * (enough.inside / enough.networks)[sound].min(),
        "vacuous": int((enough.promise[sound] <= 0).sum()),
        "of": int(sound.sum()),
    }
    holds = bool((enough.inside == enough.networks).all())
    return weighed(holds, bool(broken[sound].any()), bool(every), values)


@claim("rethink-property1-max-entry")
def max_entry(constants: Table) -> Outcome:
    """With the largest entry for K_s one constant does for all widths.

    Corrected: for entries of mean zero; and N times the largest entry bounds every spectral norm.
    """
    drawn = constants[~constants.kind.isin([SOUGHT, "one column"])]
    most = drawn.groupby(["kind", "width"])["by entry"].max().unstack()
    growth = most.iloc[:, -1] / most.iloc[:, 0]
    kinds = [
        {"kind": k, "narrow": most.loc[k].iloc[0], "wide": most.loc[k].iloc[-1]} for k in most.index
    ]
    bounded = bool((constants.entries >= 1 - 1e-9).all())
    steady = growth < STEADY
    centred = steady[["Gaussian", "random signs"]].all()
    values = {"kinds": kinds, "bounded": bounded}
    return Outcome(bool(steady.all()), bool(centred and bounded), values)


@claim("rethink-exponential-growth-with-depth")
def exponential_growth(lengths: Table) -> Outcome:
    """Log length is straight in depth, its slope rises with the scale, and is positive at one.

    The slopes are means over networks; all comparisons have 95 % together.
    """
    slopes, bends = {}, []
    for scale, part in lengths.groupby("scale"):
        wide = part.pivot(index="network", columns="depth", values="log length")
        slopes[scale] = np.polyfit(wide.columns, wide.T, 1)[0]
        mean = wide.mean()
        line = np.polyval(np.polyfit(mean.index, mean, 1), mean.index)
        bends.append(float(np.abs(mean - line).max()))
    scales = sorted(slopes)
    among = len(scales)
    rises = [of_mean(slopes[b] - slopes[a], among) for a, b in zip(scales, scales[1:])]
    top = of_mean(slopes[scales[-1]], among)
    rows = [
        {"scale": s, "slope": of_mean(slopes[s]), "theory": np.log(s) - np.log(2) / 2}
        for s in scales
    ]
    straight = below(bends, 0.2)
    values = {"slopes": rows, "straight": straight, "bend": max(bends)}
    if straight is None:
        return Outcome(None, values=values)
    holds = straight and top.above and all(x.above for x in rises)
    return weighed(holds, not straight or top.below or any(x.below for x in rises), values=values)


def _kept(variances: Table) -> tuple[pd.Series, pd.Series]:
    """Which cases exceed their bound, and which have mean zero and value 0 at 0."""
    return (
        variances.low > variances.bound,
        (variances["mean"] == 0) & (variances.activation != NO_ZERO),
    )


@claim("rethink-theorem1-eq11")
def output_variance(variances: Table) -> Outcome:
    """No case exceeds the bound. Corrected: none with mean zero and value 0 at 0."""
    over, sound = _kept(variances)
    kept = variances[sound]
    values = {
        "cases": len(variances),
        "over": int(over.sum()),
        "sound": int(over[sound].sum()),
        "of": int(sound.sum()),
        "low": 100 * (kept.variance / kept.bound).min(),
        "high": 100 * (kept.variance / kept.bound).max(),
    }
    if variances.low.isna().any():
        return Outcome(None, values=values)
    return Outcome(bool(not over.any()), bool(not over[sound].any()), values)


@claim("rethink-theorem1-iteration")
def iteration(forms: Table) -> Outcome:
    """Eq. 11 is the iterated inequality, whichever number of layers M is.

    Corrected: if M is the number of layers M_l.
    """
    off = {name: below((part.ratio - 1).abs(), 1e-9) for name, part in forms.groupby("reading")}
    other = forms[forms.reading != "M = M_l"].ratio
    values = {"same": off["M = M_l"], "low": other.min(), "high": other.max(), "cases": len(other)}
    if None in off.values():
        return Outcome(None, values=values)
    return Outcome(all(off.values()), off["M = M_l"], values)


@claim("rethink-theorem1-layer-width")
def layer_width(layers: Table) -> Outcome:
    """The layer inequality holds with the width before the layer. Corrected: with the largest."""
    over = {name: layers.low > layers[name] for name in ("inputs", "outputs", "largest")}
    rows = [
        {"layer": r["layer"], "percent": 100 * r["value"] / r["inputs"]}
        for r in layers.sort_values("layer").to_dict("records")
    ]
    exact = bool(((layers.low <= layers.outputs) & (layers.outputs <= layers.high)).all())
    values = {"layers": rows, "exact": exact}
    if layers.low.isna().any():
        return Outcome(None, values=values)
    return Outcome(bool(not over["inputs"].any()), bool(not over["largest"].any()), values)


@claim("rethink-theorem1-proof-lipschitz-step")
def lipschitz_step(samples: Table) -> Outcome:
    """f(u) is at most L u. Corrected: Var f(U) is at most L² Var U."""
    pointwise, variance = below(samples.above, 1e-12), below(samples.ratio - 1, 1e-9)
    by = samples.groupby("activation").above.max().rename("above").reset_index()
    values = {"activations": by, "highest": samples.ratio.max(), "cases": len(samples)}
    if None in (pointwise, variance):
        return Outcome(None, values=values)
    return Outcome(pointwise and variance, variance, values)


@claim("rethink-zero-weights-constant-output")
def zero_weights(shrunk: Table) -> Outcome:
    """At a hundredth of the weights, spread, gradient and distance are below a hundredth."""
    columns = ["spread", "gradient", "distance"]
    by = shrunk.groupby("scale")[columns].max()
    first = shrunk[shrunk.scale == 1].set_index("network")[columns]
    last = shrunk[shrunk.scale == 0.01].set_index("network")[columns]
    small = below((last / first).to_numpy().ravel(), 0.01)
    return Outcome(small, values={"scales": by.reset_index(), "networks": len(first)})


@claim("rethink-fig5-decision-boundary")
def boundary(answers: Table, trained: Table) -> Outcome:
    """Scaled networks change answers, with biases and without; `answers` are of random ones.

    Corrected: with biases alone, random and `trained` ones, some of which then lose accuracy.
    Fails: not with biases either, and no trained network clearly loses.
    """
    lost, strict = (
        interval_of(trained[trained.biases == "all"], n) for n in (1, trained.network.nunique())
    )
    there = [name for name, x in lost.items() if x.low > LOST]
    without = trained[trained.biases == "none"].value
    rows = [
        {"bias": bias, "factor": c, "same": of_mean(part.same, 6)}
        for (bias, c), part in answers.groupby(["bias", "factor"])
    ]
    plain, biased = ([x for x in rows if (x["bias"] > 0) == b] for b in (False, True))
    fixed = bool((answers[answers.bias == 0].same == 100).all() and below(without.abs(), 1e-9))
    moved = {
        name: all(x["same"].high < 100 for x in part)
        for name, part in (("plain", plain), ("biased", biased))
    }
    still = bool((answers[answers.bias > 0].same == 100).all())
    values = {"plain": plain, "biased": biased, "fixed": fixed, "there": ", ".join(there) or "none"}
    values |= {"lost": network_rows(lost), "strict": network_rows(strict), "of": len(lost)}
    values |= {"starts": trained.seed.nunique(), "without": without.abs().max()}
    return weighed(
        moved["plain"] and moved["biased"],
        fixed and still and not there,
        moved["biased"] and fixed and bool(there),
        values,
    )
