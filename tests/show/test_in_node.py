"""Where Node must be, tests that need it fail without it."""

import in_node
import pytest


def test_missing_node_is_no_skip_where_it_must_be(monkeypatch, tmp_path):
    """Control: elsewhere it is one, which says what to install."""
    monkeypatch.setattr(in_node, "NODE", None)
    monkeypatch.setenv("WALKIES_NODE", "required")
    with pytest.raises(AssertionError, match="node is not on the PATH"):
        in_node.in_node(tmp_path, (), "", None)
    monkeypatch.delenv("WALKIES_NODE")
    with pytest.raises(pytest.skip.Exception, match="apt-get install nodejs"):
        in_node.in_node(tmp_path, (), "", None)
