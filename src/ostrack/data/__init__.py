"""Reading benchmarks and training sets: sequences, their storage, the readers; no model and no torch in here."""
