"""Sets in other tools' shapes, a file per format: `write(folder, out)` exports, `read(source, out)` imports.

Both take `progress(done, total)`; what cannot be carried over is counted in the `Report` that they return. A folder
appears under its name only when whole.
"""
