"""Folders of pictures: pixels exact, mixtures brought together, broken files named."""

from __future__ import annotations

import io
import struct
import threading
import warnings
from pathlib import Path
from typing import Any
from zlib import compress, crc32

import numpy as np
import pytest
import torch
from PIL import Image

from lowerbound import untrusted
from lowerbound.applications.common.masks import read_mask
from lowerbound.applications.common.rows import row_files
from lowerbound.applications.compression.stored_pictures import as_png, smallest_exact
from lowerbound.data import load
from lowerbound.data.pictures import folders
from lowerbound.data.pictures.decoding import on_white
from lowerbound.data.pictures.folders import look_at
from lowerbound.data.pictures.pixels import tiles_of
from lowerbound.data.pictures.whole import read_whole_picture
from lowerbound.errors import DataError, OptionError

RANDOM = np.random.default_rng(0)


def grey(height: int = 6, width: int = 9) -> np.ndarray:
    return RANDOM.integers(0, 256, (height, width), dtype=np.uint8)


def color(height: int = 6, width: int = 9) -> np.ndarray:
    return RANDOM.integers(0, 256, (height, width, 3), dtype=np.uint8)


def write(path: Path, pixels: np.ndarray) -> np.ndarray:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
    return pixels


@pytest.mark.parametrize("make", [grey, color])
def test_pixels_are_those_of_the_files_in_sorted_order(tmp_path: Path, make: object) -> None:
    assert callable(make)
    pictures = [write(tmp_path / name, make()) for name in ("b.png", "a.png", "deep/er/c.bmp")]
    dataset = load(tmp_path)
    assert dataset.ids == ("a.png", "b.png", "deep/er/c.bmp")
    assert dataset.x.dtype == torch.uint8
    restored = dataset.schema.decode(dataset.schema.units(dataset.x))
    np.testing.assert_array_equal(restored, np.stack([pictures[1], pictures[0], pictures[2]]))


def test_one_subfolder_per_class_gives_labels(tmp_path: Path) -> None:
    for name in ("cat/1.png", "cat/2.png", "dog/1.png", "stray.png"):
        write(tmp_path / name, grey())
    dataset = load(tmp_path)
    assert dataset.schema.class_names == ("cat", "dog")
    assert dataset.label is not None
    assert dataset.label.tolist() == [0, 0, 1, -1]


def test_a_single_subfolder_is_no_class(tmp_path: Path) -> None:
    write(tmp_path / "images/1.png", grey())
    write(tmp_path / "images/2.png", grey())
    assert load(tmp_path).label is None


@pytest.mark.parametrize("name", ["unlabeled", "unlabelled"])
def test_a_subfolder_of_unlabeled_pictures_is_no_class(tmp_path: Path, name: str) -> None:
    for picture in ("cat/1.png", "dog/1.png", f"{name}/1.png", f"{name}/deeper/2.png"):
        write(tmp_path / picture, grey())
    dataset = load(tmp_path)
    assert dataset.schema.class_names == ("cat", "dog")
    assert dataset.label is not None
    assert dataset.label.tolist() == [0, 1, -1, -1]
    again = load(tmp_path, schema=dataset.schema)
    assert again.label is not None
    assert again.label.tolist() == [0, 1, -1, -1]


def test_one_class_beside_unlabeled_pictures_is_named(tmp_path: Path) -> None:
    write(tmp_path / "unlabeled/1.png", grey())
    assert load(tmp_path).label is None
    write(tmp_path / "cat/1.png", grey())
    assert load(tmp_path).schema.class_names == ("cat",)


def test_parts_are_told_from_classes(tmp_path: Path) -> None:
    for name in ("train/cat/1.png", "train/dog/1.png", "test/cat/1.png", "test/dog/2.png"):
        write(tmp_path / name, grey())
    with pytest.warns(UserWarning, match="only train is read"):
        training = load(tmp_path)
    test = load(tmp_path, schema=training.schema, split="test")
    assert training.ids == ("cat/1.png", "dog/1.png")
    assert test.ids == ("cat/1.png", "dog/2.png")
    assert training.schema.class_names == ("cat", "dog")
    with pytest.raises(DataError, match="no folder 'val'; it has test, train"):
        load(tmp_path, split="val")


def test_hidden_files_are_not_pictures(tmp_path: Path) -> None:
    for name in ("a.png", ".b.png", ".cache/c.png", "__MACOSX/d.png"):
        write(tmp_path / name, grey())
    assert load(tmp_path).ids == ("a.png",)


@pytest.mark.parametrize("resize", ["pad", "crop", "stretch"])
def test_pictures_of_many_sizes_are_brought_to_the_most_common(tmp_path: Path, resize: str) -> None:
    common = write(tmp_path / "a.png", grey(6, 9))
    write(tmp_path / "b.png", grey(6, 9))
    write(tmp_path / "c.png", np.full((12, 12), 200, dtype=np.uint8))
    with pytest.warns(UserWarning, match="come in 2 sizes: all are brought to 9x6, "):
        dataset = load(tmp_path, resize=resize)  # type: ignore[arg-type]
    assert dataset.schema.event_shape == (1, 6, 9)
    np.testing.assert_array_equal(dataset.x[0, 0].numpy(), common)  # not resampled
    square = dataset.x[2, 0]
    assert (square[:, 2:7] == 200).all()
    assert (square == 200).sum() == (36 if resize == "pad" else 54)
    assert not square[:, [0, 8]].any() or resize != "pad"


def test_the_size_can_be_chosen(tmp_path: Path) -> None:
    write(tmp_path / "a.png", color(20, 30))
    assert load(tmp_path, image_size=8).schema.event_shape == (3, 8, 8)
    assert load(tmp_path, image_size=(10, 15)).schema.event_shape == (3, 10, 15)


def test_large_photographs_are_made_smaller_and_it_is_said(tmp_path: Path) -> None:
    write(tmp_path / "a.jpg", color(300, 400))
    with pytest.warns(UserWarning, match="400x300 is large: all are brought to 128x96"):
        assert load(tmp_path).schema.event_shape == (3, 96, 128)


@pytest.mark.parametrize("resize", ["pad", "crop", "stretch"])
@pytest.mark.parametrize("turned", [False, True])
def test_a_jpeg_read_at_a_part_of_its_size_is_near_the_whole(
    tmp_path: Path, resize: str, turned: bool
) -> None:
    smooth = Image.fromarray(color(12, 17)).resize((900, 640), Image.Resampling.BICUBIC)
    exif = Image.Exif()
    exif[0x0112] = 6 if turned else 1  # a quarter turn
    smooth.save(tmp_path / "a.jpg", quality=98, subsampling=0, exif=exif)
    smooth.save(tmp_path / "b.png", exif=exif)
    small, whole = load(tmp_path, image_size=(48, 40), resize=resize).x.double()
    assert (small - whole).abs().mean() < 0.6
    assert (small - whole).abs().max() < 8


def test_a_jpeg_of_odd_sides_gets_no_new_border(tmp_path: Path) -> None:
    light = Image.fromarray(200 + color(17, 13) // 5).resize((2048, 1365))
    light.save(tmp_path / "a.jpg", quality=95)
    with pytest.warns(UserWarning, match="is large"):
        x = load(tmp_path).x
    assert x.shape[1:] == (3, 85, 128)
    assert x.min() > 150


def test_threads_keep_the_limit_of_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lowerbound.data.pictures.folders.LARGE", 0)
    for module in ("decoding", "folders"):
        monkeypatch.setattr(f"lowerbound.data.pictures.{module}.BYTES_OF_PIXEL", 10**8)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 3)
    for name in "abcd":
        write(tmp_path / f"{name}.png", color())  # 54 pixels: 5.4 GB
    with pytest.raises(DataError, match="the limit is 4 GB"):
        load(tmp_path)
    threads = set()
    loaded = folders.read_pixels

    def noted(*words: Any) -> Any:
        threads.add(threading.get_ident())
        return loaded(*words)

    monkeypatch.setattr(folders, "read_pixels", noted)
    for gigabytes, most in ((6, 1), (100, 3)):
        threads.clear()
        with untrusted.memory(gigabytes):
            assert len(load(tmp_path)) == 4
        assert len(threads) <= most
        assert (threading.get_ident() in threads) == (most == 1)


def test_threads_read_what_one_reads_and_name_the_first_broken_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lowerbound.data.pictures.folders.LARGE", 0)
    monkeypatch.setattr("lowerbound.data.pictures.decoding.AT_ONCE", 4)
    made = np.stack([write(tmp_path / f"{i:02}.png", color()) for i in range(11)])
    monkeypatch.setattr(torch, "get_num_threads", lambda: 3)
    assert np.array_equal(load(tmp_path).x.permute(0, 2, 3, 1), made)
    for broken in ("03.png", "09.png"):
        truncate(tmp_path / broken)
    before = list(warnings.filters)
    with pytest.raises(DataError, match=r"03\.png cannot be read as a picture"):
        load(tmp_path)
    assert warnings.filters == before
    with pytest.warns(UserWarning, match=r"2 of 11 pictures cannot be read .*: 03\.png, 09\.png"):
        dataset = load(tmp_path, on_error="skip")
    assert np.array_equal(dataset.x.permute(0, 2, 3, 1), np.delete(made, [3, 9], 0))


def test_mixed_modes_become_color(tmp_path: Path) -> None:
    pixels = write(tmp_path / "grey.png", grey(4, 4))
    write(tmp_path / "rgb.png", color(4, 4))
    palette = Image.fromarray(color(4, 4)).quantize(8)
    palette.save(tmp_path / "palette.png")
    with pytest.warns(UserWarning, match="1 of 3 are grey and become color"):
        dataset = load(tmp_path)
    assert dataset.schema.event_shape == (3, 4, 4)
    assert dataset.ids is not None
    rows = dict(zip(dataset.ids, dataset.x.numpy(), strict=True))
    np.testing.assert_array_equal(rows["grey.png"], np.stack([pixels] * 3))
    expected = np.asarray(palette.convert("RGB")).transpose(2, 0, 1)
    np.testing.assert_array_equal(rows["palette.png"], expected)


def test_transparent_pictures_are_laid_on_white(tmp_path: Path) -> None:
    pixels = np.zeros((2, 2, 4), dtype=np.uint8)
    pixels[0, 0] = (10, 20, 30, 255)
    write(tmp_path / "a.png", pixels)
    with pytest.warns(UserWarning, match="laid on white"):
        dataset = load(tmp_path)
    assert dataset.x[0, :, 0, 0].tolist() == [10, 20, 30]
    assert dataset.x[0, :, 1, 1].tolist() == [255, 255, 255]


@pytest.mark.parametrize("bands", [2, 4])
def test_only_transparent_pixels_are_a_loss(tmp_path: Path, bands: int) -> None:
    pixels = np.full((3, 5, bands), 255, dtype=np.uint8)
    pixels[..., :-1] = RANDOM.integers(0, 256, (3, 5, bands - 1))
    write(tmp_path / "a.png", pixels)
    assert load(tmp_path).x.flatten().tolist()[0] == pixels[0, 0, 0]  # without a warning
    pixels[2, 1, -1] = 254
    write(tmp_path / "b.png", pixels)
    looked = look_at([tmp_path / "a.png", tmp_path / "b.png"])
    assert looked.losses(3) == ["transparent ones are laid on white"]
    assert look_at([tmp_path / "a.png"]).losses(3) == []


def test_deep_greys_keep_their_upper_byte(tmp_path: Path) -> None:
    deep = RANDOM.integers(0, 65536, (4, 4), dtype=np.uint16)
    write(tmp_path / "a.png", deep)
    with pytest.warns(UserWarning, match="upper 8 bits"):
        dataset = load(tmp_path)
    np.testing.assert_array_equal(dataset.x[0, 0].numpy(), deep >> 8)


def test_the_cameras_rotation_is_applied(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # a quarter turn
    Image.fromarray(color(6, 9)).save(tmp_path / "a.jpg", exif=exif)
    assert load(tmp_path).schema.event_shape == (3, 9, 6)


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


@pytest.mark.parametrize("suffix", ["png", "jpg", "gif", "tiff", "webp"])
def test_a_truncated_picture_is_named_or_skipped_and_counted(tmp_path: Path, suffix: str) -> None:
    for name in "abc":
        write(tmp_path / f"{name}.{suffix}", color(40, 40))
    truncate(tmp_path / f"b.{suffix}")
    with pytest.raises(DataError, match=rf"b\.{suffix} cannot be read as a picture"):
        load(tmp_path)
    with pytest.warns(UserWarning, match=rf"1 of 3 pictures cannot be read .*: b\.{suffix}"):
        dataset = load(tmp_path, on_error="skip")
    assert dataset.ids == (f"a.{suffix}", f"c.{suffix}")
    assert len(dataset) == 2


def test_a_file_that_is_no_picture_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_text("no picture")
    with pytest.raises(DataError, match=r"a\.png cannot be read"):
        load(tmp_path)
    with pytest.raises(DataError, match=r"none of the pictures can be read: a\.png"):
        load(tmp_path, on_error="skip")


def test_labels_of_skipped_pictures_are_skipped(tmp_path: Path) -> None:
    for name in ("cat/1.png", "cat/2.png", "dog/1.png"):
        write(tmp_path / name, grey())
    truncate(tmp_path / "cat/1.png")
    with pytest.warns(UserWarning, match="1 of 3"):
        dataset = load(tmp_path, on_error="skip")
    assert dataset.label is not None
    assert dataset.label.tolist() == [0, 1]


def test_a_folder_without_pictures_says_what_it_has(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"has no pictures \(.*\.png.*it is empty"):
        load(tmp_path)
    (tmp_path / "table.csv").write_text("a\n1\n")
    with pytest.raises(DataError, match=r"it has table\.csv"):
        load(tmp_path)


def test_new_pictures_are_brought_to_the_fitted_size_and_color(tmp_path: Path) -> None:
    write(tmp_path / "fit/a.png", color(6, 9))
    schema = load(tmp_path / "fit").schema
    write(tmp_path / "new/a.png", grey(12, 18))
    said = "1 of 1 are resized from 18x12 to 9x6, the size of the model's pictures; 1 of 1 are grey"
    with pytest.warns(UserWarning, match=said):
        dataset = load(tmp_path / "new", schema=schema)
    assert dataset.x.shape == (1, 3, 6, 9)
    assert dataset.schema == schema
    with pytest.raises(OptionError, match="fitted on 9x6; leave image_size out"):
        load(tmp_path / "new", schema=schema, image_size=8)


def test_color_that_a_model_of_grey_pictures_lacks_is_noted(tmp_path: Path) -> None:
    write(tmp_path / "fit/a.png", grey(6, 9))
    schema = load(tmp_path / "fit").schema
    write(tmp_path / "new/a.png", color(6, 9))
    with pytest.warns(UserWarning, match="^pictures: 1 of 1 are in color and become grey$"):
        assert load(tmp_path / "new", schema=schema).x.shape == (1, 1, 6, 9)


def test_one_picture_is_a_data_set_of_one_row(tmp_path: Path) -> None:
    pixels = write(tmp_path / "a.png", grey())
    dataset = load(tmp_path / "a.png")
    assert dataset.ids == ("a.png",)
    np.testing.assert_array_equal(dataset.x[0, 0].numpy(), pixels)


def test_real_photographs(shared_data: Path, tmp_path: Path) -> None:
    import tarfile

    with tarfile.open(shared_data / "kodak24.tar") as archive:
        archive.extractall(tmp_path, filter="data")
    dataset = load(tmp_path, image_size=32, resize="crop")
    assert dataset.x.shape == (24, 3, 32, 32)


def test_pictures_of_formats_that_are_not_read_are_named(tmp_path: Path) -> None:
    (tmp_path / "a.HEIC").write_bytes(b"heic")
    with pytest.raises(DataError, match=r"save a.HEIC as \.png or \.jpg"):
        load(tmp_path)
    write(tmp_path / "b.png", grey())
    with pytest.warns(UserWarning, match=r"a.HEIC left out"):
        assert len(load(tmp_path)) == 1


def test_tar_files_beside_pictures_are_named(tmp_path: Path) -> None:
    (tmp_path / "shard.tar").write_bytes(b"")
    (tmp_path / "._shard.tar").write_bytes(b"")
    write(tmp_path / "b.png", grey())
    with pytest.warns(UserWarning, match=r"^shard.tar left out, because tar files are read only"):
        assert len(load(tmp_path)) == 1


# what cameras, phones and microscopes write ------------------------------------------------------


def write_deep_png(path: Path, pixels: np.ndarray) -> None:
    """A PNG of 16 bits per color, which Pillow cannot write."""
    height, width, channels = pixels.shape

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", crc32(kind + data))

    lines = b"".join(b"\0" + row.astype(">u2").tobytes() for row in pixels)
    head = struct.pack(">IIBBBBB", width, height, 16, {3: 2, 4: 6}[channels], 0, 0, 0)
    parts = chunk(b"IHDR", head) + chunk(b"IDAT", compress(lines)) + chunk(b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + parts)


@pytest.mark.parametrize("channels", [3, 4])
def test_deep_colors_are_named_and_refused_where_they_would_be_lost(
    tmp_path: Path, channels: int
) -> None:
    pixels = RANDOM.integers(0, 65_536, (6, 9, channels))
    write_deep_png(tmp_path / "deep.png", pixels)
    with pytest.warns(UserWarning, match="16-bit ones keep their upper 8 bits"):
        dataset = load(tmp_path)
    if channels == 3:
        restored = dataset.schema.decode(dataset.schema.units(dataset.x))
        np.testing.assert_array_equal(restored[0], pixels >> 8)
    with pytest.raises(DataError, match="has 16 bits per color"):
        read_whole_picture(tmp_path / "deep.png")
    content = (tmp_path / "deep.png").read_bytes()
    assert smallest_exact(content, len(content) - 1) is None  # no form of 8 bits is exact
    assert smallest_exact(content, len(content)) == content


def test_pictures_of_12_bits_in_files_of_16_are_named(tmp_path: Path) -> None:
    for name, brightest in (("a", 4095), ("b", 300)):
        pixels = np.linspace(0, brightest, 16).reshape(4, 4).astype(np.uint16)
        Image.fromarray(pixels).save(tmp_path / f"{name}.png")
    dark = pytest.warns(UserWarning, match="no value of 4,096 or more of 65,535")
    with pytest.warns(UserWarning, match="keep their upper 8 bits"), dark:
        load(tmp_path)
    with pytest.warns(UserWarning, match="keep their upper 8 bits"), dark:
        load(tmp_path, resize="tiles", image_size=4)
    Image.fromarray(np.full((4, 4), 4096, np.uint16)).save(tmp_path / "c.png")
    with pytest.warns(UserWarning, match="keep their upper 8 bits") as noted:
        load(tmp_path)
    assert len(noted) == 1


def test_greys_of_16_bits_are_stored_exactly(tmp_path: Path) -> None:
    pixels = (np.arange(54).reshape(6, 9) * 1_000).astype(np.uint16)
    Image.fromarray(pixels).save(tmp_path / "deep.pgm")
    stored = smallest_exact((tmp_path / "deep.pgm").read_bytes(), 10_000)
    assert stored is not None
    np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(stored))), pixels)


def test_whole_numbers_of_32_bits_are_refused(tmp_path: Path) -> None:
    Image.fromarray(grey().astype(np.int32)).save(tmp_path / "a.tif")
    with pytest.raises(DataError, match="its pixels are whole numbers of 32 bits"):
        load(tmp_path)
    with pytest.raises(DataError, match="has 32 bits per color"):
        read_whole_picture(tmp_path / "a.tif")
    Image.fromarray(np.full((6, 9), 200_000, np.int32)).save(tmp_path / "a.tif")
    assert smallest_exact((tmp_path / "a.tif").read_bytes(), 10_000) is None


def test_of_a_phones_two_pictures_the_first_is_the_picture(tmp_path: Path) -> None:
    whole = Image.fromarray(color())
    whole.save(tmp_path / "a.jpg", format="MPO", save_all=True, append_images=[whole])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(load(tmp_path)) == 1
    assert read_whole_picture(tmp_path / "a.jpg").values.shape == (6, 9, 3)


@pytest.mark.parametrize("name", ["a.tif", "a.gif"])
def test_of_several_pages_the_first_is_read_and_a_note_says_so(tmp_path: Path, name: str) -> None:
    pages = [Image.fromarray(grey()) for _ in range(3)]
    pages[0].save(tmp_path / name, save_all=True, append_images=pages[1:])
    with pytest.warns(UserWarning, match="1 of 1 files hold several pictures"):
        assert len(load(tmp_path)) == 1
    with pytest.raises(DataError, match="holds 3 pictures"):
        read_whole_picture(tmp_path / name)


def test_another_channel_named_a_is_no_opacity(tmp_path: Path) -> None:
    Image.fromarray(color()).convert("LAB").save(tmp_path / "a.tif")
    with pytest.warns(UserWarning, match="^pictures: 1 of 1 are in CMYK or LAB [^;]*$"):
        load(tmp_path)
    assert read_whole_picture(tmp_path / "a.tif").alpha is None


def test_a_picture_of_inks_becomes_a_png_of_colors() -> None:
    stream = io.BytesIO()
    Image.fromarray(np.full((6, 9, 4), 40, np.uint8), "CMYK").save(stream, "JPEG")
    restored = Image.open(io.BytesIO(as_png(stream.getvalue())))
    expected = np.asarray(Image.open(stream).convert("RGB"))
    np.testing.assert_array_equal(np.asarray(restored.convert("RGB")), expected)


def test_links_to_folders_are_followed_but_never_in_a_circle(tmp_path: Path) -> None:
    write(tmp_path / "all/square/1.png", grey())
    write(tmp_path / "some/circle/1.png", grey())
    (tmp_path / "some/square").symlink_to(tmp_path / "all/square")
    (tmp_path / "some/circle/loop").symlink_to(tmp_path / "some")
    assert load(tmp_path / "some").ids == ("circle/1.png", "square/1.png")


def test_folders_that_link_to_each_other_are_read_once(tmp_path: Path) -> None:
    for name in "abc":
        write(tmp_path / name / "1.png", grey())
    (tmp_path / "a/to_b").symlink_to(tmp_path / "b")
    (tmp_path / "a/again").symlink_to(tmp_path / "b")
    (tmp_path / "b/to_a").symlink_to(tmp_path / "a")
    (tmp_path / "broken").symlink_to(tmp_path / "nowhere")
    assert load(tmp_path).ids == ("a/1.png", "b/1.png", "c/1.png")


def test_more_names_of_jpeg_files_and_of_parts(tmp_path: Path) -> None:
    for name in ("a.jfif", "b.JPE"):
        (tmp_path / "Train").mkdir(exist_ok=True)
        Image.fromarray(grey()).save(tmp_path / "Train" / name, format="JPEG")
    write(tmp_path / "Test/c.png", grey())
    with pytest.warns(UserWarning, match="only Train is read"):
        assert load(tmp_path).ids == ("a.jfif", "b.JPE")


def test_a_mask_may_be_a_jpeg_or_a_clear_layer(tmp_path: Path) -> None:
    schema = load(RANDOM.integers(0, 256, (4, 30, 30), dtype=np.uint8)).schema
    hidden = np.zeros((30, 30), bool)
    hidden[8:16, 8:16] = True
    Image.fromarray(np.where(hidden, 0, 255).astype(np.uint8)).save(tmp_path / "m.jpg", quality=60)
    clear = np.zeros((30, 30, 4), np.uint8)
    clear[hidden, 3] = 255
    Image.fromarray(clear).save(tmp_path / "m.png")
    for name in ("m.jpg", "m.png"):
        found = read_mask(tmp_path / name, schema, 4)[0, 0].numpy()
        np.testing.assert_array_equal(found, hidden)


def test_in_an_exact_mask_only_black_is_hidden(tmp_path: Path) -> None:
    schema = load(RANDOM.integers(0, 256, (4, 30, 30), dtype=np.uint8)).schema
    hidden = np.zeros((30, 30), bool)
    hidden[8:16, 8:16] = True
    for kind in (np.uint8, np.uint16):
        Image.fromarray(np.where(hidden, 0, 1).astype(kind)).save(tmp_path / "m.png")
        found = read_mask(tmp_path / "m.png", schema, 4)[0, 0].numpy()
        np.testing.assert_array_equal(found, hidden)


def test_masks_have_the_names_of_their_pictures(tmp_path: Path) -> None:
    schema = load(RANDOM.integers(0, 256, (4, 3, 3), dtype=np.uint8)).schema
    for number, name in enumerate(("cat/a", "cat/a-1", "dog/b")):  # a.png follows a-1.png, as text
        mask = np.full((3, 3), 255, np.uint8)
        mask[number] = 0
        write(tmp_path / f"{name}.png", mask)

    def hidden(*names: str) -> list[int]:
        rows = read_mask(tmp_path, schema, len(names), names)[:, 0]
        return rows.any(2).int().argmax(1).tolist()

    assert hidden("dog/b.jpg", "cat/a.jpg") == [2, 0]  # of some pictures
    assert hidden("cat/a.jpg", "cat/a-1.png", "dog/b.png") == [0, 1, 2]
    assert hidden("1.png", "2.png", "3.png") == [1, 0, 2]  # in sorted order
    with pytest.raises(DataError, match=r"there is none of cat/c, dog/d"):
        hidden("cat/a.png", "dog/d.png", "cat/c.png")
    assert read_mask(tmp_path, schema, 3)[:, 0].any(2).int().argmax(1).tolist() == [1, 0, 2]
    with pytest.raises(DataError, match="fits neither one row"):
        read_mask(tmp_path, schema, 2, ("1.png", "2.png"))


def test_masks_of_tiles_have_the_names_of_written_tiles(tmp_path: Path) -> None:
    schema = load(RANDOM.integers(0, 256, (4, 8, 8), dtype=np.uint8)).schema
    names = [f"a.png:0,{8 * column}" for column in range(12)]
    for column in range(12):
        mask = np.full((8, 8), 255, np.uint8)
        mask.flat[column] = 0
        write(tmp_path / f"a-0-{8 * column}.png", mask)
    found = read_mask(tmp_path, schema, 12, names).flatten(1).int().argmax(1)
    assert found.tolist() == list(range(12))


def test_masks_of_pictures_are_cut_as_their_tiles(tmp_path: Path) -> None:
    pictures = {"a": (12, 20), "b": (8, 9)}
    hidden = {name: RANDOM.random(size) < 0.3 for name, size in pictures.items()}
    for name, size in pictures.items():
        write(tmp_path / "data" / f"{name}.png", RANDOM.integers(0, 256, size, dtype=np.uint8))
        write(tmp_path / "masks" / f"{name}.png", np.where(hidden[name], 0, 255).astype(np.uint8))
    rows = load(tmp_path / "data", resize="tiles", image_size=8)
    assert rows.ids is not None
    found = read_mask(tmp_path / "masks", rows.schema, len(rows), rows.ids)[:, 0].numpy()
    expected = [tile for mask in hidden.values() for tile in tiles_of(mask, (8, 8)).x]
    np.testing.assert_array_equal(found, np.stack(expected))
    write(tmp_path / "masks" / "b.png", np.zeros((5, 5), np.uint8))
    with pytest.raises(DataError, match="do not have the sizes of their pictures"):
        read_mask(tmp_path / "masks", rows.schema, len(rows), rows.ids)


def test_an_overview_of_results_is_no_data(tmp_path: Path) -> None:
    rows = load(RANDOM.integers(0, 256, (3, 8, 8), dtype=np.uint8))
    row_files(rows.schema).write(tmp_path / "out", rows.all().filled, rounded=True)
    assert load(tmp_path / "out").ids == ("00000.png", "00001.png", "00002.png")
    write(tmp_path / "own" / "sheet.png", grey())
    assert load(tmp_path / "own").ids == ("sheet.png",)


@pytest.mark.parametrize("size", [(400, 3), (2, 400), (16, 1)])
def test_very_long_pictures_are_not_black(tmp_path: Path, size: tuple[int, int]) -> None:
    for name in ("a", "b"):
        Image.new("RGB", (16, 16), "white").save(tmp_path / f"{name}.png")
    Image.new("RGB", size, "red").save(tmp_path / "long.png")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        rows = load(tmp_path, image_size=(16, 16))
    assert rows.ids is not None
    red = rows.x[rows.ids.index("long.png"), 0]
    assert (red > 0).sum() == 16  # one line across


def test_colors_of_ink_and_of_lab_are_named(tmp_path: Path) -> None:
    colors = Image.fromarray(RANDOM.integers(0, 256, (6, 9, 3), dtype=np.uint8))
    colors.convert("CMYK").save(tmp_path / "ink.tif")
    Image.merge("LAB", colors.split()).save(tmp_path / "lab.tif")
    colors.save(tmp_path / "usual.png")
    note = "2 of 3 are in CMYK or LAB and become RGB, so colors may differ"
    with pytest.warns(UserWarning, match=note):
        load(tmp_path)
    (tmp_path / "grey").mkdir()
    colors.convert("L").save(tmp_path / "grey" / "a.png")
    grey = load(tmp_path / "grey").schema
    (tmp_path / "grey" / "a.png").unlink()
    with pytest.warns(UserWarning, match="^pictures: 3 of 3 are in color and become grey$"):
        assert len(load(tmp_path, schema=grey)) == 3
    with Image.open(tmp_path / "lab.tif") as lab:  # such as a mask
        assert on_white(lab).convert("L").size == (9, 6)


@pytest.mark.parametrize("side", [8, 9, 1])
def test_tiles_reach_both_borders_and_overlap_by_half(side: int) -> None:
    for length in range(side, 6 * side):
        picture = np.arange(length)[None, :].repeat(side, 0)
        tiles = tiles_of(picture, (side, side))
        starts = [left for _, left in tiles.corners]
        assert (starts[0], starts[-1]) == (0, length - side)
        assert max(np.diff(starts), default=0) <= max(1, side // 2) + 1
        assert np.mean(np.diff(starts) if starts[1:] else [0]) <= max(1, side // 2)
        assert [tile[0, 0] for tile in tiles.x] == starts
