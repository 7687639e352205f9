"""Steps of decoders on a CPU that numba compiles for this machine."""
