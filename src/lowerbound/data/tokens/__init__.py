"""Texts as rows of tokens: characters, words, and the tokens of molecules."""
