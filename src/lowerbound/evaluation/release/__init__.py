"""How useful a released table is, and what it reveals about the rows that it was made from."""
