"""Claims of Section 3: Equations 1 to 7 and Definitions 3.1 to 3.6 (evidence page 01a)."""

import numpy as np
import pandas as pd

from mergebook.claims import Outcome, claim
from mergebook.weighing import below

Table = pd.DataFrame


@claim("mloss-eq1-eq2-network")
def network(layers: Table) -> Outcome:
    """Equation 2 and hooks read the same pre-activations off a perceptron."""
    same = below(layers.error, 1e-6)
    return Outcome(same, values={"layers": len(layers), "same": same})


@claim("mloss-def31-intermediate-representation")
def representation(blocks: Table) -> Outcome:
    """What leaves an activation is f of what entered it, in every block."""
    right = blocks.assign(right=blocks.different == 0).groupby("suite", sort=False).right
    counts = right.agg(["sum", "size"]).reset_index().rename(columns={"size": "blocks"})
    return Outcome(bool((blocks.different == 0).all()), values={"suites": counts})


@claim("mloss-def32-lcp")
def lcp(row: Table) -> Outcome:
    """The derivatives of a node are non-zero constants that the input alone decides.

    Corrected: they are, for a given input of the layer, those of row i and of its bias.
    """
    r = row.iloc[0]
    given = r.own_row < 1e-12 and r.other_rows < 1e-12 and abs(r.bias - 1) < 1e-12
    literal = given and not r.moves and r.dead == 0
    values = {"moves": bool(r.moves), "dead": int(r.dead), "width": int(r.width)}
    return Outcome(bool(literal), bool(given), values)


@claim("mloss-fig2-lcp-picture")
def picture(row: Table) -> Outcome:
    """Only the node's own row of weights has a derivative, and it equals the layer's input."""
    r = row.iloc[0]
    own, others = bool(r.own_row < 1e-12), bool(r.other_rows < 1e-12)
    return Outcome(own and others, values={"own": own, "others": others})


@claim("mloss-def33-eq3-layer")
def layer(properties: Table) -> Outcome:
    """The layer loss has the properties that its definition implies."""
    met = properties.error < 1e-9
    values = {"met": int(met.sum()), "of": len(met), "properties": properties}
    return Outcome(below(properties.error, 1e-9), values=values)


def _error(errors: Table, name: str) -> float:
    return float(errors.set_index("value").error[name])


@claim("mloss-def34-eq4-node")
def node(errors: Table) -> Outcome:
    """The node loss agrees with values worked out by hand, and with Equation 3 for one node."""
    same = below([_error(errors, "by hand"), _error(errors, "one node")], 1e-12)
    return Outcome(same, values={"below": same})


@claim("mloss-remark2-eq5-layer-node-identity")
def identity(errors: Table) -> Outcome:
    """Input by input, the layer loss is the root of the summed squares of node losses."""
    same = below([_error(errors, "pointwise")], 1e-6)
    return Outcome(same, values={"same": same, "slack": 100 * _error(errors, "averaged")})


@claim("mloss-remark1-default-weights")
def default_weights(row: Table) -> Outcome:
    """Without weights, 1/q is taken, and the weights sum to one."""
    r = row.iloc[0]
    values = {"default": bool(r.default < 1e-12), "total": r["sum"], "straight": r.straight}
    return Outcome(below([r.default, abs(r["sum"] - 1)], 1e-12), values=values)


@claim("mloss-def35-eq6-normalized-layer")
def normalised_layer(scales: Table) -> Outcome:
    """With ReLU and the printed ε the normalised layer loss does not follow the scale."""
    change = scales.groupby(["activation", "eps"]).value.agg(
        lambda v: np.max(v.to_numpy()) / np.min(v.to_numpy()) - 1
    )
    printed = change["relu", 1e-4]
    values = {
        "relu": 100 * printed,
        "tiny": bool(change["relu", 1e-9] < 1e-6),
        "gelu": 100 * change["gelu", 1e-4],
    }
    return Outcome(below([printed], 0.01), values=values)


@claim("mloss-def36-eq7-normalized-node")
def normalised_node(by_eps: Table) -> Outcome:
    """ε makes the normalised node loss stable: in its ranking of nodes, and in its value."""
    r = by_eps.set_index("eps")
    growth = r["mean"][1e-6] / r["mean"][1e-4]
    values = {
        "decides": 100 * r.decides.max(),
        "growth": growth,
        "rank": r["rank"].min(),
        "plain": r.plain[1e-4],
    }
    ranked, kept = below(-r["rank"], -0.9), below([growth], 2)
    if ranked is None or kept is None:
        return Outcome(None, values=values)
    return Outcome(ranked and kept, ranked, values)


@claim("mloss-normalise-without-layernorm")
def normalise(layers: Table) -> Outcome:
    """A rescale that changes no output moves the raw layer loss, and not the normalised one."""
    moved, same = layers.raw.max(), below((layers.normalised - 1).abs(), 0.01)
    values = {"raw": moved, "normalised": layers.normalised[layers.raw.idxmax()]}
    return Outcome(same and bool(moved > 2), values=values)
