"""Pictures learn from the words of their titles, while the network is trained.

The other labels are few and coarse; a title also names the brand, the cut and the print. Each picture is asked to find
its own title among thousands, and each title its picture (InfoNCE: van den Oord et al., "Contrastive Predictive
Coding", 2018, as CLIP uses it: Radford et al., 2021). The words' own network is left behind: when the pictures' vectors
are final, :mod:`lapel.training.text_tower` learns words for them anew.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from lapel.encoders.words import TextTower, folded
from lapel.training.data import Labels
from lapel.training.losses import info_nce
from lapel.training.text_tower import GIVEN, Corpus, TextNetwork, TextRecipe, shortened

CANDIDATES = 2048  # titles of others that a picture finds its own among


class TitleLoss(nn.Module):
    """The loss, with the network of the words.

    Args:
        titles: n texts, one an image; images without one are left out.
        products: (n,) int64: which images show the same product, whose titles are neither right nor wrong.
        dim: Width of the vectors.
        seed: Decides which words are left out, and which titles are compared.
        start: A tower whose weights the words go on from; by default they begin with nothing.
    """

    def __init__(
        self, titles: Sequence[str], products: Labels, *, dim: int = 128, seed: int = 7, start: TextTower | None = None
    ) -> None:
        super().__init__()
        recipe = TextRecipe()
        rng = np.random.default_rng((seed, 5))
        texts = [folded(title) for title in titles]
        titled = np.flatnonzero([bool(text) for text in texts])
        self.places = torch.full((len(texts),), -1)
        self.places[torch.from_numpy(titled)] = torch.arange(len(titled))
        self.products = torch.from_numpy(products[titled])
        known = [texts[row] for row in titled]
        self.whole = Corpus(known, recipe.buckets) if known else None
        self.shortened = Corpus([shortened(title, rng) for title in known], recipe.buckets) if known else None
        self.network = TextNetwork(recipe, dim)
        self.temperature = recipe.temperature
        if start is not None:
            self.network.go_on_from(start)

    def forward(self, vectors: Tensor, rows: Tensor, gallery: Tensor, gallery_products: Tensor, own: Tensor) -> Tensor:
        """How far pictures and titles are from finding each other.

        The pictures are compared with titles as they are now, so the network learns; titles with the pictures'
        vectors that are remembered, right and wrong ones equally old, so the words learn.

        Args:
            vectors: (v n, dim) unit rows, v views of n images.
            rows: (n,) int64: where the training set has them.
            gallery: (m, dim) unit rows of remembered images.
            gallery_products: (m,) int64: the product each shows; -1 is none.
            own: (n, dim) the remembered vectors of these images.

        Returns:
            () mean over the images with a title; 0 where none has one.
        """
        places = self.places[rows.cpu()]
        titled = torch.nonzero(places >= 0)[:, 0]
        if self.whole is None or self.shortened is None or not len(titled):
            return vectors.sum() * 0
        places, device = places[titled], vectors.device
        others = torch.randint(len(self.products), (min(CANDIDATES, len(self.products)),))
        corpus = self.shortened if torch.rand(()) < GIVEN else self.whole
        read = corpus.some(torch.cat([places, others]).numpy()).to(device)
        titles = self.network(read)
        products = torch.cat([self.products[places], self.products[others]]).to(device)
        asked = products[: len(titled)]
        views = torch.cat([part[titled.to(device)] for part in torch.split(vectors, len(rows))])
        count = len(views) // len(titled)
        own_title = torch.arange(len(titled), device=device).repeat(count)
        found = info_nce(views @ titles.T / self.temperature, asked.repeat(count), products, own_title)
        remembered = torch.cat([own[titled.to(device)], gallery])
        shown = torch.cat([asked, gallery_products])
        scores = titles[: len(titled)] @ remembered.T / self.temperature
        return found + info_nce(scores, asked, shown)
