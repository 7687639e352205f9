"""Build the innermost loops in LLVM's intermediate representation, as functions that numba's code can call.

Numba's own loops keep their sums in memory. The loops built here keep them in the vector registers of any processor:
LLVM represents a vector of 16 fp32 numbers by one register of AVX-512, two of AVX2, or four of NEON.
"""

import os
from collections.abc import Callable, Iterable
from typing import Any, Literal, cast

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

YIELD = "SwitchToThread" if os.name == "nt" else "sched_yield"

LANES = 16
TILE = 3 * LANES
"""Number of outputs that are computed together. It divides the widths of most models' layers, and half the widths."""

FLOAT = ir.FloatType()
INT32 = ir.IntType(32)
INT64 = ir.IntType(64)
VECTOR = ir.VectorType(FLOAT, LANES)

Code = Callable[..., Any]

Kind = Literal["float32", "int8"]
"""Types of weights."""


def make_tile_product(rows: int, kind: Kind) -> Code:
    """Return a function that multiplies some rows with the weights of one tile.

    Its arguments are integers: the address of the rows, the address of the weights, the number of values of a row, and
    the address of the (rows, TILE) fp32 sums.

    - "float32": rows (rows, size) and weights (size, TILE) are fp32. Each sum adds the products in order of the index.
    - "int8": rows are (rows, size, 2) int16 and weights (size, TILE, 2) int8. The sums are exact; their absolute values
      must stay below 2**31. Processors multiply and add such pairs in one instruction.
    """

    @intrinsic
    def multiply(context: Any, x: Any, weights: Any, size: Any, output: Any) -> Any:
        def generate(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> Any:
            _generate_product(builder, rows, _KINDS[kind], *arguments)
            return context.get_dummy_value()

        return types.void(*[types.int64] * 4), generate

    return cast(Code, multiply)


def _generate_product(
    builder: ir.IRBuilder, rows: int, kind: "type[_Float] | type[_Int8]", x: Any, weights: Any, size: Any, output: Any
) -> None:
    """Generate the loop over the values, with TILE sums for each row in vectors of LANES numbers."""
    starts = [_shifted(builder, x, builder.mul(size, INT64(4 * row)), kind.value) for row in range(rows)]
    elements = _shifted(builder, weights, INT64(0), kind.column)
    before = builder.block
    loop = builder.append_basic_block("values")
    after = builder.append_basic_block("after")
    builder.branch(loop)
    builder.position_at_end(loop)
    index = builder.phi(INT64)
    index.add_incoming(INT64(0), before)
    sums = [[builder.phi(kind.sums) for _ in range(TILE // LANES)] for _ in range(rows)]
    first = builder.mul(index, INT64(TILE // LANES))
    columns = []
    for part in range(TILE // LANES):
        pointer = builder.gep(elements, [builder.add(first, INT64(part))])
        columns.append(kind.widen(builder, builder.load(pointer, align=1)))
    following = builder.add(index, INT64(1))
    index.add_incoming(following, loop)
    results = []
    for start, totals in zip(starts, sums, strict=True):
        value = _broadcast(builder, builder.load(builder.gep(start, [index]), align=4))
        results.append([kind.add(builder, column, value, old) for column, old in zip(columns, totals, strict=True)])
    for totals, new in zip(sums, results, strict=True):
        for total, result in zip(totals, new, strict=True):
            total.add_incoming(ir.Constant(kind.sums, [0] * LANES), before)
            total.add_incoming(result, loop)
    builder.cbranch(builder.icmp_signed("<", following, size), loop, after)
    builder.position_at_end(after)
    places = _shifted(builder, output, INT64(0), VECTOR)
    for place, result in enumerate(vector for row in results for vector in row):
        builder.store(kind.to_float(builder, result), builder.gep(places, [INT64(place)]), align=4)


class _Float:
    """Code for products of fp32 numbers."""

    value = FLOAT
    column = VECTOR
    sums = VECTOR

    @staticmethod
    def widen(builder: ir.IRBuilder, column: Any) -> Any:
        return column

    @staticmethod
    def add(builder: ir.IRBuilder, column: Any, value: Any, total: Any) -> Any:
        fma_type = ir.FunctionType(VECTOR, [VECTOR] * 3)
        fma = cgutils.get_or_insert_function(builder.module, fma_type, f"llvm.fma.v{LANES}f32")
        return builder.call(fma, [column, value, total])

    @staticmethod
    def to_float(builder: ir.IRBuilder, result: Any) -> Any:
        return result


class _Int8:
    """Code for products of pairs of int16 and int8 numbers, compiled by LLVM to one instruction (pmaddwd, vpdpwssd)."""

    value = INT32
    column = ir.VectorType(ir.IntType(8), 2 * LANES)
    sums = ir.VectorType(INT32, LANES)

    @staticmethod
    def widen(builder: ir.IRBuilder, column: Any) -> Any:
        return builder.sext(column, ir.VectorType(ir.IntType(16), 2 * LANES))

    @classmethod
    def add(cls, builder: ir.IRBuilder, column: Any, value: Any, total: Any) -> Any:
        wide = ir.VectorType(INT32, 2 * LANES)
        pairs = builder.bitcast(value, ir.VectorType(ir.IntType(16), 2 * LANES))
        products = builder.mul(builder.sext(column, wide), builder.sext(pairs, wide))
        halves = [
            builder.shuffle_vector(products, ir.Constant(wide, ir.Undefined), _indices(range(half, 2 * LANES, 2)))
            for half in range(2)
        ]
        return builder.add(total, builder.add(*halves))

    @staticmethod
    def to_float(builder: ir.IRBuilder, result: Any) -> Any:
        return builder.sitofp(result, VECTOR)


_KINDS: dict[Kind, type[_Float] | type[_Int8]] = {"float32": _Float, "int8": _Int8}


def _shifted(builder: ir.IRBuilder, address: Any, offset: Any, element: ir.Type) -> Any:
    """Return a pointer to elements at an address plus an offset in bytes."""
    return builder.inttoptr(builder.add(address, offset), element.as_pointer())


def _broadcast(builder: ir.IRBuilder, value: Any) -> Any:
    vector = ir.VectorType(value.type, LANES)
    undefined = ir.Constant(vector, ir.Undefined)
    first = builder.insert_element(undefined, value, INT32(0))
    return builder.shuffle_vector(first, undefined, _indices([0] * LANES))


def _indices(values: Iterable[int]) -> Any:
    indices = list(values)
    return ir.Constant(ir.VectorType(INT32, len(indices)), indices)


@intrinsic
def add_atomically(context: Any, address: Any, amount: Any) -> Any:
    """Add to the int64 at an address, visibly to all threads, and return its previous value."""

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> Any:
        pointer = builder.inttoptr(arguments[0], INT64.as_pointer())
        return builder.atomic_rmw("add", pointer, arguments[1], "seq_cst")

    return types.int64(types.int64, types.int64), generate


@intrinsic
def load_atomically(context: Any, address: Any) -> Any:
    """Return the int64 at an address, as last written by any thread."""

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> Any:
        return builder.load_atomic(builder.inttoptr(arguments[0], INT64.as_pointer()), "seq_cst", 8)

    return types.int64(types.int64), generate


@intrinsic
def yield_processor(context: Any) -> Any:
    """Let another thread run on this processor."""

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> Any:
        function = ir.FunctionType(INT32, [])
        builder.call(cgutils.get_or_insert_function(builder.module, function, YIELD), [])
        return context.get_dummy_value()

    return types.void(), generate


@intrinsic
def as_floats(context: Any, address: Any) -> Any:
    """Return an address as a pointer to fp32 values, which `numba.carray` turns into an array."""

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> Any:
        return builder.inttoptr(arguments[0], FLOAT.as_pointer())

    return types.CPointer(types.float32)(types.int64), generate


@intrinsic
def float_of_bits(context: Any, bits: Any) -> Any:
    """Reinterpret the bits of an int32 as an fp32 number."""

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> Any:
        return builder.bitcast(arguments[0], FLOAT)

    return types.float32(types.int32), generate
