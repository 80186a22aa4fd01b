"""Private synthesis of tables from noisy tables of pairs, without a network."""
