"""Files as accidents leave them: torn, with a flipped bit, or of another shape; the same for the same seed."""

import copy
import json
import random

WRONG = (None, True, -1, 0, 2**60, 1e308, "", "x", "x\x1b[31m", [], [1], {}, {"x": 1})
"""What stands where something else belongs."""


def damaged(text: str, seed: int) -> bytes:
    """`text`, a file's content, after one accident; JSON is as often torn as of another shape."""
    rng = random.Random(seed)
    content = text.encode()
    try:
        tree = json.loads(text)
    except ValueError:
        tree = None
    if tree is not None and rng.random() < 0.7:
        return json.dumps(_reshaped(tree, rng)).encode()
    at = rng.randrange(len(content))
    kind = rng.choice(("torn", "flipped", "doubled", "empty", "binary"))
    flipped = content[:at] + bytes([content[at] ^ 1 << rng.randrange(8)]) + content[at + 1 :]
    return {
        "torn": content[:at],
        "flipped": flipped,
        "doubled": content + content[at:],
        "empty": b"",
        "binary": content[:at] + b"\x00\xff" + content[at:],
    }[kind]


def _reshaped(tree, rng):
    """The tree with one value replaced or gone."""
    tree = copy.deepcopy(tree)
    places = list(_places(tree))
    if not places:
        return rng.choice(WRONG)
    parent, key = rng.choice(places)
    if rng.random() < 0.3:
        del parent[key]
    else:
        parent[key] = rng.choice(WRONG)
    return tree


def _places(tree):
    """(parent, key) of every value in a tree."""
    keys = tree.keys() if isinstance(tree, dict) else range(len(tree)) if isinstance(tree, list) else ()
    for key in list(keys):
        yield tree, key
        yield from _places(tree[key])
