"""Few labels: the class is one latent, and the style is the other.

    y ~ p(y)    z ~ p(z)    x ~ p(x | y, z)        (Kingma et al. 2014)

Sixty digits have a label, the other 1,737 have none. If the class is known, the bound is on
log p(x, y). Otherwise the bound sums over all classes with their probabilities q(y | x) and is on
log p(x). All rows therefore train the model of digits, and the few labels train the classifier.

The same model makes analogies: it decodes the style of one digit with every class. The style is
encoded with the digit's own class. No label of the style is needed.

    python examples/15_few_labels.py [--quick]
"""

from __future__ import annotations

import warnings
from dataclasses import replace

import matplotlib.pyplot as plt
import numpy as np
import torch
from _figures import quick, save, show_sheet

from lowerbound import SemiSupervisedVAE
from lowerbound.applications.generation.mixing import in_every_class
from lowerbound.data import load

LABELS, CLASSES = 60, 10


def main() -> None:
    warnings.simplefilter("ignore", UserWarning)
    short = quick(__doc__)
    digits = load("digits")
    assert digits.label is not None
    x, y = digits.schema.decode(digits.all().filled), digits.label.numpy()
    few = np.where(np.arange(len(y)) < LABELS, y, -1)
    model = SemiSupervisedVAE(
        latent_dim=8,
        augmentation=1.0,
        epochs=20 if short else None,
        data_options={"levels": 17},
        random_state=0,
    ).fit(x, few)

    unlabeled = few < 0
    right = model.predict(x)[unlabeled] == y[unlabeled]
    print(
        f"{LABELS} labels, {unlabeled.sum():,} digits without: "
        f"{right.mean():.1%} of these are right"
    )

    hidden = np.flatnonzero(unlabeled & (y == 3))
    by_ink = hidden[x[hidden].sum((1, 2)).argsort()]
    rows = by_ink[[0, len(by_ink) // 3, 2 * len(by_ink) // 3, -1]]  # from light to bold
    without_label = replace(digits, label=None).subset(torch.from_numpy(rows))
    made = in_every_class(model.model_, without_label, CLASSES)
    named = model.predict(model.fitted_.schema.decode(made.flatten(0, 1))).reshape(
        len(rows), CLASSES
    )
    share = (named == np.arange(CLASSES)).mean()
    print(f"analogies: the model classifies {share:.0%} as the class that they were decoded with")

    sheet = torch.cat([without_label.all().filled.unsqueeze(1), made], 1).flatten(0, 2).numpy()
    figure, axes = plt.subplots(figsize=(6.6, 2.6))
    show_sheet(axes, 16 * sheet, across=11, title="The style of a three, in every class")
    save(figure, "few_labels.png")


if __name__ == "__main__":
    main()
