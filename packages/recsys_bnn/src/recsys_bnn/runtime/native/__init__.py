"""Kernels of ours in C, compiled where they run: one call for a batch, from ids and integers to logits.

``src/engine.c`` holds the call and includes the others: ``inputs.h`` (codes and signs of a layer's inputs), ``f32.h``,
``ints.h`` and ``bits.h`` (products with float, 8-bit and 1-bit weights), ``tables.h`` and ``interaction.h``.
:mod:`recsys_bnn.compiled.build` compiles and loads them, ``kernels.py`` and ``tables.py`` bring a model's arrays into their order, ``probe.py`` finds out
which kernels are exact here and which is fastest for a layer, ``engine.py`` puts all together.

Each kernel counts in whole numbers and gives the same sums, so that the choice never changes a score. The plain loops,
the x86-64-v2 and v3 levels and the AVX2 kernels were run on AMD Zen 3. Those for AVX-512 (f32, VNNI, VPOPCNTDQ) and AMX
were compiled by gcc 12 and tried with emulated instructions (``tests/runtime/emulated.h``); on a processor that has
them they were not yet run, nor were the loops on Arm. An emulator of a whole machine (Bochs) gave exact sums for AVX-512,
and wrong ones for AMX, for a reason that is not known. ``probe.py`` leaves out a kernel whose sums are wrong.
"""
