"""Families of columns: the groups of ``Mixed``, each of which is computed together.

A kind of column has the key of its family in ``COLUMN_FAMILIES``.
"""
