"""Logs of lists whose truth is known: products with click rates of their own, slots that are seen less and less, and a
policy that explores a share of its lists."""

from __future__ import annotations

import numpy as np

from lapel.core.estimators import LoggedSlots

PRODUCTS, POOL, SLOTS = 60, 20, 5
SEEN = 1 / np.log2(2 + np.arange(SLOTS))  # how much each slot is looked at


def simulate(seed: int, *, lists: int, explore: float = 0.2, better: float = 0.3) -> tuple[LoggedSlots, float]:
    """A log of one policy, and what another would truly have earned a list.

    Args:
        seed: Of all that is drawn.
        lists: How many lists.
        explore: Share of lists that the logging policy draws from its pool.
        better: How much the other policy's taste leans to what is truly clicked.
    """
    rng = np.random.default_rng(seed)
    rates = rng.beta(2, 12, PRODUCTS)
    model = rates * rng.uniform(0.5, 1.5, PRODUCTS)  # what the click model believes: off by up to a half
    taste = np.clip(rates * rng.uniform(0.4, 1.6, (lists, PRODUCTS)), 0, 1)  # of each person
    order = np.argsort(-(taste + rng.normal(0, 0.15, taste.shape)), axis=1)
    old, pool = order[:, :SLOTS], order[:, :POOL]
    row = np.arange(lists)[:, None]
    new = pool[row, np.argsort(-(better * taste[row, pool] + 0.05 * rng.random(pool.shape)), axis=1)][:, :SLOTS]
    drawn = rng.permuted(pool, axis=1)[:, :SLOTS]
    shown = np.where(rng.random((lists, 1)) < explore, drawn, old)
    logged = (1 - explore) * (shown == old) + explore / POOL
    rewards = (rng.random(shown.shape) < taste[row, shown] * SEEN).astype(float)
    wanted = (shown == new).astype(float)
    truth = float((taste[row, new] * SEEN).sum(axis=1).mean())
    return LoggedSlots(rewards, logged, wanted, model[shown] * SEEN, model[new] * SEEN), truth
