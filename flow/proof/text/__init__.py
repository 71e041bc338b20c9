"""Proof that emitted parallel Verilog computes the data-flow graphs that it stands for, from its text alone.

``prove`` is the entry. ``syntax``, ``parser`` and ``preprocess`` read Verilog; ``elaborate`` gives nets and drivers;
``bdd``, ``space`` and ``sums`` hold exact Boolean and affine functions; ``machine`` evaluates expressions by Verilog's
rules; ``cells`` and ``rows`` know what instances compute; ``nodes``, ``layer``, ``argmax`` and ``top`` compare.
"""
