"""Event tables: one history of events for each entity."""
