"""The inner loops of the graph, compiled by Numba: inner products, the beam search, the linking of a row.

A graph is a few arrays, each with room for more rows than there are:

- ``codes`` (room, dim) int8: the vectors times one scale, by which a search finds its way;
- ``vectors`` (room, dim) float32, or float16 seen as uint16: what the best are ranked by at last;
- ``links``: for each level a (room / 64^level + 1, 32) int32 array of neighbours, -1 behind the last. Level 1 has every
  64th row, level 2 every 4,096th, and so on; a row has its number there, so row 128 is 128, 2 and 0.
- ``twins`` (room,) int32: shops sell the same picture twice, and a graph of equal rows has no ways out. So of rows with
  equal codes only the first is linked; this has the next of them, -1 behind the last. A twin's links: -2, the first.

Source: HNSW (Malkov and Yashunin 2016), whose rule chooses neighbours here, with a beam on each level. ``dim`` is a
multiple of :data:`LANES`. All loops leave Python's lock, and a search may run while rows are linked: a list of links
that is being written holds valid rows at any moment, and which rows count is told by the keys.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic

LANES = 32  # numbers multiplied at once
LINKS = 32  # of a row on each level
STRIDE = 64  # rows for each one of the next level
LEVELS = 7
MAX_TOP = 64  # rows of the highest level, which are all looked at
BEAM = 8  # candidates kept on the way down: with 4, five of 1,000 queries at 300,000 ended where nothing is right
STARTS = 4  # of them that the next level begins at
LOCKS = 4096  # for the rows that are linked at the same time
QUERY_SCALE = 8192.0  # of a query's numbers, as int16
LOWEST = -(2**31)
TWIN = -2
MAX_TWINS = 4096  # of a candidate that are ranked: a shop may have one picture for all that has none
AHEAD = 8  # rows whose memory is asked for before they are needed

# Kinds of arguments. Inner functions are compiled for one kind alone: for each that comes would take twice as long.
INT, SCORE, MARKS, ROWS, ROOM = "int64", "int32", "uint8[::1]", "int32[::1]", "int64[::1]"
CODES, ASKED, LEVEL = "int8[::1]", "int16[::1]", "int32[:, ::1]"
GRAPH = f"UniTuple({LEVEL}, {LEVELS})"

I16, I32, I64, F16, F32 = ir.IntType(16), ir.IntType(32), ir.IntType(64), ir.HalfType(), ir.FloatType()


def _vector_at(context: Any, builder: Any, kind: Any, array: Any, index: Any, vector: Any) -> Any:
    """Load a vector of LLVM's from an array's place."""
    data = context.make_array(kind)(context, builder, array).data
    place = builder.bitcast(builder.gep(data, [index]), vector.as_pointer())
    return builder.load(place, align=kind.dtype.bitwidth // 8)


@intrinsic
def int_dot(_: Any, one: Any, row: Any, other: Any, other_row: Any, dim: Any) -> Any:
    """The inner product of a row of one flat array and a row of another, each int8 or int16: int32.

    LLVM turns the sums of two products into one instruction of the processor.
    """

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        halves, wide = ir.VectorType(I32, LANES // 2), ir.VectorType(I16, LANES)
        total = cgutils.alloca_once_value(builder, ir.Constant(halves, None))
        picked = [ir.Constant(halves, list(range(first, LANES, 2))) for first in (0, 1)]
        bases = [builder.mul(args[1], args[4]), builder.mul(args[3], args[4])]
        with cgutils.for_range_slice(builder, I64(0), args[4], I64(LANES), I64) as (at, _):
            loaded = []
            for kind, array, base in zip(signature.args[::2], args[::2], bases, strict=False):
                narrow = ir.VectorType(ir.IntType(kind.dtype.bitwidth), LANES)
                value = _vector_at(context, builder, kind, array, builder.add(base, at), narrow)
                loaded.append(value if narrow == wide else builder.sext(value, wide))
            products = []
            for places in picked:
                pair = (
                    builder.sext(builder.shuffle_vector(each, ir.Constant(wide, ir.Undefined), places), halves)
                    for each in loaded
                )
                products.append(builder.mul(*pair))
            builder.store(builder.add(builder.load(total), builder.add(*products)), total)
        reduce = cgutils.get_or_insert_function(
            builder.module, ir.FunctionType(I32, [halves]), f"llvm.vector.reduce.add.v{LANES // 2}i32"
        )
        return builder.call(reduce, [builder.load(total)])

    return types.int32(one, types.int64, other, types.int64, types.int64), generate


@intrinsic
def float_dot(_: Any, rows: Any, row: Any, queries: Any, query: Any, dim: Any) -> Any:
    """The inner product of a row of a flat array, float32 or float16 as uint16, and of float32 ones: float32."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        vector = ir.VectorType(F32, LANES // 2)
        stored = vector if signature.args[0].dtype == types.float32 else ir.VectorType(F16, LANES // 2)
        totals = [cgutils.alloca_once_value(builder, ir.Constant(vector, None)) for _ in range(2)]
        base, query_base = builder.mul(args[1], args[4]), builder.mul(args[3], args[4])
        with cgutils.for_range_slice(builder, I64(0), args[4], I64(LANES), I64) as (at, _):
            for half, total in enumerate(totals):
                place = builder.add(at, I64(half * LANES // 2))
                left = _vector_at(context, builder, signature.args[0], args[0], builder.add(base, place), stored)
                right = _vector_at(context, builder, signature.args[2], args[2], builder.add(query_base, place), vector)
                left = left if stored == vector else builder.fpext(left, vector)
                builder.store(builder.fadd(builder.load(total), builder.fmul(left, right, ("contract",))), total)
        both = builder.fadd(*(builder.load(each) for each in totals))
        reduce = cgutils.get_or_insert_function(
            builder.module, ir.FunctionType(F32, [F32, vector]), f"llvm.vector.reduce.fadd.v{LANES // 2}f32"
        )
        return builder.call(reduce, [ir.Constant(F32, -0.0), both], fastmath=("reassoc",))

    return types.float32(rows, types.int64, queries, types.int64, types.int64), generate


@intrinsic
def prefetch(_: Any, array: Any, index: Any) -> Any:
    """Ask for the memory at a flat array's place before it is needed."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        data = context.make_array(signature.args[0])(context, builder, args[0]).data
        place = builder.bitcast(builder.gep(data, [args[1]]), ir.IntType(8).as_pointer())
        ask = builder.module.declare_intrinsic(
            "llvm.prefetch", [place.type], ir.FunctionType(ir.VoidType(), [place.type, I32, I32, I32])
        )
        builder.call(ask, [place, I32(0), I32(3), I32(1)])
        return context.get_dummy_value()

    return types.void(array, types.int64), generate


@intrinsic
def swap(_: Any, array: Any, index: Any, value: Any) -> Any:
    """Put a number into an int32 array and give the one that was there, as one step that all threads agree on."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        data = context.make_array(signature.args[0])(context, builder, args[0]).data
        return builder.atomic_rmw("xchg", builder.gep(data, [args[1]]), args[2], "seq_cst")

    return types.int32(array, types.int64, types.int32), generate


def compiled(*kinds: str) -> Any:
    """A decorator: compile a function of arguments of these kinds at once, of any when it is first called; and keep the
    code for the next process where there is a folder that can be written."""
    signature = [f"({', '.join(kinds)},)"] if kinds else []

    def compile_it(function: Any) -> Any:
        try:
            return njit(*signature, nogil=True, cache=True)(function)
        except RuntimeError:  # neither the package's folder, nor NUMBA_CACHE_DIR, nor one in the home
            return njit(*signature, nogil=True)(function)

    return compile_it


@compiled(ROOM, INT, INT)
def is_new(seen, turn, row):
    """Whether a row was not met in this turn yet; from now on it was. ``seen``: a hash table of turns and rows."""
    mask = len(seen) - 1
    place = ((row * 2654435761) >> 9) & mask
    mark = (turn << 32) | row
    while seen[place] != mark:
        if (seen[place] >> 32) != turn:
            seen[place] = mark
            return True
        place = (place + 1) & mask
    return False


@compiled(ROWS, ROWS, MARKS, INT, INT, SCORE, SCORE)
def keep(scores, rows, is_done, count, width, score, row):
    """Put a candidate in its place among the best so far, of at most ``width``: their new count, and the place."""
    if count == width and score <= scores[count - 1]:
        return count, width
    low = min(count, width - 1)
    while low > 0 and scores[low - 1] < score:
        scores[low] = scores[low - 1]
        rows[low] = rows[low - 1]
        is_done[low] = is_done[low - 1]
        low -= 1
    scores[low] = score
    rows[low] = row
    is_done[low] = 0
    return min(count + 1, width), low


@compiled(CODES, INT, INT, LEVEL, ASKED, INT, ROWS, ROWS, MARKS, INT, INT, INT, ROOM, INT, ROOM)
def expand(codes, dim, stride, links, asked, width, scores, rows, is_done, mark, count, at, seen, turn, found):
    """Mark a candidate as done and put its neighbours among the candidates: how many there are now, the first place
    that changed or the next, and how many neighbours were new."""
    is_done[at] = mark
    base = np.int64(rows[at])
    if at + 1 < count:
        flat = np.int64(rows[at + 1]) * LINKS
        prefetch(links.reshape(-1), flat)
        prefetch(links.reshape(-1), flat + 16)
    new = 0
    for link in range(LINKS):
        row = np.int64(links[base, link])
        if row < 0:
            break
        if is_new(seen, turn, row):
            found[new] = row
            new += 1
            for part in range(0, dim, 64):
                prefetch(codes, row * stride * dim + part)
    first = at + 1
    for each in range(new):
        row = found[each]
        score = int_dot(codes, row * stride, asked, 0, dim)
        if count < width or score > scores[count - 1]:
            count, place = keep(scores, rows, is_done, count, width, score, np.int32(row))
            if place <= first:  # it is next: have its links ready
                first = place
                prefetch(links.reshape(-1), row * LINKS)
                prefetch(links.reshape(-1), row * LINKS + 16)
    return count, first, new


@compiled(CODES, INT, INT, LEVEL, ASKED, INT, ROWS, ROWS, MARKS, INT, ROOM, INT, ROOM)
def beam_search(codes, dim, stride, links, asked, width, scores, rows, is_done, count, seen, turn, found):
    """Search a level from the ``count`` candidates that there are: how many of the best ``width`` are there now.

    ``stride`` is the level's; ``rows`` and ``found`` hold numbers of the level.
    """
    room = len(seen) * 3 // 4 - LINKS
    at = 0
    while at < count and room > 0:
        if is_done[at]:
            at += 1
            continue
        count, at, new = expand(
            codes, dim, stride, links, asked, width, scores, rows, is_done, 1, count, at, seen, turn, found
        )
        room -= new
    return count


@compiled(INT)
def level_counts(count):
    """How many rows each level has, and the highest level that is used, which has few."""
    counts = np.empty(LEVELS, np.int64)
    top = 0
    for level in range(LEVELS):
        counts[level] = count
        if count > MAX_TOP and level + 1 < LEVELS:
            top = level + 1
        count = (count + STRIDE - 1) // STRIDE
    return counts, top


@compiled(CODES, INT, GRAPH, ASKED, INT, INT, ROWS, ROWS, MARKS, ROOM, INT, ROOM)
def descend(codes, dim, links, asked, total, lowest, scores, rows, is_done, seen, turn, found):
    """From the highest level of a graph of ``total`` rows down to ``lowest``: how many candidates its search begins at,
    and the last turn used."""
    counts, top = level_counts(total)
    stride = STRIDE**top
    count = 0
    for row in range(counts[top]):
        for part in range(0, dim, 64):
            prefetch(codes, row * stride * dim + part)
    for row in range(counts[top]):
        if links[top][row, 0] != TWIN:
            score = int_dot(codes, row * stride, asked, 0, dim)
            count, _ = keep(scores, rows, is_done, count, BEAM, score, np.int32(row))
    for at in range(count):
        is_new(seen, turn, np.int64(rows[at]))
    for level in range(top, lowest, -1):
        if level < top:
            count = beam_search(
                codes, dim, stride, links[level], asked, BEAM, scores, rows, is_done, count, seen, turn, found
            )
        count = min(count, STARTS)
        turn += 1
        stride //= STRIDE
        for at in range(count):
            rows[at] *= STRIDE
            is_done[at] = 0
            is_new(seen, turn, np.int64(rows[at]))
    return count, turn


@compiled(INT)
def scratch(width):
    """What a search of so many candidates works with."""
    size = 1024
    while size < 48 * width:
        size *= 2
    return (
        np.empty(width, np.int32),
        np.empty(width, np.int32),
        np.empty(width, np.uint8),
        np.zeros(size, np.int64),
        np.empty(LINKS, np.int64),
    )


@compiled()
def may_be_found(keys, row, allowed):
    """Whether a row is alive, and its key among the sorted ones that are allowed; all are where there are none."""
    if row >= len(keys) or keys[row] < 0:
        return False
    if not len(allowed):
        return True
    key, low, high = keys[row], 0, len(allowed)
    while low < high:
        middle = (low + high) >> 1
        if allowed[middle] < key:
            low = middle + 1
        else:
            high = middle
    return low < len(allowed) and allowed[low] == key


@compiled()
def rank(vectors, keys, queries, query, dim, rows, count, k, best_keys, best_scores):
    """The k best of ``count`` rows by their vectors: keys and scores, best first, equal ones by ascending key, padded
    with -1 and -inf."""
    for at in range(count):
        for part in range(0, dim, 64 // vectors.itemsize):
            prefetch(vectors, np.int64(rows[at]) * dim + part)
    for at in range(count):
        row, place = np.int64(rows[at]), min(at, k)
        score, key = float_dot(vectors, row, queries, query, dim), keys[row]
        while place > 0 and (
            best_scores[place - 1] < score or (best_scores[place - 1] == score and best_keys[place - 1] > key)
        ):
            if place < k:
                best_scores[place] = best_scores[place - 1]
                best_keys[place] = best_keys[place - 1]
            place -= 1
        if place < k:
            best_scores[place] = score
            best_keys[place] = key
    for at in range(count, k):
        best_scores[at] = -np.inf
        best_keys[at] = -1


@compiled()
def as_codes(queries, query, dim, asked):
    """A query as whole numbers."""
    for at in range(dim):
        asked[at] = np.int16(np.rint(queries[query * dim + at] * QUERY_SCALE))


@compiled()
def search(codes, vectors, dim, links, twins, keys, allowed, wanted, width, queries, k, best_keys, best_scores):
    """The k best of (q, dim) queries among the rows that :func:`may_be_found`, see :func:`rank`.

    Of at most ``width`` candidates the best one is expanded, again and again, until ``wanted`` rows that may be
    found are among those that are better than all others that are left. A query for which that is never so, as what is
    allowed lies elsewhere, finds nothing.
    """
    scores, rows, is_done, seen, found = scratch(max(width, BEAM))
    asked, passed = np.empty(dim, np.int16), np.empty(2 * width + MAX_TWINS, np.int32)
    room = len(seen) * 3 // 4 - LINKS
    turn = 0
    for query in range(len(best_keys)):
        as_codes(queries, query, dim, asked)
        count, turn = descend(codes, dim, links, asked, len(keys), 0, scores, rows, is_done, seen, turn + 1, found)
        at = better = looked = met = 0
        while at < count and better < wanted and met < room:
            if is_done[at]:
                better += is_done[at] - 1  # the rows of a candidate that may be found, its twins with it
                at += 1
                continue
            row, before, here = np.int64(rows[at]), looked, at
            if links[0][row, 0] == TWIN:  # the first of its twins brings it
                row = -1
            while row >= 0 and looked < len(passed):
                if may_be_found(keys, row, allowed):
                    passed[looked] = row
                    looked += 1
                row = np.int64(twins[row])
            mark = 1 + min(looked - before, 250)
            count, at, new = expand(
                codes, dim, 1, links[0], asked, width, scores, rows, is_done, mark, count, at, seen, turn, found
            )
            met += new
            if at > here:
                better += mark - 1
            else:
                better = 0
                for earlier in range(at):
                    better += is_done[earlier] - 1
        if len(allowed) and better < wanted:  # what is allowed lies elsewhere
            looked = 0
        rank(vectors, keys, queries, query, dim, passed, looked, k, best_keys[query], best_scores[query])


@compiled()
def search_cells(
    codes, vectors, dim, centres, rows, starts, keys, least_cells, least_rows, width, queries, k, best_keys, best_scores
):
    """The k best of (q, dim) queries among some rows, those of a cell one after the other from ``starts`` on: of the
    cells whose centres are nearest, at least so many and with at least so many rows. See :func:`rank`."""
    scores, best, is_done = np.empty(width, np.int32), np.empty(width, np.int32), np.empty(width, np.uint8)
    near = np.empty(len(starts) - 1, np.int32)
    asked = np.empty(dim, np.int16)
    for query in range(len(best_keys)):
        as_codes(queries, query, dim, asked)
        for cell in range(len(near)):
            near[cell] = int_dot(centres, cell, asked, 0, dim)
        count = looked = 0
        for tried in range(len(near)):
            if tried >= least_cells and looked >= least_rows:
                break
            cell = np.argmax(near)
            near[cell] = LOWEST
            for at in range(starts[cell], starts[cell + 1]):
                ahead = rows[min(at + AHEAD, len(rows) - 1)]
                for part in range(0, dim, 64):
                    prefetch(codes, ahead * dim + part)
                score = int_dot(codes, rows[at], asked, 0, dim)
                if (count < width or score > scores[count - 1]) and keys[rows[at]] >= 0:
                    count, _ = keep(scores, best, is_done, count, width, score, np.int32(rows[at]))
            looked += starts[cell + 1] - starts[cell]
        rank(vectors, keys, queries, query, dim, best, count, k, best_keys[query], best_scores[query])


@compiled(CODES, INT, INT, ROWS, ROWS, INT, ROWS)
def choose(codes, dim, stride, scores, rows, count, chosen):
    """HNSW's rule: of candidates by descending score, those nearer to the row than to any chosen one; the nearest of
    the others fill up. How many, at most :data:`LINKS`."""
    kept = 0
    for at in range(count):
        if kept == LINKS:
            return kept
        is_apart = True
        for other in range(kept):
            if int_dot(codes, np.int64(rows[at]) * stride, codes, np.int64(chosen[other]) * stride, dim) > scores[at]:
                is_apart = False
                break
        if is_apart:
            chosen[kept] = rows[at]
            kept += 1
    for at in range(count):
        if kept == LINKS:
            break
        is_chosen = False
        for other in range(kept):
            if chosen[other] == rows[at]:
                is_chosen = True
                break
        if not is_chosen:
            chosen[kept] = rows[at]
            kept += 1
    return kept


@compiled(CODES, INT, INT, LEVEL, INT, SCORE, ROWS, ROWS, MARKS, ROWS)
def link_back(codes, dim, stride, links, row, new, scores, rows, is_done, chosen):
    """Give a row a link to a new one; where it has no room, its links are chosen anew."""
    held = links[row]
    if held[0] == TWIN:
        return
    count = 0
    while count < LINKS and held[count] >= 0:
        if held[count] == new:
            return
        count += 1
    if count < LINKS:
        held[count] = new
        return
    count, _ = keep(scores, rows, is_done, 0, LINKS + 1, int_dot(codes, row * stride, codes, new * stride, dim), new)
    for at in range(LINKS):
        score = int_dot(codes, row * stride, codes, np.int64(held[at]) * stride, dim)
        count, _ = keep(scores, rows, is_done, count, LINKS + 1, score, held[at])
    kept = choose(codes, dim, stride, scores, rows, count, chosen)
    for at in range(LINKS):
        held[at] = chosen[at] if at < kept else -1


@compiled(CODES, INT, INT, INT, SCORE)
def is_twin(codes, dim, row, other, score):
    """Whether two rows whose product is ``score`` have the same codes."""
    return score == int_dot(codes, row, codes, row, dim) and score == int_dot(codes, other, codes, other, dim)


@compiled(GRAPH, ROWS, ROWS, INT, SCORE)
def join(links, twins, locks, row, other):
    """Make a row the twin of one that is linked."""
    links[0][row, 1] = other
    for level in range(LEVELS):
        if row % STRIDE**level == 0:
            links[level][row // STRIDE**level, 0] = TWIN
    lock = other % len(locks)
    while swap(locks, lock, 1):
        pass
    twins[row] = twins[other]
    twins[other] = row
    swap(locks, lock, 0)


@compiled()
def restore_twins(links, twins):
    """Find the twins of all rows by what their links say."""
    twins[:] = -1
    for row in range(len(twins)):
        if links[row, 0] == TWIN:
            other = links[row, 1]
            twins[row] = twins[other]
            twins[other] = row


@compiled()
def link(codes, links, twins, dim, first, last, width, locks):
    """Link rows ``first`` to ``last`` - 1 into a graph of the rows before them. Several threads may link others at the
    same time."""
    scores, rows, is_done, seen, found = scratch(width)
    back_scores, back_rows, back_done = (
        np.empty(LINKS + 1, np.int32),
        np.empty(LINKS + 1, np.int32),
        np.empty(LINKS + 1, np.uint8),
    )
    chosen, back_chosen, asked = np.empty(LINKS, np.int32), np.empty(LINKS, np.int32), np.empty(dim, np.int16)
    turn = 0
    for row in range(first, last):
        _, top = level_counts(row)
        own = 0
        while own < top and row % STRIDE ** (own + 1) == 0:
            own += 1
        if row == 0 or links[0][row, 0] == TWIN:  # a twin since an attempt that failed
            continue
        for at in range(dim):
            asked[at] = codes[row * dim + at]
        for level in range(own + 1):
            stride = STRIDE**level
            turn += 1
            count, turn = descend(codes, dim, links, asked, row, level, scores, rows, is_done, seen, turn, found)
            if level < top:
                count = beam_search(
                    codes, dim, stride, links[level], asked, width, scores, rows, is_done, count, seen, turn, found
                )
            else:
                count = 0
                for each in range((row + stride - 1) // stride):
                    if links[level][each, 0] != TWIN:
                        score = int_dot(codes, each * stride, codes, row, dim)
                        count, _ = keep(scores, rows, is_done, count, width, score, np.int32(each))
            here = np.int32(row // stride)
            others = 0
            for at in range(count):  # another thread may have linked this row already
                if rows[at] != here:
                    rows[others] = rows[at]
                    scores[others] = scores[at]
                    others += 1
            if level == 0 and others and is_twin(codes, dim, row, np.int64(rows[0]), scores[0]):
                join(links, twins, locks, row, rows[0])
                break
            kept = choose(codes, dim, stride, scores, rows, others, chosen)
            own_links = links[level][here]
            for at in range(LINKS):
                own_links[at] = chosen[at] if at < kept else -1
            for at in range(kept):
                other = np.int64(chosen[at])
                lock = (other * stride + level) % len(locks)
                while swap(locks, lock, 1):
                    pass
                link_back(codes, dim, stride, links[level], other, here, back_scores, back_rows, back_done, back_chosen)
                swap(locks, lock, 0)
