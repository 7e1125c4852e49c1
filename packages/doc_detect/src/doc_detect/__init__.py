"""Find illustrations, initials, tables and stamps in scanned pages, trained on synthetic pages."""
