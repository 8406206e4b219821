"""For the site alone: pages that lie elsewhere in the repository, and links to what is no page."""

import json
import pathlib
import re

from mkdocs.structure.files import File

ROOT = pathlib.Path(__file__).parents[2]
# Where else pages come from, and where the site has them.
PAGES = {
    "README.md": "index.md",
    "BUILD.md": "BUILD.md",
    "CHANGELOG.md": "CHANGELOG.md",
    "examples/quickstart.ipynb": "examples/quickstart.md",
    "examples/your_own_pruner.ipynb": "examples/your_own_pruner.md",
}
LINK = re.compile(r"(!?)\[([^\]]*)\]\(([^)#\s]+)(#[^)\s]*)?\)")


def on_files(files, config):
    """Add the pages from elsewhere."""
    for source, page in PAGES.items():
        path = ROOT / source
        text = _notebook(path) if path.suffix == ".ipynb" else path.read_text()
        files.append(File.generated(config, page, content=_relink(text, source, page)))
    return files


def on_page_markdown(markdown, page, **_):
    """Mend the links of the pages in docs/."""
    uri = page.file.src_uri
    return markdown if uri in PAGES.values() else _relink(markdown, f"docs/{uri}", uri)


def _relink(text: str, source: str, page: str) -> str:
    """Links as the site has them; of what is no page, the path is left."""

    def mend(match: re.Match) -> str:
        picture, words, target, anchor = match.groups()
        if "://" in target or target.startswith("data:"):
            return match[0]
        path = (ROOT / source).parent.joinpath(target).resolve()
        if not path.exists():
            raise FileNotFoundError(f"{source} links to {target}")
        name = path.relative_to(ROOT).as_posix()
        if name in PAGES:
            there = PAGES[name]
        elif name.startswith("docs/") and path.is_file():
            there = name.removeprefix("docs/")
        else:
            return f"{words} (`{name}`)" if name not in words else words
        link = f"[{words}]({'../' * page.count('/')}{there}{anchor or ''})"
        # A phone shows a wide picture small; by the link it is there in full.
        return f"[!{link}]{link.removeprefix(f'[{words}]')}" if picture else link

    # Code is no place for links.
    parts = re.split(r"(^```.*?^```$)", text, flags=re.DOTALL | re.MULTILINE)
    return "".join(part if i % 2 else LINK.sub(mend, part) for i, part in enumerate(parts))


def _notebook(path: pathlib.Path) -> str:
    """A notebook as Markdown, with the outputs that it was stored with."""
    parts = []
    for cell in json.loads(path.read_text())["cells"]:
        source = "".join(cell["source"])
        if cell["cell_type"] == "markdown":
            parts.append(source)
            continue
        parts.append(f"```python\n{source}\n```")
        for output in cell["outputs"]:
            if "text" in output:
                parts.append(f"```text\n{''.join(output['text'])}\n```")
            elif "image/png" in output["data"]:
                picture = "".join(output["data"]["image/png"]).replace("\n", "")
                parts.append(f"![figure](data:image/png;base64,{picture})")
    return "\n\n".join(parts)
