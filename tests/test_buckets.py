"""Buckets through fsspec: S3 against moto's server, Google's and Azure's against servers of ours, all on this
machine."""

from __future__ import annotations

import sys
from base64 import b64encode
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import boto3
import fsspec
import pytest
from moto.server import ThreadedMotoServer
from PIL import Image
from typer.testing import CliRunner

from lapel import sources
from lapel.apps.cli import app
from lapel.core.errors import MissingDependencyError, SourceError
from lapel.sources import ImageSource, Links, display_links, open_source, read_uri
from lapel.sources.bucket import S3Source
from lapel.testing.source import PHOTOS, SourceContract
from loopback.clouds import AzureCloud, Cloud, GoogleCloud

NAMES = ("Shirts/a.jpg", "Shirts/b 90%#.png", "Shoes/数.webp")


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def bucket(endpoint: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "someone")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    client = boto3.client("s3")
    client.create_bucket(Bucket="shop")
    for name in (*NAMES, "Shirts/notes.txt", ".hidden/c.jpg"):
        client.put_object(Bucket="shop", Key=f"pictures/{name}", Body=name.encode())
    yield client
    for found in client.list_objects_v2(Bucket="shop").get("Contents", ()):
        client.delete_object(Bucket="shop", Key=found["Key"])
    client.delete_bucket(Bucket="shop")
    client.close()
    sources.close_archives()


class Bucket(SourceContract):
    """A folder of a bucket that these tests fill."""

    scheme = "s3"

    def put(self, files: Mapping[str, bytes]) -> None:
        raise NotImplementedError

    def open(self, files: Mapping[str, bytes]) -> ImageSource:
        self.put({f"pictures/{name}": data for name, data in files.items()})
        return open_source(f"{self.scheme}://shop/pictures/")

    def test_it_is_read_again_by_its_addresses(self) -> None:
        with closing(self.open(PHOTOS)) as source:
            uris = list(source.walk())
            assert uris == sorted(uris, key=source.path)
            assert [read_uri(uri) for uri in uris] == list(map(source.read, uris))
            assert [source.version_token(uri) for uri in uris] == [
                single.version_token(uri) for single in [open_source(f"{self.scheme}://")] for uri in uris
            ]
            for name in ("secret.jpg", f"{self.scheme}://shop/secret.jpg", f"{self.scheme}://other/a.jpg"):
                with pytest.raises(SourceError, match="There is no file"):
                    source.find(name)


class TestS3Contract(Bucket):
    @pytest.fixture(autouse=True)
    def client(self, bucket: Any) -> None:
        self.bucket = bucket

    def put(self, files: Mapping[str, bytes]) -> None:
        for found in self.bucket.list_objects_v2(Bucket="shop").get("Contents", ()):
            self.bucket.delete_object(Bucket="shop", Key=found["Key"])
        for name, data in {"secret.jpg": b"-", **files}.items():
            self.bucket.put_object(Bucket="shop", Key=name, Body=data)


def test_objects_without_an_ending_are_known_by_their_bytes(bucket: Any) -> None:
    for name, data in {"photo": b"\xff\xd8\xff" + bytes(100), "words": b"words", "empty": b"", "folder/": b""}.items():
        bucket.put_object(Bucket="shop", Key=f"bare/{name}", Body=data)
    source = S3Source("//shop/bare")
    assert ["/".join(source.path(uri)) for uri in source.walk()] == ["photo"]
    assert source.skipped == {"files without an ending": 2}


def test_display_links_follow_a_pattern(bucket: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    source = S3Source("//shop/pictures")
    uri = source.find("Shirts/b 90%#.png")
    assert display_links(source, uri) == Links()
    monkeypatch.setenv("LAPEL_BUCKET_LINK", "https://cdn.example/{bucket}/{key}")
    source = S3Source("//shop/pictures")
    assert display_links(source, uri).full == "https://cdn.example/shop/pictures/Shirts/b%2090%25%23.png"


def test_what_cannot_be_read_says_so(bucket: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for where in ("s3://nobody/pictures", "s3://shop/nothing"):
        with pytest.raises(SourceError, match=r"[Tt]here is no"):
            open_source(where).count()
    source = S3Source("//shop/pictures")
    uri = source.find("Shirts/a.jpg")
    bucket.delete_object(Bucket="shop", Key="pictures/Shirts/a.jpg")
    with pytest.raises(SourceError, match=r"There is no s3://shop/pictures/Shirts/a\.jpg"):
        source.read(uri)
    monkeypatch.setattr("lapel.sources.bucket.MAX_BYTES", 5)
    with pytest.raises(SourceError, match="Scale it down"):
        source.read(source.find_id("b 90%#"))


def test_a_missing_library_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "gcsfs", None)
    with pytest.raises(MissingDependencyError, match=r"pip install 'lapel\[gs\]'"):
        open_source("gs://shop")


def test_a_shop_in_a_bucket(bucket: Any, tmp_path: Path) -> None:
    for number in range(3):
        path = tmp_path / f"{number}.png"
        Image.new("RGB", (40, 50), (90 * number, 100, 50)).save(path)
        bucket.put_object(Bucket="shop", Key=f"real/Bags/{number}.png", Body=path.read_bytes())
    words = ["add", "s3://shop/real", "--store", str(tmp_path / "store"), "--encoder", "colour:"]
    said = CliRunner().invoke(app, words)
    assert said.exit_code == 0, said.output
    assert "3 products added" in said.output
    assert "3 pictures fetched" in said.output
    assert "3 unchanged" in CliRunner().invoke(app, words[:4]).output


@pytest.fixture(params=["gs", "az"])
def cloud(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[str, Cloud]]:
    """The scheme, and the server behind it, asked through each cloud's own library."""
    with (GoogleCloud if request.param == "gs" else AzureCloud)() as served:
        served.objects = {f"pictures/{name}": name.encode() for name in (*NAMES, "Shirts/notes.txt", ".hidden/c.jpg")}
        account = f"AccountName=someone;AccountKey={b64encode(b'secret').decode()};BlobEndpoint={served.root}someone;"
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", served.root.rstrip("/"))
        monkeypatch.setenv("AZURE_STORAGE_CONNECTION_STRING", f"DefaultEndpointsProtocol=http;{account}")
        monkeypatch.setenv("LAPEL_CACHE", str(tmp_path / "cache"))
        fsspec.get_filesystem_class(request.param).clear_instance_cache()  # the last server's
        yield request.param, served
        sources.close_archives()


class TestOtherCloudsContract(Bucket):
    @pytest.fixture(autouse=True)
    def served(self, cloud: tuple[str, Cloud]) -> None:
        self.scheme, self.server = cloud

    def put(self, files: Mapping[str, bytes]) -> None:
        self.server.objects = {"secret.jpg": b"-", **files}


def test_other_clouds_objects_without_an_ending(cloud: tuple[str, Cloud]) -> None:
    scheme, served = cloud
    served.objects |= {"bare/photo": b"\xff\xd8\xff" + bytes(100), "bare/words": b"words"}
    source = open_source(f"{scheme}://shop/bare")
    assert ["/".join(source.path(uri)) for uri in source.walk()] == ["photo"]
    source.close()


def test_what_other_clouds_cannot_read_says_so(cloud: tuple[str, Cloud]) -> None:
    scheme, served = cloud
    for where in (f"{scheme}://nobody/pictures", f"{scheme}://shop/nothing"):
        with pytest.raises(SourceError, match=r"[Tt]here is no"):
            open_source(where).count()
    source = open_source(f"{scheme}://shop/pictures")
    uri = source.find("Shirts/a.jpg")
    del served.objects["pictures/Shirts/a.jpg"]
    with pytest.raises(SourceError, match=rf"There is no {scheme}://shop/pictures/Shirts/a\.jpg"):
        source.read(uri)
    source.close()


def test_a_shop_in_another_cloud(cloud: tuple[str, Cloud], tmp_path: Path) -> None:
    scheme, served = cloud
    for number in range(3):
        path = tmp_path / f"{number}.png"
        Image.new("RGB", (40, 50), (90 * number, 100, 50)).save(path)
        served.objects[f"real/Bags/{number}.png"] = path.read_bytes()
    words = ["add", f"{scheme}://shop/real", "--store", str(tmp_path / "store"), "--encoder", "colour:"]
    said = CliRunner().invoke(app, words)
    assert said.exit_code == 0, said.output
    assert "3 products added" in said.output
    assert "3 pictures fetched" in said.output
    assert "3 unchanged" in CliRunner().invoke(app, words[:4]).output
