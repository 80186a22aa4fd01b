#!/usr/bin/env bash
# A stack of three or four grey planes becomes one color picture when it is written as TIFF.
#
# Seen with: tifffile 2026.3.3, Pillow 13.0.0, numpy 2.4.6.
# Behavior: tifffile.imwrite writes stacks of 8-bit or 16-bit planes of shape (n, height, width). For
#   n = 2 and n = 5 the file has n grey pages. For n = 3 it has one page of RGB, and for n = 4 one of
#   RGB with a fourth band, which Pillow opens as RGBA. Pixels of signed 8 bits are opened as unsigned:
#   -5 becomes 251. Nothing warns.
# Expected by most: n grey planes for each n, as for 2 and 5; and values that stay or are refused.
# Why it matters: stacks of three or four channels or depths are common in microscopy and remote
#   sensing. A reader of pictures takes them for colors, or the fourth for opacity, and may lay it on
#   white. Written with photometric='minisblack' they stay planes.
set -euo pipefail
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
python3 -m venv "$place/env"
"$place/env/bin/pip" install -q --disable-pip-version-check \
    tifffile==2026.3.3 pillow==13.0.0 numpy==2.4.6
cd "$place"
"$place/env/bin/python" - <<'PYTHON'
import numpy as np
import tifffile
from PIL import Image

seen = {}
for dtype in (np.uint8, np.uint16):
    for planes in (2, 3, 4, 5):
        levels = np.arange(1, planes + 1, dtype=dtype)[:, None, None]
        tifffile.imwrite("stack.tif", levels * np.full((planes, 16, 16), 40, dtype))
        with tifffile.TiffFile("stack.tif") as file:
            pages = len(file.pages)
        with Image.open("stack.tif") as picture:
            print(f"{planes} planes of {dtype.__name__}: {pages} page(s), opened as {picture.mode}")
            seen[dtype.__name__, planes] = (pages, picture.mode)
tifffile.imwrite("signed.tif", np.array([[-5, 100]], np.int8))
with Image.open("signed.tif") as picture:
    signed = np.asarray(picture).tolist()
print("signed [[-5, 100]] opened as", signed)

assert [seen["uint8", n] for n in (2, 3, 4, 5)] == [(2, "L"), (1, "RGB"), (1, "RGBA"), (5, "L")]
assert [seen["uint16", n][1] for n in (3, 4)] == ["RGB", "RGBA"], "16 bits are opened otherwise"
assert signed == [[251, 100]], "signed values are opened otherwise"
PYTHON
