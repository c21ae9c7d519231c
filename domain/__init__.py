"""The business itself: events, commands and the pure rules that turn one into the other."""
