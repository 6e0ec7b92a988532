"""What is compared: folders of clips, which clip meets which, and the prompt they were made for."""

import itertools
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from worldpatch.config import UserError
from worldpatch.evals._folder import is_suites
from worldpatch.generate.preferences import Preference, Rival, rival

MANIFESTS = ("manifest.json", "manifest.jsonl")
Identity = tuple[str, str, str]
Key = frozenset[Identity]


@dataclass(frozen=True, kw_only=True)
class Scene:
    """One prompt, and by the names of the folders the clip that each has for it."""

    prompt: str
    clips: dict[str, Rival]


@dataclass(frozen=True, kw_only=True)
class Pair:
    """Two different clips of one prompt."""

    prompt: str
    first: Rival
    second: Rival

    @property
    def key(self) -> Key:
        return key((self.first, self.second))

    @property
    def names(self) -> frozenset[str]:
        return frozenset((self.first.model, self.second.model))


def identity(clip: Rival) -> Identity:
    """What makes a clip the same wherever it lies: the name it is rated under, its file name, its bytes."""
    return clip.model, Path(clip.path).name, clip.sha256


def key(clips: Iterable[Rival]) -> Key:
    """Which clips were compared, whichever side they were on."""
    return frozenset(map(identity, clips))


class Gallery:
    """Folders side by side. `notes` say what of them is not shown."""

    def __init__(self, folders: Sequence[Path], prompts: Path | None = None):
        """Raises UserError where fewer than two folders share a clip, a clip is damaged, lies outside its folder, or
        was made for another prompt than the clip it meets."""
        self.scenes = _scenes(dict(zip(_names(folders), folders, strict=True)), prompts)
        everything = [pair for scene in self.scenes for pair in _pairs(scene)]
        self.pairs = [pair for pair in everything if pair.first.sha256 != pair.second.sha256]
        self.keys = {pair.key for pair in self.pairs}
        self.clips = {identity(clip): clip for scene in self.scenes for clip in scene.clips.values()}
        self.notes: list[str] = []
        if alone := sum(len(scene.clips) == 1 for scene in self.scenes):
            self.notes.append(f"clips without a counterpart in another folder: {alone}")
        if same := len(everything) - len(self.pairs):
            self.notes.append(f"pairs that are the same file twice: {same}")
        if not self.pairs:
            raise UserError(
                f"no two of {', '.join(map(str, folders))} hold different clips that meet: give folders with the same "
                f"file names, or put a {MANIFESTS[0]} into each that maps file names to prompts"
            )

    def holds(self, preference: Preference) -> bool:
        """Whether a judgement is of a pair that lies here."""
        return key(preference.rivals) in self.keys


def _pairs(scene: Scene) -> Iterator[Pair]:
    for first, second in itertools.combinations(scene.clips.values(), 2):
        yield Pair(prompt=scene.prompt, first=first, second=second)


def _names(folders: Sequence[Path]) -> list[str]:
    """Each folder's own name, with as many of its parents as tell it from the others."""
    if len(folders) < 2:
        raise UserError(f"{len(folders)} folders cannot be compared: give two or more")
    parts = [folder.resolve().parts for folder in folders]
    if len(set(parts)) < len(parts):
        raise UserError(f"{', '.join(map(str, folders))}: one folder is named twice; give different ones")
    for depth in range(1, max(map(len, parts)) + 1):
        names = ["/".join(p[-depth:]) for p in parts]
        if len(set(names)) == len(names):
            return names
    raise AssertionError("different paths have different names")


def _scenes(folders: dict[str, Path], prompts: Path | None) -> list[Scene]:
    """Clips of one file name meet. Where every folder brings a manifest of its own, clips of one prompt do: of several,
    the first the first, and so on."""
    shared = read_manifest(prompts) if prompts else None
    own = {name: _own_manifest(folder) for name, folder in folders.items()}
    by_prompt = shared is None and all(manifest is not None for manifest in own.values())
    meetings: dict[tuple[str | None, int], dict[str, tuple[str | None, Rival]]] = {}
    for name, folder in folders.items():
        met: Counter[str | None] = Counter()
        for path in _files(folder):
            clip = rival(path, name)
            prompt = _prompt(path, clip, own[name] if shared is None else shared)
            subject = prompt if by_prompt else path.name
            meetings.setdefault((subject, met[subject]), {})[name] = prompt, clip
            met[subject] += 1
    return [_scene(clips) for clips in meetings.values()]


def _scene(clips: dict[str, tuple[str | None, Rival]]) -> Scene:
    path = Path(next(iter(clips.values()))[1].path)
    prompts = {prompt for prompt, _ in clips.values() if prompt is not None}
    if len(prompts) > 1:
        stated = " and ".join(map(repr, sorted(prompts)))
        raise UserError(
            f"the clips named {path.name} were made for different prompts ({stated}): compare clips of one prompt, or "
            "state it with --prompts"
        )
    words = path.stem.replace("-", " ").replace("_", " ")
    return Scene(prompt=next(iter(prompts), words), clips={name: clip for name, (_, clip) in clips.items()})


def _prompt(path: Path, clip: Rival, manifest: dict[str, str] | None) -> str | None:
    """What the manifest says, or else the clip's own recipe; None where nothing is known."""
    if manifest is None:
        params = (clip.request or {}).get("params")
        prompt = params.get("prompt") if isinstance(params, dict) else None
        return prompt if isinstance(prompt, str) else None
    if (prompt := manifest.get(path.name, manifest.get(path.stem))) is None:
        raise UserError(f"the manifest does not name {path}: add its prompt")
    return prompt


def _files(folder: Path) -> list[Path]:
    """The folder's clips by name. Raises UserError where there is none, or one is a link that leads out of it."""
    if not folder.is_dir():
        raise UserError(f"{folder} is no folder: give folders of MP4 clips")
    files = sorted(path for path in folder.iterdir() if path.suffix.lower() == ".mp4")
    if not files:
        raise UserError(f"{folder} holds no MP4 clips: give folders that do")
    for path in files:
        if not path.resolve().is_relative_to(folder.resolve()):
            raise UserError(f"{path} is a link that leads out of its folder: copy the file into it")
    return files


def _own_manifest(folder: Path) -> dict[str, str] | None:
    found = next((path for name in MANIFESTS if (path := folder / name).exists()), None)
    if found is None or is_suites(found):
        return None
    return read_manifest(found)


def read_manifest(path: Path) -> dict[str, str]:
    """File name -> prompt, from a JSON object of these, or from JSON Lines of {"clip": ..., "prompt": ...}."""
    try:
        text = path.read_text()
        rows = [json.loads(line) for line in text.splitlines() if line.strip()] if path.suffix == ".jsonl" else None
        table = {row["clip"]: row["prompt"] for row in rows} if rows is not None else json.loads(text)
        if not all(isinstance(word, str) and word.encode() for pair in table.items() for word in pair):
            raise TypeError
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}; give a manifest of prompts") from error
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise UserError(
            f'{path} is no manifest: a .json holds {{"clip.mp4": "prompt", ...}}, each line of a .jsonl '
            '{"clip": "clip.mp4", "prompt": "..."}'
        ) from error
    return table
