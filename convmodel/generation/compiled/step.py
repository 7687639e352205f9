"""One step of a decoder: in one call, several synchronised threads compute all layers for all new tokens.

The order of summation in a row depends on that row only. Its logits are therefore the same, bit for bit, whether the
row is computed alone or with others, and however its context was divided into steps.
"""

from typing import Any, NamedTuple, cast

import numba
import numpy as np
from llvmlite import binding

from convmodel.generation.compiled.vector_code import (
    TILE,
    Code,
    add_atomically,
    as_floats,
    float_of_bits,
    load_atomically,
    make_tile_product,
    yield_processor,
)

PRODUCT = ("i8", 3)
"""Addresses of a layer's weights in tiles, of their scales (int8 only) and of its biases; absent ones are 0."""

NORM = ("i8", 2)
"""Addresses of a norm's weights and biases; absent biases are 0."""

LAYER = np.dtype(
    [
        ("norm", *NORM),
        ("mixed", *PRODUCT),  # queries, keys and values
        ("out", *PRODUCT),
        ("inner_norm", *NORM),
        ("inner_in", *PRODUCT),
        ("inner_out", *PRODUCT),
        ("query_norm", "i8"),
        ("key_norm", "i8"),
        ("is_rotated", "i8"),
        ("window", "i8"),  # 0 for all tokens
        ("keys", "i8"),  # addresses in the cache
        ("values", "i8"),
        ("scale", "f8"),  # of attention scores
    ]
)

STORE, ADD, GELU, GATED_SILU = range(4)
"""Modes of writing a product: store it, add it to the target, store its GELU, or store the SiLU of one half of the
outputs times the other half."""

SPINS = 2_000
"""Number of times that a thread reads the counter in a busy loop at a barrier before it yields the processor."""

MOST = 6 if binding.get_host_cpu_features().get("avx512f") else 2
"""Maximum number of rows that are multiplied with a tile together, such that the sums fit in the vector registers."""


class Model(NamedTuple):
    """Parameters of a model, in the form that `run_step` reads.

    `norm` and `head` are the norm and the output layer after the last layer. `cosines` and `sines` (P, width / 2) have
    one row for each position. `inner_use` is GELU or GATED_SILU.
    """

    layers: Any
    norm: Any
    head: Any
    cosines: Any
    sines: Any
    eps: Any
    heads: int
    groups: int
    width: int
    is_rms: int
    is_int8: int
    inner_use: int


class RoundedRows(NamedTuple):
    """Memory for rows that are rounded to integers, and for their factors; see `round_rows`."""

    rounded: Any
    factors: Any


class Rows(NamedTuple):
    """Tokens of a step, and the working memory of the step.

    `places` (N, 2) are the slots and positions of the tokens. `wanted` (W,) are the rows whose logits are needed.
    `hidden` (N, D) are embeddings at first, and are overwritten. `logits` (W, V) is the result. `rounded` and `factors`
    are those of `RoundedRows`. Each slot and head of the cache has memory for `positions` tokens.
    """

    places: Any
    wanted: Any
    positions: int
    hidden: Any
    normed: Any
    mixed: Any
    attended: Any
    inner: Any
    rounded: Any
    factors: Any
    logits: Any


def jit(function: Code) -> Code:
    """Compile a function when it is first called, and keep the result on disk if any folder can be written."""
    options = {"nogil": True, "error_model": "numpy", "fastmath": {"contract", "reassoc", "nsz"}}
    try:
        return cast(Code, numba.njit(cache=True, **options)(function))
    except RuntimeError:  # numba finds no folder
        return cast(Code, numba.njit(**options)(function))


_int8 = [make_tile_product(rows, "int8") for rows in range(1, 7)]
_float = [make_tile_product(rows, "float32") for rows in range(1, 7)]
_int8_1, _int8_2, _int8_3, _int8_4, _int8_5, _int8_6 = _int8
_float_1, _float_2, _float_3, _float_4, _float_5, _float_6 = _float


@jit
def _multiply_int8(rows: int, x: int, weights: int, size: int, sums: int) -> None:
    if rows == 1:
        _int8_1(x, weights, size, sums)
    elif rows == 2:
        _int8_2(x, weights, size, sums)
    elif rows == 3:
        _int8_3(x, weights, size, sums)
    elif rows == 4:
        _int8_4(x, weights, size, sums)
    elif rows == 5:
        _int8_5(x, weights, size, sums)
    else:
        _int8_6(x, weights, size, sums)


@jit
def _multiply_float(rows: int, x: int, weights: int, size: int, sums: int) -> None:
    if rows == 1:
        _float_1(x, weights, size, sums)
    elif rows == 2:
        _float_2(x, weights, size, sums)
    elif rows == 3:
        _float_3(x, weights, size, sums)
    elif rows == 4:
        _float_4(x, weights, size, sums)
    elif rows == 5:
        _float_5(x, weights, size, sums)
    else:
        _float_6(x, weights, size, sums)


@jit
def _meet(threads: int, counter: int, arrivals: int) -> int:
    """Wait at a barrier until all threads have arrived, and return the new number of arrivals.

    `counter` is the address of the shared number, and `arrivals` was its value before any thread arrived here.
    """
    arrivals += threads
    add_atomically(counter, 1)
    spins = 0
    while load_atomically(counter) < arrivals:
        spins += 1
        if spins > SPINS:
            yield_processor()
    return arrivals


@jit
def exponential(x: Any) -> Any:
    """Return e**x for x up to 88, with a relative error of at most 2e-7 (polynomial of the Cephes library)."""
    x = max(x, np.float32(-87.0))
    n = np.floor(x * np.float32(1.44269504) + np.float32(0.5))
    r = x - n * np.float32(0.693359375) + n * np.float32(2.12194440e-4)
    p = np.float32(1.9875691500e-4)
    p = p * r + np.float32(1.3981999507e-3)
    p = p * r + np.float32(8.3334519073e-3)
    p = p * r + np.float32(4.1665795894e-2)
    p = p * r + np.float32(1.6666665459e-1)
    p = p * r + np.float32(5.0000001201e-1)
    p = p * r * r + r + np.float32(1.0)
    return p * float_of_bits(np.int32((np.int32(n) + np.int32(127)) << np.int32(23)))


@jit
def silu(x: Any) -> Any:
    """Return x times the logistic function of x."""
    return x / (np.float32(1.0) + exponential(min(-x, np.float32(87.0))))


@jit
def gelu(x: Any) -> Any:
    """Return the tanh approximation of GELU, computed with tanh(y) = 2 / (1 + exp(-2 y)) - 1."""
    y = np.float32(1.5957691216) * (x + np.float32(0.044715) * x * x * x)
    return x / (np.float32(1.0) + exponential(min(-y, np.float32(87.0))))


@jit
def normalize(x: Any, y: Any, weight: int, bias: int, is_rms: int, eps: Any) -> None:
    """Write the layer norm, or RMS norm, of x to y."""
    size = len(x)
    scale = numba.carray(as_floats(weight), size)
    mean = np.float32(0.0)
    if not is_rms:
        for i in range(size):
            mean += x[i]
        mean /= np.float32(size)
    total = np.float32(0.0)
    for i in range(size):
        total += (x[i] - mean) * (x[i] - mean)
    factor = np.float32(1.0) / np.sqrt(total / np.float32(size) + eps)
    for i in range(size):
        y[i] = (x[i] - mean) * factor * scale[i]
    if bias:
        shift = numba.carray(as_floats(bias), size)
        for i in range(size):
            y[i] += shift[i]


@jit
def round_rows(thread: int, threads: int, x: Any, count: int, rounded: Any, factors: Any) -> None:
    """Round a thread's share of the first `count` rows of x (N, size) to integers, with a factor for each row.

    The integers use as many bits as possible, at most 16, such that the sums of their products with int8 weights fit in
    32 bits. `rounded` is a flat int16 array; a row of odd size is followed by a 0. `factors` is (N,).
    """
    size = x.shape[1]
    width = size + size % 2
    largest = np.float32(min(32767, 0x7FFFFFFF // (127 * width)))
    for row in range(count * thread // threads, count * (thread + 1) // threads):
        values = x[row]
        peak = np.float32(1e-30)
        for i in range(size):
            peak = max(peak, abs(values[i]))
        factors[row] = peak / largest
        inverse = largest / peak
        target = rounded[row * width : (row + 1) * width]
        for i in range(size):
            target[i] = np.int16(np.rint(values[i] * inverse))
        if width > size:
            target[size] = 0


@jit
def _scale(sums: Any, count: int, tile: int, product: Any, factors: Any) -> None:
    """Multiply the sums (count, TILE) of a tile by the factors of rows and the scales of outputs, and add biases."""
    if product[1]:
        scales = numba.carray(as_floats(product[1] + 4 * TILE * tile), TILE)
        for row in range(count):
            for i in range(TILE):
                sums[row, i] *= factors[row] * scales[i]
    if product[2]:
        biases = numba.carray(as_floats(product[2] + 4 * TILE * tile), TILE)
        for row in range(count):
            for i in range(TILE):
                sums[row, i] += biases[i]


@jit
def _write(sums: Any, row: int, target: Any, use: int) -> None:
    """Write the outputs of a row from the sums (TILE,) of one tile, or of two tiles for GATED_SILU; see `STORE`."""
    for i in range(len(target)):
        total = sums[0, row, i]
        if use == STORE:
            target[i] = total
        elif use == ADD:
            target[i] += total
        elif use == GELU:
            target[i] = gelu(total)
        else:
            target[i] = silu(total) * sums[1, row, i]


@jit
def multiply(
    thread: int, threads: int, product: Any, x: Any, rows: Any, count: int, use: int, y: Any, sums: Any
) -> None:
    """Compute a thread's share of the outputs of a product for the first `count` rows.

    Args:
        thread, threads: index and number of threads.
        product: addresses; see `PRODUCT`.
        x: (N, size) values. For int8 weights, `rows.rounded` and `rows.factors` must hold the rounded values.
        rows: `Rows`.
        count: number of rows.
        use: see `STORE`.
        y: (N, O), the result.
        sums: (2, MOST, TILE) working memory.
    """
    outputs = y.shape[1]
    together = 2 if use == GATED_SILU else 1
    is_int8 = product[1] != 0
    size = (x.shape[1] + 1) // 2 if is_int8 else x.shape[1]  # in units of 4 bytes
    values = rows.rounded.ctypes.data if is_int8 else x.ctypes.data
    tile_size = TILE * size * (2 if is_int8 else 4)
    tiles = (outputs + TILE - 1) // TILE
    parts = (count + MOST - 1) // MOST
    for tile in range(tiles * thread // threads, tiles * (thread + 1) // threads):
        end = min(outputs, (tile + 1) * TILE)
        for part in range(parts):
            begin = count * part // parts
            size_of_part = count * (part + 1) // parts - begin
            address = values + 4 * begin * size
            for half in range(together):
                index = tile * together + half
                weights = product[0] + index * tile_size
                if is_int8:
                    _multiply_int8(size_of_part, address, weights, size, sums[half].ctypes.data)
                else:
                    _multiply_float(size_of_part, address, weights, size, sums[half].ctypes.data)
                _scale(sums[half], size_of_part, index, product, rows.factors[begin:])
            for row in range(size_of_part):
                _write(sums, row, y[begin + row, tile * TILE : end], use)


@jit
def rotate(x: Any, cosines: Any, sines: Any) -> None:
    """Rotate each pair of values x[i] and x[i + half] by its angle."""
    half = len(cosines)
    for i in range(half):
        first = x[i]
        second = x[i + half]
        x[i] = first * cosines[i] - second * sines[i]
        x[i + half] = second * cosines[i] + first * sines[i]


@jit
def _cached(address: int, model: Any, positions: int, slot: int, group: int, count: int) -> Any:
    """Return the first keys or values (count, width) of a head in a slot of the cache."""
    offset = (slot * model.groups + group) * positions * model.width
    return numba.carray(as_floats(address + 4 * offset), (count, model.width))


@jit
def _store(thread: int, threads: int, model: Any, layer: Any, rows: Any) -> None:
    """Normalize and rotate a thread's share of queries and keys, and write keys and values to the cache."""
    width = model.width
    heads = model.heads + model.groups
    items = len(rows.places) * (heads + model.groups)
    for item in range(items * thread // threads, items * (thread + 1) // threads):
        row = item // (heads + model.groups)
        head = item % (heads + model.groups)
        slot, position = rows.places[row]
        x = rows.mixed[row, head * width : (head + 1) * width]
        if head < heads:
            norm = layer.query_norm if head < model.heads else layer.key_norm
            if norm:
                normalize(x, x, norm, 0, 1, model.eps)
            if layer.is_rotated:
                rotate(x, model.cosines[position], model.sines[position])
        if head >= model.heads:
            address = layer.keys if head < heads else layer.values
            group = (head - model.heads) % model.groups
            _cached(address, model, rows.positions, slot, group, position + 1)[position] = x


@jit
def _attend(thread: int, threads: int, model: Any, layer: Any, rows: Any, scores: Any) -> None:
    """Compute a thread's share of the attention of all heads; `scores` (positions,) is working memory."""
    width = model.width
    items = len(rows.places) * model.heads
    for item in range(items * thread // threads, items * (thread + 1) // threads):
        row = item // model.heads
        head = item % model.heads
        slot, position = rows.places[row]
        group = head * model.groups // model.heads
        keys = _cached(layer.keys, model, rows.positions, slot, group, position + 1)
        values = _cached(layer.values, model, rows.positions, slot, group, position + 1)
        query = rows.mixed[row, head * width : (head + 1) * width]
        output = rows.attended[row, head * width : (head + 1) * width]
        start = max(0, position + 1 - layer.window) if layer.window else 0
        _weigh(query, keys, np.float32(layer.scale), start, scores)
        output[:] = np.float32(0.0)
        for j in range(start, position + 1):
            for i in range(width):
                output[i] += scores[j] * values[j, i]


@jit
def _weigh(query: Any, keys: Any, scale: Any, start: int, shares: Any) -> None:
    """Compute the softmax of the scores of the keys, beginning with key `start`, and write it to `shares`."""
    largest = np.float32(-np.inf)
    for j in range(start, len(keys)):
        total = np.float32(0.0)
        for i in range(len(query)):
            total += query[i] * keys[j, i]
        shares[j] = total * scale
        largest = max(largest, shares[j])
    total = np.float32(0.0)
    for j in range(start, len(keys)):
        shares[j] = exponential(shares[j] - largest)
        total += shares[j]
    for j in range(start, len(keys)):
        shares[j] /= total


@jit
def _normalize_rows(thread: int, threads: int, model: Any, norm: Any, rows: Any) -> None:
    """Normalize a thread's share of the hidden rows, and round them if the weights are int8."""
    count = len(rows.hidden)
    for row in range(count * thread // threads, count * (thread + 1) // threads):
        normalize(rows.hidden[row], rows.normed[row], norm[0], norm[1], model.is_rms, model.eps)
    if model.is_int8:
        round_rows(thread, threads, rows.normed, count, rows.rounded, rows.factors)


@jit
def _read_layer(
    thread: int, threads: int, counter: int, arrivals: int, model: Any, layer: Any, rows: Any, sums: Any, scores: Any
) -> int:
    """Compute a layer, and return the number of arrivals after it; see `_meet`."""
    count = len(rows.hidden)
    _normalize_rows(thread, threads, model, layer.norm, rows)
    arrivals = _meet(threads, counter, arrivals)
    multiply(thread, threads, layer.mixed, rows.normed, rows, count, STORE, rows.mixed, sums)
    arrivals = _meet(threads, counter, arrivals)
    _store(thread, threads, model, layer, rows)
    arrivals = _meet(threads, counter, arrivals)
    _attend(thread, threads, model, layer, rows, scores)
    arrivals = _meet(threads, counter, arrivals)
    if model.is_int8:
        round_rows(thread, threads, rows.attended, count, rows.rounded, rows.factors)
        arrivals = _meet(threads, counter, arrivals)
    multiply(thread, threads, layer.out, rows.attended, rows, count, ADD, rows.hidden, sums)
    arrivals = _meet(threads, counter, arrivals)
    _normalize_rows(thread, threads, model, layer.inner_norm, rows)
    arrivals = _meet(threads, counter, arrivals)
    multiply(thread, threads, layer.inner_in, rows.normed, rows, count, model.inner_use, rows.inner, sums)
    arrivals = _meet(threads, counter, arrivals)
    if model.is_int8:
        round_rows(thread, threads, rows.inner, count, rows.rounded, rows.factors)
        arrivals = _meet(threads, counter, arrivals)
    multiply(thread, threads, layer.inner_out, rows.inner, rows, count, ADD, rows.hidden, sums)
    arrivals = _meet(threads, counter, arrivals)
    return arrivals


@jit
def run_step(thread: int, threads: int, counter: int, model: Any, rows: Any) -> None:
    """Compute one thread's share of all layers; every thread calls this function with the same model and rows.

    Args:
        thread, threads: index and number of threads.
        counter: address of an int64, initially 0, that counts arrivals so that threads can wait for each other.
        model: a `Model`.
        rows: `Rows`.
    """
    sums = np.empty((2, MOST, TILE), np.float32)
    scores = np.empty(rows.positions, np.float32)
    arrivals = 0
    for layer in model.layers:
        arrivals = _read_layer(thread, threads, counter, arrivals, model, layer, rows, sums, scores)
    count = len(rows.wanted)
    for index in range(count * thread // threads, count * (thread + 1) // threads):
        row = rows.hidden[rows.wanted[index]]
        normalize(row, rows.normed[index], model.norm[0], model.norm[1], model.is_rms, model.eps)
    if model.is_int8:
        round_rows(thread, threads, rows.normed, count, rows.rounded, rows.factors)
    arrivals = _meet(threads, counter, arrivals)
    multiply(thread, threads, model.head, rows.normed, rows, count, STORE, rows.logits, sums)
    _meet(threads, counter, arrivals)


@jit
def compute_product(thread: int, threads: int, product: Any, x: Any, rows: Any, y: Any) -> None:
    """Compute a thread's share of the outputs y (N, O) of x (N, size); see `multiply`."""
    multiply(thread, threads, product, x, rows, len(x), STORE, y, np.empty((2, MOST, TILE), np.float32))
