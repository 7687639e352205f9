"""Models that generate replies, models that select replies, and their folders and cards."""
