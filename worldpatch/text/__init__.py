"""Captions -> conditioning tokens. One file per encoder.

Each has `create(values, captions)` and `load(values, folder)`, which give an `Encoder`: a module with `config.width`,
`encode(prompts) -> (tokens "m d", lengths)` and `save(folder)`.

Beside them, `_writer.py` writes captions of clips and tells prompts more fully, and `_chat.py` asks an endpoint to.
"""
