"""Tests, their builders and the benchmarks; nothing ships them."""
