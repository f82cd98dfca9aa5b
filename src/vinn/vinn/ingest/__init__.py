"""Raw video to demonstrations: lenses, decoding, structure from motion, the quality gate."""
