"""Packed patches -> velocity. One file per backbone; files with an underscore are shared pieces."""
