"""Models that generate replies or select them, and their folders and model cards."""
