"""What this topic tells in reports: its questions, how rows answer them, and its text."""
