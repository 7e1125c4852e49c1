"""A packed model behind HTTP: what a request may hold, which model answers it, and what is counted."""
