"""Pages, read as a browser reads them, and result directories for them."""

import collections
import html.parser
import json

import pyarrow.parquet as pq

HOSTILE = '"><script src="https://example.org/x.js"></script>'
CONFIGURATION = {
    "task": ["circle"],
    "depth": [5],
    "width": [100],
    "seekers": ["snip"],
    "densities": [0.1],
    "noise": [0.01],
    "seeds": [0, 1, 2],
    "strategy": "singleshot",
}
VOID = {"meta", "img", "br"}


class Page(html.parser.HTMLParser):
    """A page's elements and text; every element must be closed where it belongs."""

    def __init__(self, text):
        super().__init__()
        self.open, self.elements, self.texts = [], [], collections.defaultdict(list)
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open:
            self.texts[self.open[-1]].append(data)

    def all(self, tag):
        return [attributes for name, attributes in self.elements if name == tag]


def directory(path, table=None, configuration=CONFIGURATION, **manifest):
    (path / "parts").mkdir(parents=True)
    if configuration is not None:
        text = json.dumps({"configuration": configuration, **manifest})
        (path / "manifest.json").write_text(text)
    if table is not None:
        pq.write_table(table, path / "parts" / "a.parquet")
    return path
