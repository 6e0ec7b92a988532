"""`worldpatch serve` and `worldpatch keys`: the Videos API, its models and backups, and who may use it."""

from pathlib import Path
from typing import Annotated

import typer

HOME = Annotated[Path | None, typer.Option(help="Folder of the database and of what is made.  [default: out/serve]")]
DATABASE = Annotated[str | None, typer.Option(help="URL of a PostgreSQL database, for workers on several machines.")]
OBJECTS = Annotated[str | None, typer.Option(help="Object store, such as s3://bucket.  [default: home]")]

server = typer.Typer()


@server.callback(invoke_without_command=True)
def serve(
    context: typer.Context,
    home: HOME = None,
    host: Annotated[str | None, typer.Option(help="Address to answer at.  [default: 127.0.0.1]")] = None,
    port: Annotated[int | None, typer.Option(help="[default: 8000]")] = None,
    model: Annotated[str | None, typer.Option(help="What sora-2 means here.  [default: tabletop]")] = None,
    workers: Annotated[int | None, typer.Option(help="Worker processes, one per device.  [default: 1]")] = None,
    database: DATABASE = None,
    objects: OBJECTS = None,
    log_format: Annotated[str | None, typer.Option(help="text or json, a line per event.  [default: text]")] = None,
    log_prompts: Annotated[bool | None, typer.Option(help="Let prompts into the log.")] = None,
    open_: Annotated[bool | None, typer.Option("--open", help="Answer without keys: on one's own desk.")] = None,
) -> None:
    """Speak OpenAI's Videos API: its clients work here unchanged.

    Every setting can be given as WORLDPATCH_NAME as well. Jobs outlive crashes and restarts.
    """
    if context.invoked_subcommand is not None:
        return
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


@server.command()
def backup(
    folder: Annotated[Path, typer.Argument(help="A new folder to copy to.")],
    home: HOME = None,
    database: DATABASE = None,
    objects: OBJECTS = None,
) -> None:
    """Copy the database and all that is kept, while the server runs."""
    from worldpatch.serve import backup as copies
    from worldpatch.serve.settings import from_environment

    count = copies.backup(from_environment(home=home, database=database, objects=objects), folder)
    print(f"copied the database and {count} files to {folder}")


@server.command()
def restore(
    folder: Annotated[Path, typer.Argument(help="That `serve backup` has made.")],
    home: HOME = None,
    database: DATABASE = None,
    objects: OBJECTS = None,
) -> None:
    """Put a backup into an empty home; videos under way then go on with the next start."""
    from worldpatch.serve import backup as copies
    from worldpatch.serve.settings import from_environment

    settings = from_environment(home=home, database=database, objects=objects)
    print(f"put the database and {copies.restore(settings, folder)} files into {settings.home}")


models = typer.Typer(no_args_is_help=True, help="Which weights are served, changed while servers run.")
server.add_typer(models, name="models")
NAME = Annotated[str, typer.Argument(help="As clients name it.")]


@models.command("list")
def list_models(home: HOME = None, database: DATABASE = None) -> None:
    """Name what is served; the first one is what sora-2 means."""
    house = _house(home, database)
    for name, folder in house.models.items():
        print(f"{name}\t{folder}")


@models.command("add")
def add_model(
    name: NAME,
    folder: Annotated[str, typer.Argument(help="Of a trained model, on every machine that has workers.")],
    home: HOME = None,
    database: DATABASE = None,
) -> None:
    """Serve a folder's weights under a name, in the place of those it had; videos under way keep those."""
    from worldpatch.serve import weights

    print(f"{name} means {weights.add(_house(home, database).engine, name, folder)} now")


@models.command("remove")
def remove_model(name: NAME, home: HOME = None, database: DATABASE = None) -> None:
    """Take no more requests for a name; videos under way are finished."""
    from worldpatch.serve import weights

    house = _house(home, database)
    weights.remove(house.engine, house.settings, name)


@models.command("default")
def default_model(name: NAME, home: HOME = None, database: DATABASE = None) -> None:
    """Let sora-2 mean a name, until told otherwise."""
    from worldpatch.serve import weights

    house = _house(home, database)
    weights.choose(house.engine, house.settings, name)


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

    return tables.writing(_house(home, database).engine)


def _house(home: Path | None, database: str | None):
    from worldpatch.serve.house import House
    from worldpatch.serve.settings import from_environment

    return House(from_environment(home=home, database=database))
