"""What may be made, and what is known of it afterwards: policy, watermark and content credentials. No video is decoded
here: frames and paths come in."""
