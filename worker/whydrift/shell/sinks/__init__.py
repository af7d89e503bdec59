"""Where diagnoses go: one sink per file. A new sink is a new file here; the conformance test finds it by its place."""
