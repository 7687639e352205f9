"""Decoder steps on a CPU, compiled by numba for this machine."""
