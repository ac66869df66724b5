"""IEC 62056-21 ("D0"): meters that say their values as lines of text, by themselves or when they are asked."""
