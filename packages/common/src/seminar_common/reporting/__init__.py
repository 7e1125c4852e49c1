"""What reports are made of: stories of topics, answers in sentences, text in Markdown, plots, and the two forms."""
