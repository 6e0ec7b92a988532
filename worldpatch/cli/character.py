"""`worldpatch character`: pictures of subjects under names, for `likeness --subject @NAME` and for storyboards."""

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(no_args_is_help=True, help="Keep subjects under names, to be used in later prompts.")


@app.command()
def add(
    name: Annotated[str, typer.Argument(help="Small letters, digits, - and _.")],
    picture: Annotated[Path, typer.Argument(help="A picture or video that shows the subject.")],
    told: Annotated[str, typer.Option(help="How prompts call it, such as 'a red ball'.")] = "",
    frame: Annotated[int, typer.Option(min=0, help="Which frame of a video.")] = 0,
) -> None:
    """Save a character, in place of whatever had its name."""
    from worldpatch.generate import characters

    saved = characters.save(name, picture, told, frame)
    print(f"{characters.MARK}{saved.name}: {saved.picture}")


@app.command("list")
def list_() -> None:
    """Name the saved characters."""
    from worldpatch.generate import characters

    for character in characters.saved():
        print(f"{characters.MARK}{character.name}\t{character.told}\t{character.picture}")


@app.command()
def remove(name: Annotated[str, typer.Argument(help="As it was saved.")]) -> None:
    """Forget a character."""
    from worldpatch.generate import characters

    characters.remove(name)
