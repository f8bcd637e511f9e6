"""Images that a program holds already: PIL images of any mode, arrays, paths, bytes. Each gives the answer that its
file gives, or is refused."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import lapel
from inputs import images as made
from lapel import Query, open_encoder
from lapel.core.errors import ImageError, LapelError, QueryError
from lapel.core.images import Preprocessing, decode, to_image
from lapel.core.types import Filter
from lapel.encoders import Encoder
from lapel.encoders.segmenter import embed_images, open_segmenter
from lapel.engine.context import StoreContext, open_context
from lapel.engine.ingest import ingest
from lapel.engine.retrieval import SearchEngine
from lapel.sources import open_source
from lapel.sources.photos import photo_rows

P3 = made.rgb_profile(made.DISPLAY_P3)


def same(one: Image.Image, other: Image.Image) -> bool:
    return one.mode == other.mode == "RGB" and np.array_equal(np.asarray(one), np.asarray(other))


def odd_images() -> dict[str, tuple[Image.Image, str]]:
    """One image of each odd kind, and the format whose file holds it without loss."""
    colour = made.texture((60, 80))
    grey = colour.convert("L")
    deep = Image.fromarray(np.asarray(grey, np.uint16) * 257)
    clear = colour.copy()
    clear.putalpha(grey)
    return {
        "grey": (grey, "PNG"),
        "black and white": (grey.convert("1"), "PNG"),
        "palette": (colour.quantize(16), "PNG"),
        "RGBA": (clear, "PNG"),
        "grey with alpha": (clear.convert("LA"), "PNG"),
        "16 bits": (deep, "PNG"),
        "32 bits": (Image.fromarray(np.asarray(deep, np.int32)), "TIFF"),
        "floats": (Image.fromarray(np.asarray(grey, np.float32) / 255), "TIFF"),
        "CMYK": (colour.convert("CMYK"), "TIFF"),
    }


@pytest.mark.parametrize("name", odd_images())
def test_an_image_of_any_mode_is_what_its_file_is(name: str) -> None:
    image, kind = odd_images()[name]
    before = image.tobytes(), image.mode, dict(image.info)
    expected = decode(made.saved(image, kind))
    assert same(to_image(image), expected)
    assert (image.tobytes(), image.mode, dict(image.info)) == before
    shape = Preprocessing(40, 30)
    assert np.array_equal(shape.apply(image), shape.apply(expected))


@pytest.mark.parametrize("opened", ["unread", "loaded", "converted"])
def test_an_opened_file_is_turned_and_in_srgb(opened: str) -> None:
    for kind, options in (("JPEG", {"quality": 95}), ("PNG", {}), ("WEBP", {"lossless": True}), ("TIFF", {})):
        data = made.saved(made.half(), kind, exif=made.exif(6), icc_profile=P3, **options)
        image = Image.open(io.BytesIO(data))
        if opened == "loaded":
            image.load()
        image = image.convert("RGB") if opened == "converted" else image
        if kind == "TIFF" and opened == "converted":
            continue  # Pillow's own conversion forgets how a TIFF is turned
        assert same(to_image(image), decode(data)), kind
        assert to_image(image).size == (48, 64)
        assert same(to_image(to_image(image)), decode(data))  # not turned, nor converted, twice
        assert image.size == ((48, 64) if kind == "TIFF" else (64, 48))  # Pillow turns TIFFs itself


def test_an_opened_large_jpeg_is_decoded_as_its_file_and_can_still_be_used(tmp_path: Path) -> None:
    path = tmp_path / "large.jpg"
    path.write_bytes(made.saved(made.texture((2200, 2600)), "JPEG"))
    with Image.open(path) as image:
        assert same(to_image(image), decode(path.read_bytes()))
        assert image.size == (2200, 2600)
        assert image.getpixel((2100, 2500))
    with Image.open(path) as image:
        pass
    with pytest.raises(ImageError, match="cannot be read: its file is closed"):
        to_image(image)
    with pytest.raises(ImageError, match="2% of it is there"):
        to_image(Image.open(io.BytesIO(path.read_bytes()[:5000])))


def test_a_frame_that_was_chosen_stays_chosen() -> None:
    data = made.saved(made.half(), "GIF", save_all=True, append_images=[made.half(colour=(0, 0, 200))])
    image = Image.open(io.BytesIO(data))
    image.seek(1)
    assert to_image(image).getpixel((4, 4)) == (0, 0, 200)


def test_a_heic_opened_by_another_library_is_turned_once() -> None:
    from pi_heif import HeifImageFile

    for turned_by in ("irot", "exif"):
        data = made.heic(made.half(), orientation=6, turned_by=turned_by)
        assert same(to_image(HeifImageFile(io.BytesIO(data))), decode(data))


def test_an_upright_rgb_image_is_not_copied() -> None:
    image = made.half()
    assert to_image(image) is image


@pytest.mark.parametrize(
    ("array", "expected"),
    [
        (np.full((9, 12), 90, np.uint8), (90, 90, 90)),
        (np.full((9, 12, 1), 90, np.uint8), (90, 90, 90)),
        (np.full((9, 12, 3), (200, 30, 40), np.uint8), (200, 30, 40)),
        (np.full((9, 12, 4), (200, 30, 40, 255), np.uint8), (200, 30, 40)),
        (np.full((9, 12, 4), (200, 30, 40, 0), np.uint8), (255, 255, 255)),
        (np.full((9, 12), 32768, np.uint16), (128, 128, 128)),
        (np.full((9, 12, 3), (51400, 7710, 10280), np.uint16), (200, 30, 40)),
        (np.full((9, 12, 3), (1.0, 0.5, 0.0), np.float32), (255, 128, 0)),
        (np.full((9, 12, 3), (200.0, 30.0, 40.0)), (200, 30, 40)),
        (np.full((9, 12), True), (255, 255, 255)),
        (np.full((9, 12, 3), (200, 30, 40), np.int64), (200, 30, 40)),
        (np.full((12, 9, 3), (200, 30, 40), np.uint8).transpose(1, 0, 2), (200, 30, 40)),
    ],
)
def test_arrays_are_pictures(array: np.ndarray, expected: tuple[int, int, int]) -> None:
    before = array.copy()
    image = to_image(array)
    assert image.size == (12, 9)
    assert image.getpixel((5, 5)) == expected
    assert np.array_equal(array, before)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (np.zeros((3, 9, 12), np.uint8), r"\(height, width, 3\).*found an array of shape \(3, 9, 12\)"),
        (np.zeros((2, 9, 12, 3), np.uint8), r"shape \(2, 9, 12, 3\)"),
        (np.zeros((9, 12, 2), np.uint8), r"shape \(9, 12, 2\)"),
        (np.zeros((0, 12, 3), np.uint8), r"shape \(0, 12, 3\)"),
        (np.zeros(9, np.uint8), r"shape \(9,\)"),
        (np.full((9, 12), np.nan), "from nan to nan"),
        (np.full((9, 12), -1.5), "from -1.5 to -1.5"),
        (np.full((9, 12), 300), "from 300 to 300"),
        (np.full((9, 12), "a"), "an array of <U1"),
        (np.full((9, 12), 1j), "an array of complex128"),
        (Image.new("RGB", (0, 5)), "0 x 5 pixels has nothing to see"),
        (7, "a path.*found int"),
        (None, "found NoneType"),
        ([made.half()], "found list"),
    ],
)
def test_what_is_no_picture_is_told_what_is_wanted(value: object, words: str) -> None:
    with pytest.raises(ImageError, match=words):
        to_image(value)


# --- files ------------------------------------------------------------------------------------------------------------


def test_read_image_takes_paths_bytes_and_opened_files(tmp_path: Path) -> None:
    data = made.heic(made.half(), orientation=6)
    path = tmp_path / "photo.heic"
    path.write_bytes(data)
    with path.open("rb") as file:
        found = [lapel.read_image(each) for each in (path, str(path), data, bytearray(data), memoryview(data), file)]
    assert all(same(each, decode(data)) for each in found)
    assert found[0].size == (48, 64)


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("nowhere.jpg", "'nowhere.jpg' cannot be read: No such file"),
        ("x" * 300, "cannot be read: File name too long"),
        ("a\0b.jpg", "cannot be read: embedded null byte"),
        (".", "it is a folder"),
        ("https://example.com/a.jpg", "is an address, not a path. Download"),
        ("s3://bucket/a.jpg", "is an address"),
        ("data:image/png;base64,iVBO", "is an address"),
        (io.StringIO("text"), "opened for bytes"),
        (7, "found int"),
        (b"", "0 bytes"),
        (b"{}", "JSON"),
    ],
)
def test_what_read_image_cannot_read_is_told(source: object, words: str) -> None:
    with pytest.raises(ImageError, match=words):
        lapel.read_image(source)  # type: ignore[arg-type]


def test_a_file_is_not_read_beyond_the_largest_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    class Endless(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            assert size == 2**20 + 1
            return bytes(size)

    monkeypatch.setattr("lapel.core.images.MAX_BYTES", 2**20)
    with pytest.raises(ImageError, match="more than 1 MB"):
        lapel.read_image(Endless())


# --- encoders ---------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module", params=["colour:", "small"])
def encoder(request: pytest.FixtureRequest) -> Encoder:
    return open_encoder(request.param)


def test_encode_takes_every_kind_of_picture_and_of_list(encoder: Encoder, tmp_path: Path) -> None:
    data = made.saved(made.half(), "PNG", exif=made.exif(6))
    path = tmp_path / "half.png"
    path.write_bytes(data)
    upright = decode(data)
    expected = encoder.encode([upright])
    for picture in (Image.open(path), np.asarray(upright), data, path, str(path)):
        assert np.array_equal(encoder.encode([picture]), expected)
    twice = np.concatenate([expected, expected])
    for pictures in (
        (upright, path),
        (each for each in (data, path)),
        np.stack([np.asarray(upright)] * 2),
        {1: data, 2: path}.values(),
    ):
        assert np.allclose(encoder.encode(pictures), twice, atol=1e-6)
    assert encoder.encode(iter(())).shape == (0, encoder.dim)
    odd = [image for image, _ in odd_images().values()]
    assert np.allclose(np.linalg.norm(encoder.encode(odd), axis=1), 1, atol=1e-5)


def test_a_long_generator_is_never_held_whole() -> None:
    alive = 0

    class Counted(Image.Image):
        """An image that says when it is let go of."""

        def __init__(self) -> None:
            nonlocal alive
            super().__init__()
            alive += 1
            most.append(alive)

        def __del__(self) -> None:
            nonlocal alive
            alive -= 1

    def pictures() -> Iterator[Image.Image]:
        for _ in range(200):
            image = Counted()
            image.im, image._mode, image._size = made.half().im, "RGB", (64, 48)  # type: ignore[attr-defined]
            yield image

    most: list[int] = []
    batches = Preprocessing(8, 8).batches(pictures(), 32)
    assert [len(batch) for batch in batches] == [32] * 6 + [8]
    assert max(most) <= 2 * 32 + 2


@pytest.mark.parametrize(
    ("pictures", "words"),
    [
        (made.half(), r"Several pictures are wanted, such as a list; found PIL.Image.Image.*\[picture\] for one"),
        (np.zeros((9, 12, 3), np.uint8), r"found numpy.ndarray of shape \(9, 12, 3\)"),
        ("photo.jpg", "found str"),
        (Path("photo.jpg"), "found pathlib"),
        (b"bytes", "found bytes"),
        (7, "found int"),
        (None, "found NoneType"),
        ([None], "A picture is a PIL image.*found NoneType"),
        ([np.zeros((3, 9, 12))], "found an array of shape"),
    ],
)
def test_encode_says_what_it_wants(encoder: Encoder, pictures: object, words: str) -> None:
    with pytest.raises(LapelError, match=words):
        encoder.encode(pictures)  # type: ignore[arg-type]


def test_the_product_s_finder_takes_every_kind_of_picture() -> None:
    colour, shape = open_encoder("colour:"), Preprocessing(64, 64)
    white = np.full((40, 40, 3), 255, np.uint8)  # on a white background: no network is asked
    assert open_segmenter().segment([white, made.saved(Image.fromarray(white), "PNG")], shape=shape) == [None, None]
    assert embed_images(colour, (each for each in [white])).vectors.shape == (1, 128)
    with pytest.raises(ImageError, match="Several pictures are wanted"):
        open_segmenter().segment(made.half(), shape=shape)  # type: ignore[arg-type]


# --- queries ----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StoreContext]:
    """Eight products; one photo of each lies on its side."""
    folder = tmp_path_factory.mktemp("shop")
    (folder / "pictures").mkdir()
    for number in range(8):
        data = made.saved(made.texture(seed=number), "JPEG", exif=made.exif(6), icc_profile=P3, quality=95)
        (folder / "pictures" / f"{number}.jpg").write_bytes(data)
    with open_context(folder / "shop", create=True, encoder="colour:") as store:
        source = open_source(str(folder / "pictures"))
        ingest(store, photo_rows(source), source=source)
        yield store


def test_a_query_s_picture_gives_the_answer_of_its_file(shop: StoreContext) -> None:
    engine = SearchEngine(shop)
    path = shop.folder.parent / "pictures" / "5.jpg"
    expected = engine.search(Query(image=decode(path.read_bytes()), segment=False, k=8))
    assert (expected[0].product.id, round(expected[0].score, 5)) == ("5", 1.0)
    array = np.asarray(decode(path.read_bytes()))
    for picture in (
        Image.open(path),
        path,
        str(path),
        path.read_bytes(),
        array,
        array / 255,
        array.astype(np.uint16) * 257,
    ):
        assert engine.search(Query(image=picture, segment=False, k=8)) == expected
    assert engine.embed(Query(image=np.full((40, 40, 3), 255, np.uint8))).parts[0].segmented is None
    for image, kind in odd_images().values():
        assert engine.search(Query(image=image)) == engine.search(Query(image=made.saved(image, kind)))


def test_a_phone_s_photos_go_all_the_way(tmp_path: Path) -> None:
    """HEIC, on its side and in Display P3: added, shown, kept small, found again, and read for training."""
    from lapel.training.data import prepare

    folder = tmp_path / "phone"
    folder.mkdir()
    for number in range(3):
        data = made.heic(made.texture((120, 90), seed=number), orientation=6, icc_profile=P3)
        (folder / f"IMG_{number}.HEIC").write_bytes(data)
    source = open_source(str(folder))
    with open_context(tmp_path / "shop", create=True, encoder="colour:") as store:
        report = ingest(store, photo_rows(source), source=source, small=store.thumbnails)
        assert (report.photos_added, report.photos_rejected) == (3, 0)
        photo = store.catalog.photos("IMG_1")[0]
        assert store.image(photo.key).size == (90, 120)
        small = store.thumbnails.get([photo.sha256], 160)[photo.sha256]
        assert decode(small).size == (90, 120)
        hit = SearchEngine(store).search(Query(image=folder / "IMG_1.HEIC", segment=False, k=1))[0]
        assert (hit.product.id, round(hit.score, 5)) == ("IMG_1", 1.0)
    shape = Preprocessing(40, 30)
    pictures, rejected = prepare(
        [photo.uri], source.read, preprocessing=shape, folder=tmp_path / "pixels", progress=lambda done, total: None
    )
    assert rejected == []
    assert np.array_equal(pictures.read(np.array([0]))[0][0, :, :, :3], shape.apply(folder / "IMG_1.HEIC"))


def test_k_may_be_numpy_s(shop: StoreContext) -> None:
    query = Query(product_id="5", k=np.int64(3))  # type: ignore[arg-type]
    assert type(query.k) is int
    assert len(SearchEngine(shop).search(query)) == 3
    exclude = ["1", "2"]
    assert Query(product_id="5", exclude=exclude).exclude == frozenset(exclude)  # type: ignore[arg-type]


UNIT = np.eye(128, dtype=np.float32)[0]


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"k": 3.0}, r"k is how many products to find, a whole number from 1 to 10,000; found float 3.0"),
        ({"k": True}, "found bool True"),
        ({"k": np.bool_(True)}, "a whole number"),
        ({"k": "3"}, "found str '3'"),
        ({"k": None}, "found NoneType"),
        ({"k": 10_001}, "1 to 10,000; found 10001"),
        ({"product_id": 7}, "A product's id is a text, such as '1163'; found int 7"),
        ({"where": ["price<2"]}, r"Filter.parse\(\['price<200'\]\); found list"),
        ({"exclude": [5]}, "a set of products' ids"),
        ({"exclude": 5}, "a set of products' ids"),
        (
            {"product_id": None, "image": 7},
            "A query's image is a PIL image, an array, a path or a file's bytes; found int 7",
        ),
        ({"product_id": None, "image": [made.half()]}, "found list"),
        ({"product_id": None, "vector": "near"}, "A query's vector is one row of floats of length 1.*found str of <U4"),
        ({"product_id": None, "vector": np.ones(128, np.int64)}, "of int64 and shape"),
        ({"product_id": None, "vector": np.eye(2, dtype=np.float32)}, r"shape \(2, 2\)"),
        ({"product_id": None, "vector": np.zeros((1, 1, 128), np.float32)}, r"shape \(1, 1, 128\)"),
        ({"product_id": None, "vector": np.float32(1)}, r"shape \(\)"),
        ({"product_id": None, "vector": []}, r"shape \(0,\)"),
        ({"product_id": None, "vector": [[0.1], [0.2, 0.3]]}, "one row of floats"),
        ({"product_id": None, "vector": UNIT[:5]}, r"\(n, 128\) are needed"),
        ({"product_id": None, "vector": UNIT * 2}, "Unit vectors are needed"),
    ],
)
def test_a_query_says_what_it_wants(shop: StoreContext, asked: dict[str, object], words: str) -> None:
    with pytest.raises(LapelError, match=words) as caught:
        SearchEngine(shop).search(Query(**{"product_id": "5", **asked}))  # type: ignore[arg-type]
    if "Unit" not in words and "needed" not in words:
        assert isinstance(caught.value, QueryError)


def test_a_query_s_vector_may_be_a_row_a_list_or_of_doubles(shop: StoreContext) -> None:
    engine = SearchEngine(shop)
    unit = engine.vector(Query(product_id="5"))[0]
    expected = [hit.product.id for hit in engine.search(Query(vector=unit))]
    for vector in (unit[None], unit.astype(np.float64), unit.tolist()):
        assert [hit.product.id for hit in engine.search(Query(vector=vector))] == expected  # type: ignore[arg-type]
    assert Query(vector=unit).vector.dtype == np.float32  # type: ignore[union-attr]
    assert Query(vector=unit, where=Filter()).k == 10


def test_an_opened_animation_passes_over_its_blank_frame_as_its_file_does() -> None:
    blank, drawn = Image.new("RGB", (40, 48), "white"), made.texture((40, 48))
    for kind in ("GIF", "WEBP"):
        stream = io.BytesIO()
        blank.save(stream, kind, save_all=True, append_images=[drawn, drawn], lossless=True)
        assert same(to_image(Image.open(io.BytesIO(stream.getvalue()))), decode(stream.getvalue())), kind
        assert decode(stream.getvalue()).getcolors(1) is None


def test_names_and_filters_may_be_paths_and_single_texts() -> None:
    with pytest.raises(LapelError, match="There is no model folder 'nope'"):
        open_encoder(Path("nope"))  # type: ignore[arg-type]
    assert Filter.parse("price<200 EUR") == Filter.parse(["price<200 EUR"])
    with pytest.raises(QueryError, match="found None"):
        Filter.parse(None)  # type: ignore[arg-type]


def test_one_excluded_id_may_be_a_text():
    assert Query(product_id="7", exclude="5").exclude == frozenset({"5"})
