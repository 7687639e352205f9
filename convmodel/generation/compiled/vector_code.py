"""Build the innermost loops in LLVM's intermediate representation, as functions that numba's code can call.

Numba's own loops keep their sums in memory. Here they stay in vector registers, whichever a processor has: LLVM makes
of a vector of 16 numbers one of AVX-512, two of AVX2 or four of NEON.
"""

import os
from collections.abc import Callable
from typing import Any, cast

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

YIELD = "SwitchToThread" if os.name == "nt" else "sched_yield"

LANES = 16
TILE = 3 * LANES
"""Outputs that are computed together. It divides the layers of most models, and their halves."""

FLOAT = ir.FloatType()
INT8 = ir.IntType(8)
INT32 = ir.IntType(32)
INT64 = ir.IntType(64)
VECTOR = ir.VectorType(FLOAT, LANES)

Code = Callable[..., Any]


def make_tile_product(rows: int, weight_type: ir.Type) -> Code:
    """Return a function that multiplies some rows with the weights of one tile.

    Its arguments are integers: the address of (rows, size) fp32 values, the address of (size, TILE) weights, the size,
    and the address of the (rows, TILE) fp32 sums. Each sum goes over the values in their order, whatever `rows` is.
    """

    @intrinsic
    def multiply(context: Any, x: Any, weights: Any, size: Any, output: Any) -> Any:
        def generate(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> Any:
            x, weights, size, output = arguments
            _generate_product(builder, rows, weight_type, x, weights, size, output)
            return context.get_dummy_value()

        return types.void(*[types.int64] * 4), generate

    return cast(Code, multiply)


def _generate_product(
    builder: ir.IRBuilder, rows: int, weight_type: ir.Type, x: Any, weights: Any, size: Any, output: Any
) -> None:
    """Generate the loop over the values, with TILE sums for each row in vectors of LANES numbers."""
    fma_type = ir.FunctionType(VECTOR, [VECTOR] * 3)
    fma = cgutils.get_or_insert_function(builder.module, fma_type, f"llvm.fma.v{LANES}f32")
    starts = [_shifted(builder, x, builder.mul(size, INT64(4 * row)), FLOAT) for row in range(rows)]
    elements = _shifted(builder, weights, INT64(0), weight_type)
    before = builder.block
    loop = builder.append_basic_block("values")
    after = builder.append_basic_block("after")
    builder.branch(loop)
    builder.position_at_end(loop)
    index = builder.phi(INT64)
    index.add_incoming(INT64(0), before)
    sums = [[builder.phi(VECTOR) for _ in range(TILE // LANES)] for _ in range(rows)]
    first = builder.mul(index, INT64(TILE))
    columns = []
    for lane in range(0, TILE, LANES):
        pointer = builder.gep(elements, [builder.add(first, INT64(lane))])
        vector = builder.bitcast(pointer, ir.VectorType(weight_type, LANES).as_pointer())
        columns.append(_to_float(builder, builder.load(vector, align=1)))
    following = builder.add(index, INT64(1))
    index.add_incoming(following, loop)
    results = []
    for start, totals in zip(starts, sums, strict=True):
        value = _broadcast(builder, builder.load(builder.gep(start, [index])))
        results.append([builder.call(fma, [column, value, old]) for column, old in zip(columns, totals, strict=True)])
    for totals, new in zip(sums, results, strict=True):
        for total, result in zip(totals, new, strict=True):
            total.add_incoming(ir.Constant(VECTOR, [0.0] * LANES), before)
            total.add_incoming(result, loop)
    builder.cbranch(builder.icmp_signed("<", following, size), loop, after)
    builder.position_at_end(after)
    places = _shifted(builder, output, INT64(0), FLOAT)
    for place, result in enumerate(vector for row in results for vector in row):
        pointer = builder.gep(places, [INT64(place * LANES)])
        builder.store(result, builder.bitcast(pointer, VECTOR.as_pointer()), align=4)


def _shifted(builder: ir.IRBuilder, address: Any, offset: Any, element: ir.Type) -> Any:
    """Return a pointer to elements at an address and offset, in bytes."""
    return builder.inttoptr(builder.add(address, offset), element.as_pointer())


def _to_float(builder: ir.IRBuilder, column: Any) -> Any:
    if column.type.element is FLOAT:
        return column
    return builder.sitofp(builder.sext(column, ir.VectorType(INT32, LANES)), VECTOR)


def _broadcast(builder: ir.IRBuilder, value: Any) -> Any:
    undefined = ir.Constant(VECTOR, ir.Undefined)
    first = builder.insert_element(undefined, value, INT32(0))
    zeros = ir.Constant(ir.VectorType(INT32, LANES), [0] * LANES)
    return builder.shuffle_vector(first, undefined, zeros)


@intrinsic
def add_atomically(context: Any, address: Any, amount: Any) -> Any:
    """Add to the int64 at an address, and return its value before; all threads see it."""

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> Any:
        pointer = builder.inttoptr(arguments[0], INT64.as_pointer())
        return builder.atomic_rmw("add", pointer, arguments[1], "seq_cst")

    return types.int64(types.int64, types.int64), generate


@intrinsic
def load_atomically(context: Any, address: Any) -> Any:
    """Return the int64 at an address."""

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
    """Return the fp32 number that has the bits of an int32."""

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> Any:
        return builder.bitcast(arguments[0], FLOAT)

    return types.float32(types.int32), generate
