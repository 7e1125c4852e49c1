"""Layout grammars: each world's pages as functions of a generator and its materials."""
