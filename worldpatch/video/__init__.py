"""Files to frames and back: probing, decoding, resizing, encoding and contact sheets. No network lives here.

Frames are uint8 "t h w 3" in sRGB everywhere; one frame is an image. Start with `read.read` and `write.write`.
"""
