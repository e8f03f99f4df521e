"""Images as docker's archives have them, their layers laid over each other with no help of mkimg's."""

import hashlib
import json
import os
import tarfile

WHITEOUT, OPAQUE = ".wh.", ".wh..wh..opq"
KINDS = {
    tarfile.DIRTYPE: "dir",
    tarfile.SYMTYPE: "symlink",
    tarfile.CHRTYPE: "char",
    tarfile.BLKTYPE: "block",
    tarfile.FIFOTYPE: "fifo",
}


class Image:
    """The one image of an archive: its config, its history and its tree."""

    def __init__(self, archive):
        with tarfile.open(archive) as tar:
            manifest = json.load(tar.extractfile("manifest.json"))[0]
            document = json.load(tar.extractfile(manifest["Config"]))
            self.document = document
            self.config = {name: value for name, value in document.get("config", {}).items() if value}
            self.history = [history(step) for step in document.get("history", [])]
            self.layers = len(manifest["Layers"])
            tree = {}
            for layer in manifest["Layers"]:
                with tarfile.open(fileobj=tar.extractfile(layer)) as entries:
                    lay_over(tree, entries)
            self.tree = described(tree)


def history(step):
    """What of a step is to be compared."""
    return {name: step[name] for name in ("created_by", "comment", "empty_layer") if step.get(name)}


def lay_over(tree, entries):
    """Lays a layer over a tree of paths and nodes."""
    own = set()
    for entry in entries:
        path = os.path.normpath("/" + entry.name).lstrip("/")
        parent, name = os.path.split(path)
        if name == OPAQUE:
            remove_below(tree, parent, own)
        elif name.startswith(WHITEOUT):
            hidden = os.path.join(parent, name[len(WHITEOUT):])
            if hidden not in own:
                remove_below(tree, hidden, own)
                tree.pop(hidden, None)
        else:
            own.add(path)
            if entry.islnk():
                node = tree[os.path.normpath("/" + entry.linkname).lstrip("/")]
            else:
                node = Node(entry, entries)
            if node.kind != "dir":
                remove_below(tree, path, own)
            tree[path] = node


def remove_below(tree, directory, own):
    """Removes what lies below a directory and is not the layer's own."""
    below = directory + "/" if directory else ""
    for path in [path for path in tree if path.startswith(below) and path not in own and path != directory]:
        del tree[path]


class Node:
    """A file. Two paths with one node are hard links."""

    def __init__(self, entry, entries):
        self.kind = KINDS.get(entry.type, "file")
        words = [self.kind]
        if self.kind != "symlink":
            words.append(f"{entry.mode & 0o7777:o}")
        words.append(f"{entry.uid}:{entry.gid}")
        if self.kind == "file":
            content = entries.extractfile(entry).read()
            words += [str(len(content)), hashlib.sha256(content).hexdigest()[:16]]
        elif self.kind == "symlink":
            words.append(entry.linkname)
        elif self.kind in ("char", "block"):
            words.append(f"{entry.devmajor},{entry.devminor}")
        for name, value in sorted(entry.pax_headers.items()):
            if name.startswith("SCHILY.xattr."):
                words.append(f"{name[13:]}={value!r}")
        self.line = " ".join(words)


def described(tree):
    """A line for every path; hard links name the first of theirs."""
    first, lines = {}, {}
    for path in sorted(tree):
        node = tree[path]
        known = first.setdefault(id(node), path)
        lines[path] = node.line if known == path else f"{node.line} = {known}"
    lines.pop("", None)
    return lines
