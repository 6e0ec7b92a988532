"""The process that answers requests."""

import uvicorn

from worldpatch.serve import app, logs
from worldpatch.serve.processes import follow
from worldpatch.serve.settings import Settings

GRACE = 10  # seconds that requests have for ending, when the server ends


def main(settings: Settings) -> None:
    """Answer until SIGTERM; what is being answered then is answered, and streams of events end at once."""
    logs.begin(settings, "answers")
    made = app.make(settings)
    made.state.house.ready()
    uvicorn.run(
        made, host=settings.host, port=settings.port, log_config=None, access_log=False,
        timeout_graceful_shutdown=GRACE, server_header=False,
    )  # fmt: skip


if __name__ == "__main__":
    main(follow())
