"""C that is compiled where it runs and called through ctypes, so that other Python threads run meanwhile.

``build.py`` compiles and loads a library, ``rows.py`` holds the calls that read raw rows. The engine of packed models is
:mod:`recsys_bnn.runtime.native`.
"""
