"""What the measurement means: objectives, confidence, the verdict. Pure; imports nothing but ``measure``."""
