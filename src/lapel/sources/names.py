"""File names, the same for folders, ZIPs, buckets and Drive: which are photos, which are left out and why, and which
one a table means.

A walk takes :data:`EXTENSIONS`, and files without an ending that begin like a photo. :class:`NameIndex` finds a photo
though a table writes its name otherwise, and only where exactly one can be meant.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from fnmatch import translate
from urllib.parse import unquote

from lapel.core.errors import InputError, SourceError
from lapel.core.formats import AVIF, HEIC
from lapel.core.text import fold, shortened

# Endings of files that are walked, and that the page offers to upload. A table may name others; then the content
# decides.
EXTENSIONS = frozenset(
    (".jpg .jpeg .jpe .jfif .mpo .png .webp .avif .gif .bmp .tif .tiff .jp2 .j2k .ppm .pgm .heic .heif .hif").split()
)
# Endings of one format: a table may write either.
SAME_FORMAT = {".jpeg": ".jpg", ".jpe": ".jpg", ".jfif": ".jpg", ".tiff": ".tif", ".heif": ".heic", ".hif": ".heic"}

HIDDEN = "hidden and system files"  # kinds that are told from names, or said by more than one source
EXCLUDED = "left out by --exclude"
UNREADABLE = "folders that cannot be read"
NO_ENDING = "files without an ending"
OTHER = "other files"
KINDS = {
    ending: kind
    for kind, endings in {
        "videos": ".mov .mp4 .m4v .avi .3gp .mkv .webm .mts .wmv",
        "edits of phone photos": ".aae .xmp",
        "camera raw photos": ".dng .cr2 .cr3 .nef .nrw .arw .orf .rw2 .raf .pef .srw .raw",
        "JPEG XL pictures": ".jxl",
        "archives": ".zip .rar .7z .tar .gz .tgz .bz2 .xz",
        "tables": ".csv .tsv .xlsx .xlsm .xls .ods .jsonl .ndjson .json .xml .rss .atom",
        "drawings and documents": ".svg .pdf .psd .ai .eps .indd .doc .docx .odt .txt .md .html .htm",
    }.items()
    for ending in endings.split()
}
ADVICE = {
    "videos": "a product needs a still photo; the photo beside a phone's video is read",
    "edits of phone photos": "they hold no pixels; export the photo from the phone to get it as edited",
    "camera raw photos": "export them as JPEG",
    "JPEG XL pictures": "export them as JPEG, PNG or WebP",
    "archives": "unpack them, or give each ZIP to 'lapel add' itself",
    "tables": "give one with --products, out of its ZIP if it is in one, to say what the pictures show",
    "drawings and documents": "export pictures of products as PNG or JPEG",
    "pictures of an unknown kind": "export them as JPEG, PNG or WebP",
    "Google documents": "export pictures from them",
    "shortcuts that lead nowhere": "share what they lead to, or remove them",
    "shortcuts to pictures that are there already": "nothing to do: each picture is read once",
    OTHER: "if they are pictures, give them the ending of their format",
    EXCLUDED: "as asked for",
    HIDDEN: "thumbnails, waste bins and notes of a computer, phone or NAS; rename what is meant to be read",
    UNREADABLE: "make them readable and run this again; they are listed in rejected.csv",
    NO_ENDING: "nothing in them says picture; give an ending such as .jpg to those that are one",
}

# What computers, phones and storage boxes put beside photos. What begins with a dot is left out as well.
_JUNK = re.compile(
    r"(?:__macosx|(?:eh)?thumbs\.db|desktop\.ini|icon\r|\$recycle\.bin|recycler|system volume information|lost\+found"
    r"|@eadir|@recycle|@recently-snapshot|@tmp|#recycle|#snapshot|temporary items|network trash folder"
    r"|(?:synophoto_|synoindex_|@syno|@__thumb).*)\Z",
    re.IGNORECASE | re.DOTALL,
)
_ENDING = re.compile(r".(\.(?=[0-9]*[a-z])[a-z0-9]{1,8})\Z", re.IGNORECASE | re.DOTALL)
_TAIL_PARTS = 6  # of a file's folders that a table may leave out from the left, all but these
_MAX_ALIKE = 8  # files that may be meant by a name without their folders: as many are not told apart
_MAX_CHARACTERS = 4096  # characters of a name


def is_image_name(name: str) -> bool:
    """Whether a file's name says that it is a photo that is meant to be seen."""
    last = name.rpartition("/")[2]
    dot = last.rfind(".")
    return dot > 0 and last[0] != "." and last[dot:].lower() in EXTENSIONS


def has_ending(name: str) -> bool:
    """Whether a file's name says what kind of file it is: ``a.txt`` does, ``IMG 12.5`` and ``a.jpg?v=1`` do not."""
    return _ENDING.search(name.rpartition("/")[2]) is not None


def stem(name: str) -> str:
    """A photo's file name without its ending, if it has one."""
    return name[: name.rfind(".")] if is_image_name(name) else name


def kind_of(name: str) -> str:
    """What people call a file that is not read."""
    found = _ENDING.search(name.rpartition("/")[2])
    return KINDS.get(found[1].lower(), OTHER) if found else NO_ENDING


def begins_like_image(head: bytes) -> bool:
    """Whether a file's first 16 bytes or more are those of a photo format that Lapel reads."""
    if head.startswith((b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF87a", b"GIF89a", b"II*\0", b"MM\0*")):
        return True
    if head[:4] == b"RIFF":
        return head[8:12] == b"WEBP"
    if head[4:8] == b"ftyp":  # a box of ISO media: also videos, whose brands are others
        return head[8:12] in AVIF | HEIC
    return head.startswith((b"\0\0\0\x0cjP  ", b"\xff\x4f\xff\x51")) or (head[:2] == b"BM" and head[6:10] == bytes(4))


def is_junk(part: str) -> bool:
    """Whether a file's or folder's own name is one that systems make, not people."""
    return part.startswith(".") or part.endswith("~") or _JUNK.match(part) is not None


def as_link(name: str) -> str:
    """A web address as it is asked for: ``HTTP://`` and ``//host/a.jpg`` are ones too. Empty for everything else."""
    if name[:1] in "hH" and (found := re.match(r"(https?)://(?=[^/\s])", name, re.IGNORECASE)):
        return found[1].lower() + name[len(found[1]) :]
    if name.startswith("//") and re.match(r"//[\w-]+(\.[\w-]+)+(:\d+)?/.", name):
        return f"https:{name}"
    return ""


def refuse_link(name: str) -> None:
    """Say that a folder holds no links; :class:`lapel.sources.mixed.MixedSource` follows them.

    Raises:
        SourceError: the name is a link, or a photo written out as text.
    """
    if as_link(name):
        raise SourceError(
            f"'{shortened(name)}' is a link, and this is a folder or ZIP. Download the pictures, or read the table"
            f" with 'lapel add'."
        )
    if written := re.search(r"(?:^|[\s,;|])(data:image/.{0,29}|^data:.{0,35})", name, re.IGNORECASE):
        raise SourceError(
            f"A picture is written into the table itself ('{written[1]}...', {len(name):,} characters). Save it as a"
            f" file, and name that."
        )


class Exclude:
    """Patterns of names to leave out, as in a shell: ``*`` stands for anything, ``?`` for one character, ``[ab]`` for
    one of these.

    A pattern without ``/`` is compared with the name of each file and folder, one with ``/`` with the path below the
    source; upper and lower case are the same. What is in a folder that is left out is left out.

    >>> Exclude(["*_back.*"]).covers("Shirts/1_back.jpg")
    True

    Raises:
        InputError: an empty pattern.
    """

    def __init__(self, patterns: Iterable[str] = ()) -> None:
        self._names: list[Callable[[str], object]] = []
        self._paths: list[Callable[[str], object]] = []
        for pattern in patterns:
            plain = fold(pattern.replace("\\", "/").strip()).removeprefix("./").strip("/")
            if not plain:
                raise InputError(
                    f"A pattern of names to leave out is empty: '{pattern}'. Write one such as '*_back.jpg'."
                )
            (self._paths if "/" in plain else self._names).append(re.compile(translate(plain)).match)

    def __bool__(self) -> bool:
        return bool(self._names or self._paths)

    def here(self, path: str) -> bool:
        """Whether this very file or folder is named, of a path below the source."""
        folded = fold(path)
        last = folded.rpartition("/")[2]
        return any(match(last) for match in self._names) or any(match(folded) for match in self._paths)

    def outermost(self, path: str) -> str:
        """The folder or file that is named and holds this one; empty when none is."""
        if not self:
            return ""
        return next((above for above in _prefixes(path) if self.here(above)), "")

    def covers(self, path: str) -> bool:
        """Whether a file is left out."""
        return bool(self.outermost(path))

    def refuse(self, path: str) -> None:
        """Say that what a table names is to be left out.

        Raises:
            SourceError: it is.
        """
        if self and self.covers(path):
            raise SourceError(f"'{shortened(path)}' is {EXCLUDED}.")


def _prefixes(path: str) -> Iterator[str]:
    at = path.find("/")
    while at >= 0:
        yield path[:at]
        at = path.find("/", at + 1)
    yield path


def is_hidden(path: str) -> bool:
    """Whether a file is one that systems make, or lies in such a folder."""
    return path.startswith(".") or "/." in path or any(map(_JUNK.match, path.split("/")))


def sort_out(
    names: Iterable[str], exclude: Exclude, peek: Callable[[Sequence[str]], Collection[str]]
) -> tuple[list[str], Counter[str]]:
    """Which files of a flat list are photos, sorted, and a count of the others by kind; a folder that is left out
    counts once.

    Args:
        names: Paths below the source.
        exclude: What to leave out.
        peek: Which of some files without an ending begin like a photo.
    """
    pictures: list[str] = []
    bare: list[str] = []
    skipped: Counter[str] = Counter()
    left_out: dict[str, str] = {}
    for name in names:
        if is_hidden(name):
            left_out[next(above for above in _prefixes(name) if is_junk(above.rpartition("/")[2]))] = HIDDEN
        elif exclude and (outermost := exclude.outermost(name)):
            left_out[outermost] = EXCLUDED
        elif is_image_name(name):
            pictures.append(name)
        elif has_ending(name):
            skipped[kind_of(name)] += 1
        else:
            bare.append(name)
    found = peek(bare) if bare else ()
    skipped.update(left_out.values())
    skipped.update({NO_ENDING: len(bare) - len(found)} if len(bare) > len(found) else {})
    return sorted([*pictures, *found]), skipped


class NameIndex:
    """Finds photos by names that are written otherwise: in case, in how accents are stored, with ``\\`` or %20, as
    .jpeg for .jpg, or with more or fewer folders before them. Where two can be meant it refuses; and no photo is taken
    for two different names.

    Args:
        names: Paths below the source with what stands for each there; one file may have several paths.

    Attributes:
        used: How many names were found so far that are written otherwise.
    """

    def __init__(self, names: Iterable[tuple[str, str]]) -> None:
        self.used = 0
        self._paths: dict[str, list[tuple[str, str]]] = {}
        self._tails: dict[str, list[tuple[str, str]]] = {}
        self._stems: dict[str, list[tuple[str, str]]] = {}
        self._taken: dict[str, str] = {}
        for path, value in names:
            parts = _parts(path)
            self._paths.setdefault("/".join(parts), []).append((path, value))
            for start in range(max(1, len(parts) - _TAIL_PARTS), len(parts)):
                some = self._tails.setdefault("/".join(parts[start:]), [])
                if len(some) < _MAX_ALIKE:
                    some.append((path, value))
            self._stems.setdefault(fold(stem(path.rpartition("/")[2])), []).append((path, value))

    def find(self, name: str) -> str | None:
        """What stands for the photo of this name; None when none comes near.

        Raises:
            SourceError: several come equally near, or the only one was taken for another name.
        """
        if len(name) > _MAX_CHARACTERS or "://" in name:
            return None
        for text in dict.fromkeys((name, unquote(name), name.partition("?")[0])):
            parts = _parts(text)
            if not parts or ".." in parts:
                continue
            key = "/".join(parts)
            some = self._paths.get(key) or self._tails.get(key)
            if some and len(some) == _MAX_ALIKE and key not in self._paths:
                raise _ambiguous(text, some)
            if not some:  # the table names folders above those that the source has
                shorter = ("/".join(parts[start:]) for start in range(1, len(parts)))
                tail = next((tail for tail in shorter if tail in self._paths), "")
                some = self._paths.get(tail)
                if (
                    some and "/" not in tail and tail in self._tails
                ):  # the name alone says too little: another one lies deeper
                    raise _ambiguous(text, [*some, *self._tails[tail]])
            if some:
                path, value = _one(some, text)
                other = self._taken.setdefault(value, key)
                if other != key:
                    raise SourceError(
                        f"'{shortened(name)}' can only be the picture '{path}', which '{other}' was taken for. Write"
                        f" the names as they are."
                    )
                self.used += 1
                return value
        return None

    def find_id(self, product_id: str, where: str) -> str:
        """What stands for the photo called like a product; the first one where a folder has it in several formats.

        Raises:
            SourceError: there is none, or several folders have one.
        """
        some = self._stems.get(fold(product_id), [])
        some = [entry for entry in some if stem(entry[0].rpartition("/")[2]) == product_id] or some
        if len({stem(path) for path, _ in some}) == 1 or len({value for _, value in some}) == 1:
            return some[0][1]
        if some:
            names = ", ".join(path for path, _ in some[:3])
            raise SourceError(
                f"{len(some)} pictures are called '{shortened(product_id)}': {names}. Name each product's pictures in"
                f" a column 'pictures'."
            )
        raise SourceError(
            f"There is no picture '{shortened(product_id)}' with an ending such as .jpg in {where}. Name the pictures"
            f" in a column 'pictures'."
        )


def _parts(path: str) -> list[str]:
    """Folders and file name, folded, with one ending a format."""
    parts = [part for part in map(str.strip, fold(path).replace("\\", "/").split("/")) if part and part != "."]
    if parts:
        dot = parts[-1].rfind(".")
        same = SAME_FORMAT.get(parts[-1][dot:]) if dot > 0 else None
        if same:
            parts[-1] = parts[-1][:dot] + same
    return parts


def _one(some: list[tuple[str, str]], name: str) -> tuple[str, str]:
    """The one of these that a name means: where there are several, that with its own ending, then that with its own
    letters."""
    last = name.replace("\\", "/").rpartition("/")[2]
    ending = last[last.rfind(".") :].lower()
    for near in (
        lambda path: path.lower().endswith(ending),
        lambda path: _composed(path.rpartition("/")[2]) == _composed(last),
    ):
        if len({value for _, value in some}) > 1:
            some = [entry for entry in some if near(entry[0])] or some
    if len({value for _, value in some}) > 1:
        raise _ambiguous(name, some)
    return some[0]


def _ambiguous(name: str, some: list[tuple[str, str]]) -> SourceError:
    names = ", ".join(f"'{path}'" for path, _ in some[:3])
    return SourceError(f"'{shortened(name)}' may be any of {names}. Write the whole name as it is.")


def _composed(text: str) -> str:
    return unicodedata.normalize("NFC", text)
