"""What people wrote about their film, as tables: one annotated range a row."""
