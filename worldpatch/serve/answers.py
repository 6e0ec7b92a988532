"""The process that answers requests."""

import gc
import sys

import uvicorn

from worldpatch.serve import app, logs
from worldpatch.serve.processes import follow
from worldpatch.serve.settings import Settings

SWITCH = 0.0005  # seconds a thread keeps the interpreter: a query lets go of it, and waits to have it back
KEPT = 75  # seconds a silent connection stays open: longer than any client is told to wait between two polls
GRACE = 10  # seconds that requests have for ending, when the server ends


def main(settings: Settings) -> None:
    """Answer until SIGTERM; what is being answered then is answered, and streams of events end at once."""
    logs.begin(settings, "answers")
    sys.setswitchinterval(SWITCH)
    made = app.make(settings)
    made.state.house.ready()
    gc.freeze()  # half a million objects that stay: looking through them took a third of a second, while all waited
    uvicorn.run(
        made, host=settings.host, port=settings.port, log_config=None, access_log=False,
        timeout_graceful_shutdown=GRACE, timeout_keep_alive=KEPT, server_header=False,
    )  # fmt: skip


if __name__ == "__main__":
    main(follow())
