"""Parallel layers as data-flow graphs of rows, tables and quantizers: building, cost, pipelining, proof."""
