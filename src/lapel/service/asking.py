"""How programs ask: filters as they write them, and many queries as a stream."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice

from lapel.core.errors import LapelError, QueryError
from lapel.core.types import Filter, ImageLike, Query, SearchResult
from lapel.engine.retrieval import SearchEngine

Where = Filter | Sequence[str] | str
BATCH_QUERIES = 64  # answered together: two batches of the encoder
READERS = 4  # threads that read and decode the next queries' images meanwhile


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
    """The answer to each query in turn, in batches; the next batch is read while one is answered.

    Args:
        engine: What answers.
        queries: Queries and images.
        read: Makes a query of each, or says what is wrong with it; called in threads.
        progress: Called with how many were answered.
        raising: Raise what is wrong with one, in place of giving it.
    """
    done = 0
    with ThreadPoolExecutor(READERS, thread_name_prefix="lapel-queries") as pool:
        ahead = [pool.submit(read, query) for query in islice(queries, BATCH_QUERIES)]
        while ahead:
            waiting, ahead = ahead, [pool.submit(read, query) for query in islice(queries, BATCH_QUERIES)]
            batch = [each.result() for each in waiting]
            for error in batch:
                if raising and isinstance(error, LapelError):
                    raise error
            answers = iter(engine.search_many([query for query in batch if isinstance(query, Query)]))
            yield from (query if isinstance(query, LapelError) else next(answers) for query in batch)
            done += len(batch)
            if progress is not None:
                progress(done, None)
