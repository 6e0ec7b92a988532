"""The command line: reads flags, calls one function, and turns what goes wrong into one line.

Every command is a file here and imports what is heavy only when it runs, so that help is instant.
"""

import os
import sys
from collections.abc import Sequence
from typing import Annotated

import typer
from typer.core import TyperCommand, TyperGroup

from worldpatch import __version__
from worldpatch.cli import _verbs, character, data, doctor, evaluate, generate, pick, scale, serve, train, verify
from worldpatch.cli._listing import first_lines

BAD_INPUT, INTERRUPTED = 2, 130
ABILITIES, PLAIN = "generate/ops", "text_to_video"  # the latter is `generate`, which knows more
EXTRAS = {  # package -> the extra that brings it
    "mujoco": "worlds", "scipy": "eval", "matplotlib": "eval", "jinja2": "eval", "cv2": "data", "scenedetect": "data",
    "pyarrow": "data", "ray": "ray", "httpx2": "endpoint", "transformers": "hub", "peft": "hub",
    **dict.fromkeys(("fastapi", "uvicorn", "dbos", "sqlalchemy", "obstore", "sse_starlette"), "serve"),
    **dict.fromkeys(("c2pa", "cryptography", "prometheus_client"), "serve"),
}  # fmt: skip

UsageError: type[Exception] = typer.BadParameter.__bases__[0]  # typer exports its subclasses only


class Interrupted(Exception):
    """Ctrl-C, on its way past typer, which would lose the message."""


class Commands(TyperGroup):
    """The top-level group: lets Ctrl-C through with what it says, and has a command for every ability.

    Abilities are imported when they are run; until then their commands only have a name and a line of help.
    """

    def list_commands(self, ctx):
        return [*super().list_commands(ctx), *(name for name in first_lines(ABILITIES) if name != PLAIN)]

    def get_command(self, ctx, cmd_name):
        told = first_lines(ABILITIES).get(cmd_name, "").partition(": ")[2] if cmd_name != PLAIN else ""
        return TyperCommand(cmd_name, help=told) if told else super().get_command(ctx, cmd_name)

    def resolve_command(self, ctx, args):
        name, command, rest = super().resolve_command(ctx, args)
        known = super().get_command(ctx, name or "") is not None
        return (
            name,
            command if known or name is None else _verbs.command(name, generate.direct, generate.SAMPLING),
            rest,
        )

    def invoke(self, ctx):
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt as stop:
            raise Interrupted(str(stop) or "stopped") from stop


app = typer.Typer(
    cls=Commands, no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Each command explains itself with --help.",
)  # fmt: skip
for command in (generate.generate, pick.pick, train.train, verify.verify, doctor.doctor):
    app.command()(command)
app.add_typer(evaluate.app, name="eval")
app.add_typer(data.app, name="data")
app.add_typer(scale.app, name="scale")
app.add_typer(character.app, name="character")
app.add_typer(serve.server, name="serve")
app.add_typer(serve.app, name="keys")


def _version(asked: bool) -> bool:
    if asked:
        print(__version__)
        raise typer.Exit
    return asked


@app.callback()
def _top(
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Print it.")] = False,
) -> None:
    """A sentence becomes a video, by a model this project trained."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command line; returns the exit code: 0, 1 where some of many files failed or nothing was found, 2 for bad
    input, 130 for Ctrl-C.

    Bad input is a ValueError (UserError among them) or an OSError such as a full disk: one line says what it was. With
    WORLDPATCH_DEBUG=1 the traceback is shown instead.
    """
    try:
        return app(arguments, standalone_mode=False, prog_name="worldpatch") or 0
    except (Interrupted, KeyboardInterrupt) as stop:
        return _fail(str(stop) or "stopped", INTERRUPTED)
    except BrokenPipeError:  # whoever read our output has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except ModuleNotFoundError as error:
        if os.environ.get("WORLDPATCH_DEBUG") == "1" or error.name not in EXTRAS:
            raise
        return _fail(f"this needs {error.name}: pip install 'worldpatch[{EXTRAS[error.name]}]'", BAD_INPUT)
    except (ValueError, OSError, MemoryError, UsageError) as error:
        if os.environ.get("WORLDPATCH_DEBUG") == "1":
            raise
        return _fail(_one_line(error), BAD_INPUT)


def _one_line(error: Exception) -> str:
    if isinstance(error, UsageError):
        context = error.ctx  # type: ignore[attr-defined]
        where = f" (see `{context.command_path} --help`)" if context else ""
        return " ".join(error.format_message().split()) + where  # type: ignore[attr-defined]
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    return " ".join(str(error).split()) or type(error).__name__


def _fail(message: str, code: int) -> int:
    print(f"worldpatch: {message}", file=sys.stderr)
    return code
