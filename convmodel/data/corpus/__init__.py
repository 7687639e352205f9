"""Conversations from public dumps (Reddit, OpenSubtitles), by steps that any number of processes can share."""
