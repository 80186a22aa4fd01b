"""Your own table: fit, score, find anomalies, sample a new table, save the model.

The table is scikit-learn's measurements of 569 tumors. The script writes it to a csv file first, so
the steps are those for your own file. The columns need no declaration: text columns are left out
with a note, numbers are standardized, and every score is in nats per row in the columns' own units.
The model does not see the label.

    VAE().fit("table.csv")        or on the command line        lowerbound fit table.csv -o MODEL

First check whether you need a deep model. Probabilistic PCA has a closed-form fit, its log p(x) is
in the same units, and on a small table it may be as good.

    python examples/09_your_own_table.py [--quick]
"""

from __future__ import annotations

import warnings

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from _figures import BLUE, ORANGE, quick, save
from sklearn.datasets import load_breast_cancer
from sklearn.metrics import roc_auc_score

from lowerbound import VAE, ProbabilisticPCA


def tables() -> tuple[pd.DataFrame, pd.DataFrame, pd.Series]:
    """Benign tumors for training; the other rows, and their class."""
    frame = load_breast_cancer(as_frame=True).frame
    benign = frame[frame.target == 1].drop(columns="target").sample(frac=1.0, random_state=0)
    train = benign[:250]
    rest = frame.drop(index=train.index)
    return train, rest.drop(columns="target"), rest.target


def main() -> None:
    warnings.simplefilter("ignore", UserWarning)
    short = quick(__doc__)
    train, rest, kind = tables()
    train.to_csv("benign.csv", index=False)

    vae = VAE(epochs=100 if short else None, random_state=0).fit("benign.csv")
    chosen = vae.fitted_.options.model
    print(f"Fitted on benign.csv: {len(train)} rows of {train.shape[1]} columns")
    print(f"  {chosen.latent_dim} latent numbers, {chosen.network}, likelihood {chosen.likelihood}")
    columns = {"standardize": True}  # PCA has one noise scale for all columns
    pca = ProbabilisticPCA(latent_dim=chosen.latent_dim, data_options=columns).fit(train)

    scores = {"VAE": vae.score_samples(rest), "PCA": pca.score_samples(rest)}
    benign = (kind == 1).to_numpy()
    print("Unseen rows")
    for name, nats in scores.items():
        area = roc_auc_score(~benign, -nats)
        print(
            f"  {name}: benign {nats[benign].mean():7.2f} nats, malignant "
            f"{nats[~benign].mean():7.2f}; as a detector of malignant ones: AUC {area:.3f}"
        )

    place = int(np.argmin(scores["VAE"]))
    oddest = rest.iloc[[place]].reset_index(drop=True)
    back, deviation = vae.reconstruct(oddest, return_std=True)
    off = ((oddest - back) / deviation).iloc[0].abs().sort_values(ascending=False)
    print(
        f"The most anomalous row is {rest.index[place]} ({scores['VAE'][place]:.0f} nats), "
        "because of"
    )
    for column, size in off[:3].items():
        print(f"  {column}: {size:.0f} standard deviations from the model's mean")

    made = vae.sample(1000, random_state=1)
    made.to_csv("made.csv", index=False)
    print("1,000 new rows in made.csv, beside the real ones")
    for column in ("mean radius", "mean texture", "worst area"):
        real, new = train[column], made[column]
        print(
            f"  {column:12}: real {real.mean():7.2f} ± {real.std():6.2f}, "
            f"made {new.mean():7.2f} ± {new.std():6.2f}"
        )
    apart = np.abs(train.corr() - made.corr()).to_numpy()
    print(f"  correlations differ by {apart[np.triu_indices(30, 1)].mean():.2f} on average")

    vae.save("benign.lb")
    again = VAE.load("benign.lb").score_samples(rest)
    print(f"Saved and loaded: scores differ by {np.abs(again - scores['VAE']).max():.0e} at most")

    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.2))
    low = float(np.quantile(scores["VAE"], 0.02))
    bins = np.linspace(low, scores["VAE"].max(), 40)
    left.hist(scores["VAE"][benign].clip(low), bins, color=BLUE, alpha=0.7, label="benign, unseen")
    left.hist(scores["VAE"][~benign].clip(low), bins, color=ORANGE, alpha=0.7, label="malignant")
    left.set(xlabel="bound on log p(x), nats", ylabel="rows", title="What the model finds likely")
    left.legend()
    for table, color, name in [(made, ORANGE, "made"), (train, BLUE, "real")]:
        right.scatter(table["mean radius"], table["mean texture"], s=5, color=color, label=name)
    right.set(xlabel="mean radius", ylabel="mean texture", title="Real rows and made ones")
    right.legend()
    save(figure, "your_own_table.png")


if __name__ == "__main__":
    main()
