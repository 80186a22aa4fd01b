"""Values that few people have, and how a released table is kept free of them."""
