"""core.images: pictures as phones, cameras, printers and servers write them.

What is not pixels costs no picture; colours are those that were seen.
"""

from __future__ import annotations

import io
import logging
import struct
import sys
import warnings
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from inputs import images as made
from lapel.core import images
from lapel.core.errors import ImageError
from lapel.core.images import decode

WHITE = (255, 255, 255)


def at(picture: Image.Image, x: int, y: int) -> tuple[int, ...]:
    assert picture.mode == "RGB"
    pixel = picture.getpixel((x, y))
    assert isinstance(pixel, tuple)
    return pixel


def near(found: tuple[int, ...], expected: tuple[int, ...], tolerance: int = 3) -> bool:
    return max(abs(a - b) for a, b in zip(found, expected, strict=True)) <= tolerance


# --- HEIC -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "brand",
    [b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1", b"msf1", b"mif2", b"MiHE"],
)
def test_heic_of_every_brand_is_read(brand: bytes) -> None:
    picture = decode(made.heic(made.half(), brand=brand))
    assert picture.size == (64, 48)
    assert near(at(picture, 4, 24), made.RED)
    assert near(at(picture, 60, 24), WHITE)


@pytest.mark.parametrize("turned_by", ["irot", "exif"])
def test_heic_is_turned_once(turned_by: str) -> None:
    data = made.heic(made.half(), orientation=6, turned_by=turned_by)
    assert (b"irot" in data) == (turned_by == "irot")
    picture = decode(data)
    assert picture.size == (48, 64)
    assert near(at(picture, 24, 4), made.RED)
    assert near(at(picture, 24, 60), WHITE)


def test_a_burst_gives_its_chosen_picture_and_no_thumbnail() -> None:
    burst = made.heic_burst([made.half(), Image.new("RGB", (80, 60), (0, 0, 255))], primary=1)
    assert decode(burst).size == (80, 60)
    assert near(at(decode(burst), 40, 30), (0, 0, 255))
    assert decode(made.heic(made.half((640, 480)), thumbnails=[128])).size == (640, 480)


def test_heic_has_its_colours_and_its_transparency() -> None:
    colour = Image.new("RGB", (64, 48), (200, 100, 50))
    assert near(at(decode(made.heic(colour, icc_profile=made.rgb_profile(made.DISPLAY_P3))), 30, 20), (215, 93, 31))
    assert near(at(decode(made.heic(Image.new("RGBA", (64, 48), (200, 30, 40, 0)))), 30, 20), WHITE)


@pytest.mark.parametrize("part", [0.2, 0.6, 0.95])
def test_a_cut_heic_is_refused_in_one_line(part: float) -> None:
    data = made.heic(made.half())
    with pytest.raises(ImageError, match="damaged or cut short") as caught:
        decode(data[: int(part * len(data))])
    assert "\n" not in str(caught.value)


def test_reading_heic_changes_nothing_for_others(monkeypatch: pytest.MonkeyPatch) -> None:
    known = dict(Image.OPEN)
    decode(made.heic(made.half()))
    assert known == Image.OPEN
    monkeypatch.setitem(sys.modules, "pi_heif", None)
    with pytest.raises(ImageError, match=r"HEIC.*pip install pi-heif"):
        decode(made.heic(made.half()))


# --- colour profiles --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF"])
def test_a_phone_s_colours_become_srgb(kind: str) -> None:
    options = {"lossless": True} if kind == "WEBP" else {"quality": 98} if kind in ("JPEG", "AVIF") else {}
    data = made.saved(
        Image.new("RGB", (48, 48), (200, 100, 50)), kind, icc_profile=made.rgb_profile(made.DISPLAY_P3), **options
    )
    assert near(at(decode(data), 20, 20), (215, 93, 31))


def test_the_colours_of_cameras_greys_palettes_and_inks_become_srgb() -> None:
    adobe, p3 = made.rgb_profile(made.ADOBE_RGB, 2.19921875), made.rgb_profile(made.DISPLAY_P3)
    size = (24, 24)
    assert at(decode(made.saved(Image.new("RGB", size, (200, 100, 50)), "PNG", icc_profile=adobe)), 9, 9) == (
        227,
        100,
        42,
    )
    grey = made.grey_profile(1.8)
    assert at(decode(made.saved(Image.new("L", size, 64), "PNG", icc_profile=grey)), 9, 9) == (81, 81, 81)
    deep = Image.fromarray(np.full(size, 64 * 257, np.uint16))
    assert at(decode(made.saved(deep, "PNG", icc_profile=grey)), 9, 9) == (81, 81, 81)
    palette = Image.new("RGB", size, (200, 100, 50)).quantize(4)
    assert at(decode(made.saved(palette, "PNG", icc_profile=p3)), 9, 9) == (215, 93, 31)
    cyan = Image.new("CMYK", size, (255, 0, 0, 0))
    assert near(at(decode(made.saved(cyan, "JPEG", quality=95, icc_profile=made.ink_profile())), 9, 9), (196, 196, 196))
    assert near(at(decode(made.saved(cyan, "JPEG", quality=95)), 9, 9), (0, 255, 255), 5)


def test_transparency_stays_where_colours_are_converted() -> None:
    picture = Image.new("RGBA", (24, 24), (200, 100, 50, 255))
    picture.paste((200, 100, 50, 0), (12, 0, 24, 24))
    found = decode(made.saved(picture, "PNG", icc_profile=made.rgb_profile(made.DISPLAY_P3)))
    assert at(found, 3, 3) == (215, 93, 31)
    assert at(found, 20, 3) == WHITE


@pytest.mark.parametrize(
    "profile",
    [
        made.srgb_profile(),
        made.rgb_profile(made.SRGB),  # as others write it: no colour moves by more than rounding
        b"no profile",
        made.grey_profile(1.8),
        made.ink_profile(),
        made.rgb_profile(made.DISPLAY_P3) + bytes(5_000_000),
    ],
)
def test_a_profile_that_says_nothing_changes_no_bit(profile: bytes) -> None:
    picture = made.texture()
    plain, noted = made.saved(picture, "JPEG"), made.saved(picture, "JPEG", icc_profile=profile)
    assert np.array_equal(np.asarray(decode(noted)), np.asarray(decode(plain)))


def test_threads_share_a_profile() -> None:
    data = [
        made.saved(made.texture(seed=seed), "PNG", icc_profile=made.rgb_profile(made.DISPLAY_P3)) for seed in range(4)
    ]
    alone = [np.asarray(decode(each)) for each in data]
    with ThreadPoolExecutor(4) as pool:
        for found, expected in zip(pool.map(decode, data * 5), alone * 5, strict=True):
            assert np.array_equal(np.asarray(found), expected)


# --- what is not pixels -----------------------------------------------------------------------------------------------


def test_a_png_with_much_text_is_read() -> None:
    text = PngImagePlugin.PngInfo()
    text.add_text("story", "once " * 500_000, zip=True)
    text.add_itxt("more", "and " * 500_000, zip=True)
    assert np.array_equal(
        np.asarray(decode(made.saved(made.texture(), "PNG", pnginfo=text))), np.asarray(made.texture())
    )


def test_a_png_s_large_profile_is_used() -> None:
    large = made.rgb_profile(made.DISPLAY_P3) + bytes(1_500_000)
    large = struct.pack(">I", len(large)) + large[4:]
    colour = Image.new("RGB", (24, 24), (200, 100, 50))
    assert at(decode(made.png_with(colour, made.png_profile(large))), 9, 9) == (215, 93, 31)
    bomb = made.png_chunk(b"iCCP", b"made\0\0" + b"not zlib")
    assert at(decode(made.png_with(colour, made.png_profile(bytes(50_000_000)), bomb)), 9, 9) == (200, 100, 50)


@pytest.mark.parametrize("name", [b"pHYs", b"tEXt", b"gAMA", b"iCCP", b"eXIf", b"tIME", b"prIv"])
def test_a_wrong_checksum_beside_the_pixels_costs_nothing(name: bytes) -> None:
    data = made.png_with(made.texture(), made.png_chunk(name, bytes(9), crc=1))
    assert np.array_equal(np.asarray(decode(data)), np.asarray(made.texture()))


def test_a_wrong_checksum_of_the_pixels_is_told() -> None:
    data = bytearray(made.saved(made.texture(), "PNG"))
    place = data.index(b"IDAT")
    data[place + 40] ^= 255
    with pytest.raises(ImageError, match="damaged or cut short"):
        decode(bytes(data))


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("lost", [1, 2, 3, 20, 300])
def test_a_jpeg_without_its_last_bytes_is_read(mode: str, progressive: bool, lost: int) -> None:
    data = made.saved(made.texture((600, 800)).convert(mode), "JPEG", quality=85, progressive=progressive)
    whole, cut = decode(data), decode(data[:-lost])
    assert cut.size == whole.size
    upper = (slice(0, 720),)  # of 800: what is missing is below
    difference = np.abs(np.asarray(cut, np.int16)[upper] - np.asarray(whole, np.int16)[upper])
    assert difference.max() <= (12 if progressive else 0)
    assert np.abs(np.asarray(cut, np.int16) - np.asarray(whole, np.int16)).mean() < 3


def test_what_a_cut_jpeg_lacks_is_drawn_on_from_its_last_row() -> None:
    # All white but a red middle: grey, which a decoder paints, would be a third colour.
    picture = Image.new("RGB", (320, 640), "white")
    picture.paste(made.RED, (100, 0, 220, 640))
    noisy = np.asarray(picture).copy()
    noisy[:, 100:220, 0] -= np.random.default_rng(1).integers(0, 60, (640, 120), np.uint8)
    data = made.saved(Image.fromarray(noisy), "JPEG", quality=90)
    found = decode(data[: int(0.95 * len(data))])
    assert found.size == (320, 640)
    assert near(at(found, 20, 630), WHITE)
    assert at(found, 160, 630)[0] > 120
    assert at(found, 160, 630)[1] < 80


def test_a_grey_jpeg_is_not_taken_for_a_cut_one() -> None:
    # The decoder paints this very grey where nothing is.
    data = made.saved(Image.new("RGB", (200, 300), (128, 128, 128)), "JPEG")
    assert near(at(decode(data[:-2]), 100, 290), (128, 128, 128), 0)


@pytest.mark.parametrize(
    ("progressive", "words"), [(False, r"5\d% of it is there; 90% are needed"), (True, "coarse parts")]
)
def test_a_jpeg_that_lacks_more_is_refused(progressive: bool, words: str) -> None:
    data = made.saved(made.texture((600, 800)), "JPEG", quality=90, progressive=progressive)
    share = 0.25 if progressive else 0.55
    with pytest.raises(ImageError, match=f"cut short.*{words}.*Export or download it again"):
        decode(data[: int(share * len(data))])


def test_the_second_picture_of_a_two_picture_jpeg_may_be_cut() -> None:
    data = made.saved(made.texture(), "MPO", save_all=True, append_images=[made.texture(seed=4)])
    first = decode(made.saved(made.texture(), "JPEG"))
    assert np.array_equal(np.asarray(decode(data)), np.asarray(first))
    assert np.array_equal(np.asarray(decode(data[: int(0.7 * len(data))])), np.asarray(first))


# --- size -------------------------------------------------------------------------------------------------------------


def huge_jpeg(width: int, height: int, *, frame: int = 0xC0, scan: int = 3) -> bytes:
    """A small JPEG whose header claims to be of another size, or to be written in another way."""
    data = bytearray(made.saved(made.texture((64, 64)), "JPEG"))
    place = data.index(b"\xff\xc0")
    data[place + 1] = frame
    data[place + 5 : place + 9] = struct.pack(">HH", height, width)
    data[data.index(b"\xff\xda") + 4] = scan
    return bytes(data)


def test_a_jpeg_of_108_million_pixels_is_read() -> None:
    strip = Image.new("RGB", (12_000, 9_000), made.RED)
    found = decode(made.saved(strip, "JPEG"))
    assert found.size == (1500, 1125)  # an eighth: what is decoded is counted
    assert near(at(found, 700, 500), made.RED)


@pytest.mark.parametrize(
    ("data", "most"),
    [
        (huge_jpeg(16_000, 15_700), "250,000,000"),  # 251 million
        (huge_jpeg(60_000, 60_000), "250,000,000"),
        (
            huge_jpeg(13_000, 13_000, frame=0xC2),
            "160,000,000",
        ),  # several scans are held whole; 4:2:0 takes half as much as 4:4:4
        (huge_jpeg(13_000, 13_000, scan=1), "160,000,000"),
    ],
)
def test_a_larger_jpeg_is_refused_before_decoding(data: bytes, most: str) -> None:
    with pytest.raises(ImageError, match=f"at most {most}"):
        decode(data)


def test_a_jpeg_just_small_enough_is_tried() -> None:
    assert decode(huge_jpeg(16_000, 15_600)).size == (2000, 1950)


# --- animations -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG", "AVIF"])
def test_a_blank_first_frame_is_passed_over(kind: str) -> None:
    blank, seen, last = Image.new("RGB", (64, 48), "white"), made.half(), made.half(colour=(0, 0, 200))
    for before in (1, 3):
        data = made.saved(
            blank, kind, save_all=True, append_images=[*[blank.copy()] * (before - 1), seen, last], duration=100
        )
        assert near(at(decode(data), 10, 20), made.RED, 12), before


def test_frames_without_anything_give_the_first_one() -> None:
    frames = [Image.new("RGB", (24, 24), colour) for colour in (made.RED, (0, 200, 0), (0, 0, 200))]
    assert near(at(decode(made.saved(frames[0], "PNG", save_all=True, append_images=frames[1:])), 9, 9), made.RED)


def test_a_blank_picture_and_a_cut_animation_are_read() -> None:
    assert at(decode(made.saved(Image.new("RGB", (24, 24), made.RED), "GIF")), 9, 9) == made.RED
    data = made.saved(Image.new("RGB", (64, 48), "white"), "GIF", save_all=True, append_images=[made.texture((64, 48))])
    assert at(decode(data[: len(data) - 400]), 9, 9) == WHITE


# --- what is no picture -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"\xef\xbb\xbf\n <HTML><body>", "a web page"),
        (b"data:image/png;base64,iVBORw0KGgo=", "the text of a data: address"),
        (b"https://example.com/a.jpg", "the text of a link"),
        (b"\xff\x0a" + bytes(30), "JPEG XL"),
        (b"\0\0\0\x0cJXL \r\n\x87\n" + bytes(30), "JPEG XL"),
        (made.raw_photo(made.half()), "raw photo"),
        (b"\0\0\0\x18ftypcrx \0\0\0\1crx isom" + bytes(30), r"raw photo \(CR3\)"),
        (b"FUJIFILMCCD-RAW 0201" + bytes(30), r"raw photo \(RAF\)"),
        (b"\0\0\0\x14ftypqt  \0\0\0\0qt  " + bytes(30), "a video"),
        (b"\0\0\0\x18ftypisom\0\0\2\0isomavc1" + bytes(30), "a video"),
        (b"\x1a\x45\xdf\xa3" + bytes(30), "a video"),
        (b"8BPS\0\1" + bytes(30), "PSD"),
        (b"RIFF\x24\0\0\0WAVEfmt " + bytes(30), "sound"),
        (b"RIFF\x24\0\0\0AVI LIST" + bytes(30), "a video"),
        (b"RIFF\x24\0\0\0ACON" + bytes(30), "RIFF file that is not WebP"),
        (b"\x1f\x8b\x08" + bytes(30), "gzip"),
        (b'{"error": "not found"}', "JSON"),
        (b"Access denied.", "text that starts with 'Access denied.'"),
    ],
)
def test_what_is_no_picture_is_named(data: bytes, words: str) -> None:
    with pytest.raises(ImageError, match=f"Not a picture.*{words}"):
        decode(data)


def test_a_damaged_picture_says_which_kind_it_is() -> None:
    with pytest.raises(ImageError, match=r"damaged or cut short.*AVIF"):
        decode(made.saved(made.half(), "AVIF")[:60])


# --- nothing is said that nobody can act on ---------------------------------------------------------------------------


NOISY = [
    made.jpeg_with_exif(made.half(), b"MM\0*\xff\xff\xff\xff"),
    made.jpeg_with_exif(
        made.half(), b"II*\0\x08\0\0\0\x02\0\x12\x01\x03\0\x01\0\0\0\x01\0\0\0\x0f\x01\x02\0\xff\0\0\0\xff\xff\0\0"
    ),
    made.saved(made.half().quantize(4), "PNG", transparency=bytes((255, 0, 255))),
    made.png_with(made.half(), made.png_chunk(b"acTL", struct.pack(">II", 0, 0))),
    made.saved(made.half(), "MPO", save_all=True, append_images=[made.half()]).replace(b"MPF\0", b"MPF\0II*\0", 1),
]


@pytest.mark.parametrize("data", NOISY)
def test_pillow_s_warnings_reach_nobody(data: bytes, capfd: pytest.CaptureFixture[str]) -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        decode(data)
    assert caught == []
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert min(decode(data).size) >= 48
    assert capfd.readouterr() == ("", "")


def test_other_code_keeps_its_warnings() -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        decode(made.saved(made.half(), "PNG"))
        Image.open(io.BytesIO(huge_jpeg(12_000, 9_000)))
        warnings.warn("mine", UserWarning, stacklevel=1)
    assert [each.category for each in caught] == [Image.DecompressionBombWarning, UserWarning]
    assert Image.MAX_IMAGE_PIXELS == 89_478_485
    assert logging.getLogger("PIL").level == logging.NOTSET


def test_400_damaged_pictures_of_every_format_are_read_or_refused(capfd: pytest.CaptureFixture[str]) -> None:
    rng = np.random.default_rng(11)
    picture = made.texture((90, 120))
    profile = made.rgb_profile(made.DISPLAY_P3)
    files = [
        made.saved(picture, kind, exif=made.exif(6), icc_profile=profile) for kind in ("JPEG", "PNG", "WEBP", "AVIF")
    ]
    files += [
        made.heic(picture, orientation=6),
        made.saved(picture, "JPEG", progressive=True),
        made.saved(picture, "BMP"),
    ]
    files += [made.saved(picture, kind, save_all=True, append_images=[picture]) for kind in ("GIF", "PNG", "MPO")]
    said: list[str] = []
    for number in range(400):
        data = bytearray(files[number % len(files)])
        place = int(rng.integers(0, len(data)))
        if number % 3 == 0:
            data = data[:place]
        elif number % 3 == 1:
            data[place : place + int(rng.integers(1, 40))] = rng.bytes(int(rng.integers(1, 40)))
        else:
            data[int(rng.integers(0, min(600, len(data))))] ^= int(rng.integers(1, 256))
        try:
            found = decode(bytes(data))
        except ImageError as error:
            said.append(str(error))
        else:
            assert found.mode == "RGB"
            assert found.info == {}
    assert 50 < len(said) < 350
    assert max(map(len, said)) < 400
    assert capfd.readouterr() == ("", "")


def test_what_is_read_is_listed() -> None:
    assert images.FORMATS == ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF", "JPEG2000", "PPM", "HEIF")
