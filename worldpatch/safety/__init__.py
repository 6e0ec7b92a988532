"""What may be asked for and shown, and where a file came from: policy, watermark, provenance."""
