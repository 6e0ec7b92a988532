"""The process that answers requests."""

import logging
import sys

import uvicorn

from worldpatch.serve import app
from worldpatch.serve.processes import follow
from worldpatch.serve.settings import Settings


def main(settings: Settings) -> None:
    """Answer until SIGTERM; what is being answered then is answered."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    uvicorn.run(
        app.make(settings), host=settings.host, port=settings.port, log_level="warning", access_log=False,
        timeout_graceful_shutdown=10, server_header=False,
    )  # fmt: skip


if __name__ == "__main__":
    follow()
    main(Settings.model_validate_json(sys.argv[1]))
