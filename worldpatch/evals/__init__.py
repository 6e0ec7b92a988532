"""How good is a generated video? Detectors that read pixels, metrics as small files, frozen suites of prompts."""
