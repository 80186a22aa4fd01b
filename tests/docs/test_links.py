"""Links lead somewhere, and every picture is shown."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.docs.pages import ABOUT_THE_PROJECT, DOCS, PAGES, ROOT, anchor, anchors, links, name_of


@pytest.mark.parametrize("page", [*PAGES, *ABOUT_THE_PROJECT], ids=name_of)
def test_internal_links_resolve(page: Path) -> None:
    for target in links(page):
        if "://" in target:
            continue
        path, _, fragment = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        assert file.exists(), f"{name_of(page)} links to {target}, which is not there"
        assert file.is_relative_to(ROOT), f"{name_of(page)} links out of the checkout: {target}"
        if fragment:
            assert fragment in anchors(file), f"{name_of(page)}: no heading {fragment} in {path}"


def test_every_page_can_be_reached_from_the_index() -> None:
    reached, waiting = set(), [DOCS / "index.md"]
    while waiting:
        page = waiting.pop()
        if page in reached or page.suffix != ".md":
            continue
        reached.add(page)
        files = (t.partition("#")[0] for t in links(page) if "://" not in t)
        waiting += [(page.parent / file).resolve() for file in files if file]
    assert set(PAGES) - {ROOT / "README.md"} <= reached


def test_every_picture_is_shown_and_they_are_small() -> None:
    shown = {
        (page.parent / target).resolve()
        for page in PAGES
        for target in links(page)
        if target.endswith(".png")
    }
    pictures = set((DOCS / "images").glob("*.png"))
    assert pictures == {path for path in shown if path.parent == DOCS / "images"}
    assert (
        sum(path.stat().st_size for path in pictures) < 1_850_000
    )  # each drawn face in its sheet stays visible


def test_anchors_are_those_of_code_hosts() -> None:
    assert anchor("Bits per dimension") == "bits-per-dimension"
    assert anchor("2. Principal component analysis") == "2-principal-component-analysis"
    assert anchor("`importance_weighted`") == "importance_weighted"
    assert anchor("Priors p(z) and posteriors q(z | x)") == "priors-pz-and-posteriors-qz--x"
