"""The text tower learns what the pictures look like that words stand for.

The pictures' vectors are given; only words learn. Three things are said in each step:

- a title finds its own picture among thousands (InfoNCE: van den Oord et al., "Contrastive Predictive Coding", 2018, as
  CLIP uses it: Radford et al., 2021), and the picture its title among those of the step;
- words of labels, alone and together ("skirt", "red skirt", "sandals for men"), find pictures that carry those labels;
- words of other languages, and synonyms, come to lie where the English word does: ``lexicon.csv``, a row a meaning.

The result is a :class:`lapel.encoders.words.TextTower`, which needs no PyTorch.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from lapel.core.errors import InputError
from lapel.core.lexicon import Lexicon
from lapel.core.types import Product
from lapel.core.vectors import Vectors
from lapel.encoders.words import (
    HASHED_SCALE,
    SENTENCE_DIM,
    SENTENCE_SCALE,
    TextTower,
    folded,
    hashed_features,
    sentence_vectors,
)
from lapel.training.data import Labels
from lapel.training.losses import MASKED_SCORE, info_nce

LOG_EVERY = 20  # steps
GIVEN = 0.4  # share of the steps' titles from which words were left out
MIN_SEEN = 2  # titles that a word must be in to count as known
FORMS = 3  # ways in which a label's words are put, at most

Report = Callable[[Mapping[str, Any]], None]


@dataclass(frozen=True)
class TextRecipe:
    """How a text tower is trained.

    Attributes:
        epochs: Times each title is seen.
        batch: Titles a step; half as many prompts, and as many pairs of the lexicon.
        candidates: Pictures that each is found among.
        temperature: Of the softmax over cosines.
        rate: Peak learning rate of the table; half of it for the rest.
        weight_decay: Of AdamW.
        dropped: Share of the hashed features left out each time.
        without_sentences: Share of texts that are read without the sentence encoder, so that hashed words do it alone.
        without_words: Share of texts read by the sentence encoder alone, as words of other languages are.
        prompts: Weight of labels' words.
        lexicon: Weight of the lexicon.
        buckets: Rows of the table.
        width: Of the hidden layer.
        seed: Decides initial values and order.
    """

    epochs: int = 8
    batch: int = 512
    candidates: int = 2048
    temperature: float = 0.05
    rate: float = 2e-3
    weight_decay: float = 1e-4
    dropped: float = 0.2
    without_sentences: float = 0.1
    without_words: float = 0.1
    prompts: float = 1.0
    lexicon: float = 4.0
    buckets: int = 1 << 15
    width: int = 1024
    seed: int = 7


@dataclass(frozen=True)
class TitledPictures:
    """What a text tower learns from.

    Attributes:
        titles: n texts.
        vectors: (n, dim) float32 unit rows of the pictures.
        products: (n,) int64: which pictures show the same product.
        labels: Of each attribute, (n,) int64 labels, -1 unknown, and their names.
    """

    titles: Sequence[str]
    vectors: Vectors
    products: Labels
    labels: Mapping[str, tuple[Labels, Sequence[str]]]

    def __post_init__(self) -> None:
        sizes = {len(self.titles), len(self.vectors), len(self.products), *(len(of) for of, _ in self.labels.values())}
        if len(sizes) != 1:
            raise InputError(f"A title, a vector and labels of each picture are needed; found {sorted(sizes)} of them.")


@dataclass(frozen=True)
class Prompt:
    """Words, and the labels that pictures of them carry: attribute -> label."""

    text: str
    asked: Mapping[str, int]


def titled_pictures(products: Sequence[Product], vectors: Vectors, shown: Labels) -> TitledPictures:
    """What a text tower learns from products: their titles and, as labels, kind, colour, gender and season.

    Args:
        products: Of n pictures.
        vectors: (n, dim) float32 unit rows of those.
        shown: (n,) int64: which pictures show the same product.
    """
    values = {
        "kind": [product.category[-1] if product.category else "" for product in products],
        "colour": [product.colour for product in products],
        "gender": [product.gender for product in products],
        "season": [product.season for product in products],
    }
    labels = {}
    for name, given in values.items():
        names = sorted(set(given) - {""})
        place = {value: label for label, value in enumerate(names)}
        labels[name] = (np.array([place.get(value, -1) for value in given], np.int64), names)
    return TitledPictures([product.title for product in products], vectors, shown, labels)


def train_text_tower(
    data: TitledPictures, recipe: TextRecipe | None = None, *, lexicon: Lexicon = (), report: Report = lambda _: None
) -> TextTower:
    """Train a text tower for the vectors of some pictures.

    Args:
        data: Titles, labels and vectors.
        recipe: How; the shipped models' by default.
        lexicon: Words of other languages and synonyms, see :func:`lapel.core.lexicon.read_lexicon`.
        report: Called with rows of losses.

    Raises:
        InputError: fewer than two pictures with a title.
    """
    recipe = recipe or TextRecipe()
    usable = np.array([bool(folded(title)) for title in data.titles], bool)
    if usable.sum() < 2:
        raise InputError(f"Words are learned from titles; {usable.sum()} of {len(usable)} pictures have one.")
    torch.manual_seed(recipe.seed)
    rng = np.random.default_rng((recipe.seed, 4))
    run = _TextRun(data, recipe, np.flatnonzero(usable), lexicon, rng)
    run.train(report)
    return run.tower(lexicon)


def prompts_of(
    labels: Mapping[str, tuple[Labels, Sequence[str]]], lexicon: Lexicon, rng: np.random.Generator
) -> list[Prompt]:
    """What people ask for in the words of labels, alone and together, where at least two pictures carry them.

    Args:
        labels: Of the attributes ``kind``, ``colour``, ``gender`` and ``season``; others are left out.
        lexicon: Whose English words are other names of labels.
        rng: Draws the order of the words.
    """
    named = {name: labels[name] for name in ("kind", "colour", "gender", "season") if name in labels}
    words = {name: [_names(each, lexicon) for each in names] for name, (_, names) in named.items()}
    found = []
    for together in (["kind"], ["colour"], ["gender"], ["season"], ["colour", "kind"], ["gender", "kind"],
                     ["season", "kind"], ["gender", "colour", "kind"]):  # fmt: skip
        if not set(together) <= set(named):
            continue
        columns = np.stack([named[name][0] for name in together], axis=1)
        for combination, count in Counter(map(tuple, columns[(columns >= 0).all(axis=1)])).items():
            asked = dict(zip(together, map(int, combination), strict=True))
            if count < 2:
                continue
            for _ in range(FORMS if len(together) > 1 else 2 * FORMS):
                parts = {name: str(rng.choice(words[name][label])) for name, label in asked.items()}
                found.append(Prompt(_put(parts, rng), asked))
    return list({prompt.text: prompt for prompt in found}.values())


def _names(label: str, lexicon: Lexicon) -> list[str]:
    """A label's own name, in the singular and in the plural, and the lexicon's other names of it."""
    own = folded(label)
    single = own[:-1] if own.endswith("s") and not own.endswith("ss") else own
    names = {own: None, single: None, f"{single}s": None} if own.isascii() else {own: None}
    for meaning in lexicon:
        english = [folded(word) for word in meaning["en"]]
        if own in english or single in english:
            names |= dict.fromkeys(english)
    return list(names)


def _put(parts: Mapping[str, str], rng: np.random.Generator) -> str:
    """A label's words as people put them: "women red skirt", "skirt for women in red"."""
    before = [parts[name] for name in ("season", "gender", "colour") if name in parts]
    if "kind" not in parts or rng.random() < 0.6:
        return " ".join([*before, *([parts["kind"]] if "kind" in parts else [])])
    after = {"gender": "for {}", "season": "for {}", "colour": "in {}"}
    behind = [after[name].format(parts[name]) for name in ("gender", "season", "colour") if name in parts]
    return " ".join([parts["kind"], *(behind if rng.random() < 0.7 else reversed(before))])


def lexicon_pairs(lexicon: Lexicon, rng: np.random.Generator, *, together: int = 3000) -> list[tuple[str, str]]:
    """Texts and the English words that mean the same: each word, and pairs of neighbours such as "rotes Kleid".

    Args:
        lexicon: A row a meaning, the first English word in front.
        rng: Draws the pairs.
        together: How many of two or three meanings, where there are as many.
    """
    if not lexicon:
        return []
    pairs = [
        (folded(word), folded(row["en"][0])) for row in lexicon for words in row.values() for word in words if word
    ]
    for _ in range(together if len(lexicon) > 2 else 0):
        language = str(rng.choice(list(lexicon[0])))
        rows = [lexicon[at] for at in rng.choice(len(lexicon), 2 + (rng.random() < 0.25), replace=False)]
        texts = [str(rng.choice(row[language])) for row in rows]
        pairs.append((folded(" ".join(texts)), folded(" ".join(row["en"][0] for row in rows))))
    return [(text, meaning) for text, meaning in pairs if text and text != meaning]


class TextNetwork(nn.Module):
    """The tower while it learns, see :class:`lapel.encoders.words.TextTower`."""

    def __init__(self, recipe: TextRecipe, dim: int) -> None:
        super().__init__()
        self.recipe = recipe
        self.table = nn.EmbeddingBag(recipe.buckets, dim, mode="sum")
        nn.init.zeros_(self.table.weight)  # what was never seen says nothing
        self.linear = nn.Linear(SENTENCE_DIM, dim)
        self.hidden = nn.Linear(SENTENCE_DIM + dim, recipe.width)
        self.last = nn.Linear(recipe.width, dim, bias=False)
        nn.init.normal_(self.last.weight, std=0.01)

    @torch.no_grad()
    def go_on_from(self, tower: TextTower) -> None:
        """Take the weights of a tower of the same shape."""
        halves = {
            self.table.weight: tower.table * tower.table_scale[:, None],
            self.linear.weight: tower.linear.T,
            self.linear.bias: tower.bias,
            self.hidden.weight: tower.hidden.T,
            self.hidden.bias: tower.hidden_bias,
            self.last.weight: tower.last.T,
        }
        for weight, given in halves.items():
            weight.copy_(torch.from_numpy(np.asarray(given, np.float32)))

    def forward(self, texts: ReadTexts) -> Tensor:
        """N texts -> (n, dim) unit rows; while training, some of what is known of each is left out."""
        kept = None
        if self.training:
            kept = (torch.rand(len(texts.features), device=texts.features.device) >= self.recipe.dropped).float()
        hashed = self.table(texts.features, texts.starts, per_sample_weights=kept) / texts.counts.sqrt()[:, None]
        sentences = texts.sentences * SENTENCE_SCALE
        if self.training:
            chance = torch.rand(len(texts.counts), 1, device=texts.counts.device)
            sentences = sentences * (chance >= self.recipe.without_sentences)
            hashed = hashed * (chance < 1 - self.recipe.without_words)
        opened = self.hidden(torch.cat([sentences, hashed * HASHED_SCALE], dim=1)).relu()
        opened = functional.dropout(opened, 0.2, self.training)
        return functional.normalize(hashed + self.linear(sentences) + self.last(opened), dim=1)


@dataclass(frozen=True)
class ReadTexts:
    """Some texts as the network reads them: hashed features one after the other, where each text's start, how many each
    has, and (n, 512) sentence vectors."""

    features: Tensor
    starts: Tensor
    counts: Tensor
    sentences: Tensor

    def to(self, device: torch.device) -> ReadTexts:
        """On another device."""
        parts = (self.features, self.starts, self.counts, self.sentences)
        return ReadTexts(*(part.to(device) for part in parts))


class Corpus:
    """Texts, hashed and read by the sentence encoder once."""

    def __init__(self, texts: Sequence[str], buckets: int) -> None:
        self.hashed = [np.asarray(hashed_features(text, buckets), np.int64) for text in texts]
        parts = [sentence_vectors(texts[at : at + 1024]) for at in range(0, len(texts), 1024)]
        self.sentences = torch.from_numpy(np.concatenate(parts).astype(np.float16))

    def some(self, rows: NDArray[np.int64]) -> ReadTexts:
        """Those rows, together."""
        chosen = [self.hashed[row] for row in rows]
        counts = np.array([len(each) for each in chosen])
        starts = np.concatenate([[0], np.cumsum(counts)[:-1]])
        features = torch.from_numpy(np.concatenate(chosen))
        sentences = self.sentences[torch.from_numpy(rows)].float()
        return ReadTexts(features, torch.from_numpy(starts), torch.from_numpy(counts).float(), sentences)


class _TextRun:
    """What stays the same from step to step."""

    def __init__(
        self, data: TitledPictures, recipe: TextRecipe, rows: Labels, lexicon: Lexicon, rng: np.random.Generator
    ) -> None:
        self.data, self.recipe, self.rows, self.rng = data, recipe, rows, rng
        self.titles = [folded(data.titles[row]) for row in rows]
        self.vectors = torch.from_numpy(np.ascontiguousarray(data.vectors[rows], np.float32))
        self.products = torch.from_numpy(data.products[rows])
        self.labels = {name: torch.from_numpy(of[rows]) for name, (of, _) in data.labels.items()}
        self.prompts = prompts_of({name: (of[rows], names) for name, (of, names) in data.labels.items()}, lexicon, rng)
        self.pairs = lexicon_pairs(lexicon, rng)
        self.whole = Corpus(self.titles, recipe.buckets)
        self.shortened = Corpus([shortened(title, rng) for title in self.titles], recipe.buckets)
        self.asked = Corpus([prompt.text for prompt in self.prompts], recipe.buckets) if self.prompts else None
        self.said = self.meant = None
        if self.pairs:
            self.said, self.meant = (Corpus(side, recipe.buckets) for side in zip(*self.pairs, strict=True))
        self.network = TextNetwork(recipe, data.vectors.shape[1])

    def train(self, report: Report) -> None:
        """Steps of AdamW with a rate that rises shortly and falls as a half cosine."""
        recipe, count = self.recipe, len(self.rows)
        rest = [given for name, given in self.network.named_parameters() if not name.startswith("table")]
        groups = [
            {"params": [self.network.table.weight], "peak": recipe.rate},
            {"params": rest, "peak": recipe.rate / 2},
        ]
        optimizer = torch.optim.AdamW(groups, lr=recipe.rate, weight_decay=recipe.weight_decay)
        steps = -(-count // recipe.batch)
        for epoch in range(recipe.epochs):
            for step, chosen in enumerate(np.array_split(self.rng.permutation(count), steps)):
                done = (epoch * steps + step) / (recipe.epochs * steps)
                share = min(1.0, (epoch * steps + step + 1) / 30) * (0.5 + 0.5 * np.cos(np.pi * done))
                for group in optimizer.param_groups:
                    group["lr"] = group["peak"] * share
                parts = self.losses(chosen)
                optimizer.zero_grad(set_to_none=True)
                parts["loss"].backward()  # type: ignore[no-untyped-call]
                optimizer.step()
                if step % LOG_EVERY == 0:
                    report({"epoch": epoch, "step": step, **{name: value.item() for name, value in parts.items()}})
        self.network.eval()

    def losses(self, chosen: NDArray[np.int64]) -> dict[str, Tensor]:
        """What one step says: ``loss`` to go backward from, and its parts."""
        recipe = self.recipe
        candidates = torch.from_numpy(self.rng.permutation(len(self.rows))[: recipe.candidates])
        parts = {"titles": self._title_loss(chosen, candidates)}
        loss = parts["titles"]
        if self.asked is not None:
            parts["prompts"] = self._prompt_loss(self.asked, candidates)
            loss = loss + recipe.prompts * parts["prompts"]
        if self.said is not None and self.meant is not None:
            at = self.rng.integers(0, len(self.pairs), recipe.batch // 2)
            with torch.no_grad():
                self.network.eval()
                wanted = self.network(self.meant.some(at))
                self.network.train()
            parts["lexicon"] = (1 - (self.network(self.said.some(at)) * wanted).sum(dim=1)).mean()
            loss = loss + recipe.lexicon * parts["lexicon"]
        return {"loss": loss, **parts}

    def _title_loss(self, chosen: NDArray[np.int64], candidates: Tensor) -> Tensor:
        rows = torch.from_numpy(chosen)
        corpus = self.shortened if self.rng.random() < GIVEN else self.whole
        titles = self.network(corpus.some(chosen))
        among = torch.cat([rows, candidates])
        scores = titles @ self.vectors[among].T / self.recipe.temperature
        return info_nce(scores, self.products[rows], self.products[among]) + info_nce(
            scores[:, : len(rows)].T, self.products[rows], self.products[rows]
        )

    def _prompt_loss(self, corpus: Corpus, candidates: Tensor) -> Tensor:
        at = self.rng.integers(0, len(self.prompts), self.recipe.batch // 2)
        right = torch.ones(len(at), len(candidates), dtype=torch.bool)
        for row, number in enumerate(at):
            for name, label in self.prompts[number].asked.items():
                right[row] &= self.labels[name][candidates] == label
        scores = self.network(corpus.some(at)) @ self.vectors[candidates].T / self.recipe.temperature
        usable = right.any(dim=1)
        among_right = scores.masked_fill(~right, MASKED_SCORE).logsumexp(dim=1)
        lost = scores.logsumexp(dim=1) - among_right
        return torch.where(usable, lost, 0.0).sum() / usable.sum().clamp_min(1)

    def tower(self, lexicon: Lexicon) -> TextTower:
        """The trained tower, its table in 8 bits."""
        network = self.network
        table = network.table.weight.detach().numpy()
        scale = np.maximum(np.abs(table).max(axis=1), 1e-6) / 127
        seen = Counter(word for title in self.titles for word in set(title.split()))
        labelled = {word for prompt in self.prompts for word in prompt.text.split()}
        words = {word for row in lexicon for given in row.values() for part in given for word in folded(part).split()}
        known = frozenset({word for word, count in seen.items() if count >= MIN_SEEN} | labelled | words)
        meant = {folded(word) for row in lexicon for word in row["en"]}
        anchors = sorted(meant | {prompt.text for prompt in self.prompts if len(prompt.asked) == 1})

        def half(values: Tensor) -> NDArray[np.float16]:
            return values.detach().numpy().astype(np.float16)

        return TextTower(
            table=np.round(table / scale[:, None]).astype(np.int8),
            table_scale=scale.astype(np.float32),
            linear=half(network.linear.weight.T),
            bias=half(network.linear.bias),
            hidden=half(network.hidden.weight.T),
            hidden_bias=half(network.hidden.bias),
            last=half(network.last.weight.T),
            vocabulary=known,
            anchors=sentence_vectors(anchors).astype(np.float16),
        )


def shortened(title: str, rng: np.random.Generator) -> str:
    """A title as someone would ask for it: some of its words left out."""
    words = title.split()
    kept = rng.random(len(words)) > rng.choice([0.15, 0.3, 0.5])
    return " ".join(word for word, stays in zip(words, kept, strict=True) if stays) or title
