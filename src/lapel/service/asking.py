"""How programs ask: filters as they write them, and many queries as a stream."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice

from lapel.core.errors import LapelError, QueryError
from lapel.core.types import Filter, ImageLike, Query, SearchResult
from lapel.engine.retrieval import SearchEngine

Where = Filter | Sequence[str] | str
BATCH_QUERIES = 32  # answered together: a batch of the encoder
GIVEN_QUERIES = 256  # and of queries without images, for which it has nothing to do: they take about 30 ms
WORKERS = 2  # while one has the network, the other decodes, prepares and looks up


def filter_of(where: Where) -> Filter:
    """A filter, or the one that texts such as ``gender=Women`` mean.

    Raises:
        QueryError: it is neither.
    """
    if isinstance(where, Filter):
        return where
    if isinstance(where, str):
        return Filter.parse([where])
    if isinstance(where, Sequence) and all(isinstance(text, str) for text in where):
        return Filter.parse(where)
    raise QueryError(
        f"A filter is texts such as ['gender=Women', 'price<2000']; found {type(where).__name__} {where!r:.60}."
    )


def answer_many(
    engine: SearchEngine,
    queries: Iterator[Query | ImageLike],
    read: Callable[[Query | ImageLike], Query | LapelError],
    progress: Callable[[int, int | None], None] | None,
    *,
    raising: bool,
) -> Iterator[SearchResult | LapelError]:
    """The answer to each query in turn, in batches; two are on their way at the same time.

    Args:
        engine: What answers.
        queries: Queries and images.
        read: Makes a query of each, or says what is wrong with it; called in threads.
        progress: Called with how many were answered.
        raising: Raise what is wrong with one, in place of giving it.
    """
    done = 0
    waiting: deque[Future[list[SearchResult | Exception]]] = deque()

    def answer(some: list[Query | ImageLike]) -> list[SearchResult | Exception]:
        batch = [read(query) for query in some]
        answers = iter(answer_batch(engine, [query for query in batch if isinstance(query, Query)]))
        return [query if isinstance(query, LapelError) else next(answers) for query in batch]

    with ThreadPoolExecutor(WORKERS, thread_name_prefix="lapel-queries") as pool:
        while True:
            while len(waiting) <= WORKERS and (some := _next_batch(queries)):
                waiting.append(pool.submit(answer, some))
            if not waiting:
                return
            found = waiting.popleft().result()
            for each in found:
                if isinstance(each, Exception) and (raising or not isinstance(each, LapelError)):
                    raise each
                yield each
            done += len(found)
            if progress is not None:
                progress(done, None)


def _next_batch(queries: Iterator[Query | ImageLike]) -> list[Query | ImageLike]:
    some = list(islice(queries, BATCH_QUERIES))
    if some and all(isinstance(each, Query) and all(part.image is None for part in each.all_parts) for each in some):
        some += islice(queries, GIVEN_QUERIES - len(some))
    return some


def answer_batch(
    engine: SearchEngine, queries: Sequence[Query], encoded: Callable[[], None] = lambda: None, *, again: bool = False
) -> list[SearchResult | Exception]:
    """The answer to each of several queries of different people, in one batch; what is wrong with one is given in its
    place and costs the others nothing but time."""
    try:
        return list(engine.search_many(queries, encoded=encoded, again=again))
    except Exception as error:
        if len(queries) > 1:
            return [answer for query in queries for answer in answer_batch(engine, [query], again=True)]
        return [error]
