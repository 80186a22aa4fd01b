"""The conditional VAE: samples of a given class.

Encoder and decoder condition on the class y; the prior does not:

    p(x | y) = integral of p(x | z, y) p(z) dz        (Sohn et al. 2015)

The latent then need not encode the class. It describes the rest, the style: slant, width, weight of
the stroke. Any style can be combined with any class, because z has the same meaning in all classes.

The model is also a classifier. By Bayes' rule, if all classes are equally likely, the class with
the largest bound on log p(x | y) is the most probable one.

    python examples/06_conditional.py [--quick]
"""

from __future__ import annotations

import warnings
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from _figures import quick, save, show_sheet

from lowerbound import VAE, ConditionalVAE
from lowerbound.data import load
from lowerbound.evaluation.samples.acceptance import RealismClassifier, fit_realism_classifier


def main() -> None:
    warnings.simplefilter("ignore", UserWarning)
    short = quick(__doc__)
    train, test = load("digits").split(0.2, seed=0)
    x, x_test = (part.schema.decode(part.all().filled) for part in (train, test))
    assert train.label is not None
    assert test.label is not None
    y, y_test = train.label.numpy(), test.label.numpy()
    options: dict[str, Any] = {
        "latent_dim": 8,
        "prior": "flow",
        "epochs": 40 if short else 300,
        "data_options": {"levels": 17},
        "random_state": 0,
    }
    conditional = ConditionalVAE(**options).fit(x, y)
    unconditional = VAE(**options).fit(x)
    print("Bounds on unseen digits, nats per digit")
    print(f"  VAE, log p(x):                 {unconditional.score(x_test):7.2f}")
    print(f"  conditional VAE, log p(x | y): {conditional.score(x_test, y_test):7.2f}")
    print(f"  and log p(x), all classes:     {conditional.score(x_test):7.2f}")

    sevens = conditional.sample(1000, y=7, mean=True)
    judge = fit_realism_classifier(train, test)
    assert isinstance(judge, RealismClassifier)
    named = judge.classifier.predict(sevens.reshape(1000, 64) / 16.0)
    print(
        f"Give me sevens: the classifier calls {(named == 7).mean():.1%} of 1,000 samples a seven"
    )

    bounds = np.stack([conditional.score_samples(x_test, y=digit) for digit in range(10)])
    right = (bounds.argmax(0) == y_test).mean()
    print(f"As a classifier, the model is right about {right:.1%} of the unseen digits")

    threes = np.flatnonzero(y_test == 3)
    by_ink = threes[x_test[threes].sum((1, 2)).argsort()]
    rows = by_ink[[0, len(by_ink) // 3, 2 * len(by_ink) // 3, -1]]  # from light to bold
    z = conditional.transform(x_test[rows], y_test[rows])
    styles = []
    for style, row in zip(z, rows, strict=True):
        styles.append(x_test[row][None])
        styles.append(conditional.inverse_transform(np.repeat(style[None], 10, 0), y=np.arange(10)))
    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 2.1), width_ratios=(10, 11))
    figure.set_layout_engine("constrained", wspace=0.06)
    show_sheet(left, sevens[:40], across=10, title="Sevens")
    show_sheet(
        right, np.concatenate(styles), across=11, title="The style of a three, given to all ten"
    )
    save(figure, "conditional.png")


if __name__ == "__main__":
    main()
