"""Hostile and damaged files for the real command lines: generators that know the formats, and a judge.

``mutate`` bends good content, ``scenes`` makes files and the command that reads them, ``worker`` runs it, ``judge``
watches the workers and says what is wrong with an outcome. Everything follows from a seed.
"""
