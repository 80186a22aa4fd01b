"""Maps of codes and the networks around them."""
