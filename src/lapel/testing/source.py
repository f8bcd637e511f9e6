# ruff: noqa: D102
"""What every source must do, as tests that any backend inherits: :class:`SourceContract`.

A package that brings a source subclasses it in its own tests and says how one is opened that holds given files; pytest
finds the inherited tests by the subclass's name::

    from lapel.testing import SourceContract

    class TestMine(SourceContract):
        def open(self, files):
            return MySource(place_with(files))

``lapel.sources`` is the entry-point group that makes ``open_source("mine:...")`` find it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor

import pytest

from lapel.core.errors import SourceError
from lapel.sources import ImageSource, display_links

PHOTOS: dict[str, bytes] = {
    "Shirts/a.jpg": b"a shirt",
    "Shirts/b 90%#?.png": b"another shirt",
    "Shoes/low/数珠.webp": b"shoes",
    "ünï.JPEG": b"umlaut",
}
OTHERS: dict[str, bytes] = {"README.txt": b"read me", ".hidden.jpg": b"no", ".git/d.jpg": b"no", "Thumbs.db": b"no"}


class SourceContract:
    """Subclass it, give ``open``, and every test below runs against your source."""

    walks = True  # set to False for a source that only reads what a table names, such as links

    def open(self, files: Mapping[str, bytes]) -> ImageSource:
        """A source of exactly these files, by name; a second call is for the same place with other files in it."""
        raise NotImplementedError

    def name(self, path: str) -> str:
        """What a table writes for a file."""
        return path

    @pytest.fixture
    def source(self) -> Iterator[ImageSource]:
        """One with photos and other files; closed twice, which is fine."""
        source = self.open(PHOTOS | OTHERS)
        yield source
        source.close()
        source.close()

    def found(self, source: ImageSource) -> dict[str, str]:
        """The URIs of the photos by path."""
        return {path: source.find(self.name(path)) for path in PHOTOS}

    def test_a_walk_gives_the_photos_in_one_order(self, source: ImageSource) -> None:
        uris = list(source.walk())
        assert uris == list(source.walk())
        assert source.count() == len(uris) == len(set(uris))
        assert {"/".join(source.path(uri)) for uri in uris} == (set(PHOTOS) if self.walks else set())
        assert all(map(source.lists, uris))
        assert not source.lists("nothing://of/this/source.jpg")

    def test_what_a_walk_leaves_out_is_counted(self, source: ImageSource) -> None:
        list(source.walk())
        assert source.ignored == sum(source.skipped.values()) == (len(OTHERS) if self.walks else 0)
        assert source.unreadable == {}

    def test_a_photo_is_found_by_its_name_and_by_its_uri(self, source: ImageSource) -> None:
        for path, uri in self.found(source).items():
            assert uri.isascii()
            assert not set(uri) & set(" \n\t")
            assert source.find(uri) == uri
            assert source.path(uri)[-1] == path.rpartition("/")[2]
        if self.walks:
            assert set(self.found(source).values()) == set(source.walk())
            assert source.find("Shirts\\a.jpg") == source.find("shirts/A.JPG") == source.find("Shirts/a.jpg")
            assert source.renamed >= 1

    def test_a_name_that_is_not_there_says_so(self, source: ImageSource) -> None:
        for name in ("none.jpg", "Shirts/none.jpg", "../secret.jpg", ""):
            with pytest.raises(SourceError) as error:
                source.find(name)
            assert error.value.to_json() == {"code": SourceError.code, "message": str(error.value)}

    def test_a_photo_is_found_by_its_products_id(self, source: ImageSource) -> None:
        if self.walks:
            assert source.find_id("a") == source.find("Shirts/a.jpg")
            assert source.find_id("ünï") == source.find("ünï.JPEG")
        with pytest.raises(SourceError, match=r"'zzz'.* column"):
            source.find_id("zzz")

    def test_two_photos_of_one_id_are_not_guessed(self) -> None:
        source = self.open({"x/1.png": b"x", "y/1.png": b"y"})
        with pytest.raises(SourceError, match=r"'1'.* column 'pictures'|2 files"):
            source.find_id("1")
        source.close()

    def test_bytes_come_as_they_are_to_all_threads(self, source: ImageSource) -> None:
        found = self.found(source)
        uris = list(found.values())
        source.expect(map(self.name, PHOTOS))  # hints, which change nothing
        source.prefetch(uris)
        with ThreadPoolExecutor(8) as pool:
            assert list(pool.map(source.read, uris * 5)) == list(PHOTOS.values()) * 5

    def test_version_tokens_change_with_the_bytes_only(self) -> None:
        before: dict[str, str] = {}
        for data in (b"a shirt", b"a skirt"):
            source = self.open(PHOTOS | {"Shirts/a.jpg": data})
            tokens = {path: source.version_token(uri) for path, uri in self.found(source).items()}
            assert tokens == {path: source.version_token(uri) for path, uri in self.found(source).items()}
            assert source.read(self.found(source)["Shirts/a.jpg"]) == data
            source.close()
            if before:
                assert {path for path in PHOTOS if tokens[path] != before[path]} == {"Shirts/a.jpg"}
            before = tokens

    def test_what_is_no_longer_there_says_so(self) -> None:
        source = self.open(PHOTOS)
        uri = self.found(source)["Shirts/a.jpg"]
        source.close()
        source = self.open({path: data for path, data in PHOTOS.items() if path != "Shirts/a.jpg"})
        for ask in (source.read, source.version_token):
            with pytest.raises(SourceError, match=r"\w+ \w+ \w+"):
                ask(uri)
        source.close()

    def test_links_are_none_or_can_stand_in_a_page(self, source: ImageSource) -> None:
        for uri in self.found(source).values():
            links = display_links(source, uri)  # Links checks what it is given
            assert not links.full or links.full.startswith("http")
