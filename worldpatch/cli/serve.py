"""`worldpatch serve` and `worldpatch keys`: the Videos API, and who may use it."""

from pathlib import Path
from typing import Annotated

import typer

HOME = Annotated[Path | None, typer.Option(help="Folder of the database and of what is made.  [default: out/serve]")]
DATABASE = Annotated[str | None, typer.Option(help="URL of a PostgreSQL database, for workers on several machines.")]


def serve(
    home: HOME = None,
    host: Annotated[str | None, typer.Option(help="Address to answer at.  [default: 127.0.0.1]")] = None,
    port: Annotated[int | None, typer.Option(help="[default: 8000]")] = None,
    model: Annotated[str | None, typer.Option(help="What sora-2 means here.  [default: tabletop]")] = None,
    workers: Annotated[int | None, typer.Option(help="Worker processes, one per device.  [default: 1]")] = None,
    database: DATABASE = None,
    objects: Annotated[str | None, typer.Option(help="Object store, such as s3://bucket.  [default: home]")] = None,
    log_format: Annotated[str | None, typer.Option(help="text or json, a line per event.  [default: text]")] = None,
    log_prompts: Annotated[bool | None, typer.Option(help="Let prompts into the log.")] = None,
    open_: Annotated[bool | None, typer.Option("--open", help="Answer without keys: on one's own desk.")] = None,
) -> None:
    """Speak OpenAI's Videos API: its clients work here unchanged.

    Every setting can be given as WORLDPATCH_NAME as well. Jobs outlive crashes and restarts.
    """
    from worldpatch.serve import logs, processes
    from worldpatch.serve.settings import from_environment

    settings = from_environment(
        home=home, host=host, port=port, model=model, workers=workers, database=database, objects=objects, open=open_,
        log_format=log_format, log_prompts=log_prompts,
    )  # fmt: skip
    logs.begin(settings, "serve")
    told = f"http://{settings.host}:{settings.port}"
    print(f"{told}/v1 speaks the Videos API; {told}/docs tells it")
    print(f"  export OPENAI_BASE_URL={told}/v1")
    if not settings.open:
        print(f"  export OPENAI_API_KEY={_first_key(settings) or '...  (worldpatch keys add NAME makes one)'}")
    processes.run(settings)


def _first_key(settings) -> str | None:
    """A key, where there is none yet: shown this once."""
    import sqlalchemy as sa

    from worldpatch.serve import keys, tables
    from worldpatch.serve.house import House

    with tables.writing(House(settings).engine) as connection:
        if connection.scalar(sa.select(sa.func.count()).select_from(tables.keys)):
            return None
        return keys.make(connection, "first")[1]


app = typer.Typer(no_args_is_help=True, help="API keys of `worldpatch serve`.")


@app.command()
def add(
    name: Annotated[str, typer.Argument(help="Whose it is.")],
    scope: Annotated[list[str] | None, typer.Option(help="videos, files, images, webhooks, metrics, admin.")] = None,
    seconds_a_day: Annotated[float | None, typer.Option(help="Of video that it may make.  [default: any]")] = None,
    requests_a_minute: Annotated[int | None, typer.Option(help="[default: any]")] = None,
    home: HOME = None,
    database: DATABASE = None,
) -> None:
    """Make a key; it is shown this once."""
    from worldpatch.serve import keys

    with _writing(home, database) as connection:
        limits = {"seconds_a_day": seconds_a_day, "requests_a_minute": requests_a_minute}
        id, secret = keys.make(connection, name, tuple(scope or keys.USUAL), **limits)
    print(f"{id}\n{secret}")


@app.command("list")
def list_(home: HOME = None, database: DATABASE = None) -> None:
    """Name the keys; none is shown."""
    from worldpatch.serve import keys

    with _writing(home, database) as connection:
        for row in keys.all_of(connection):
            state = "revoked" if row["revoked_at"] else ",".join(row["scopes"])
            print(f"{row['id']}\t...{row['hint']}\t{row['name']}\t{state}")


@app.command()
def revoke(
    id: Annotated[str, typer.Argument(help="As `keys list` names it.")], home: HOME = None, database: DATABASE = None
) -> None:
    """Make a key worthless at once."""
    from worldpatch.serve import keys

    with _writing(home, database) as connection:
        keys.revoke(connection, id)


def _writing(home: Path | None, database: str | None):
    from worldpatch.serve import tables
    from worldpatch.serve.house import House
    from worldpatch.serve.settings import from_environment

    return tables.writing(House(from_environment(home=home, database=database)).engine)
