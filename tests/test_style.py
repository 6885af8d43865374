"""How the code reads, measured: syntax nodes a line, nested comprehensions, comments, words that name nothing."""

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

import losslab

ROOT = Path(losslab.__file__).parent
PARTICIPLES = {"made", "asked", "told", "said", "chosen"}
COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
TEMPLATE_COLUMNS = 200


def sources() -> list[tuple[Path, str]]:
    return [(path, path.read_text(encoding="utf-8")) for path in sorted(ROOT.rglob("*.py"))]


def is_docstring(node: ast.AST) -> bool:
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    )


def nodes(tree: ast.AST) -> Iterator[ast.AST]:
    """The syntax nodes of a file, docstrings and the contexts of names left out."""
    waiting = [tree]
    while waiting:
        node = waiting.pop()
        if not is_docstring(node) and not isinstance(node, ast.expr_context):
            yield node
            waiting += ast.iter_child_nodes(node)


def code_lines(text: str) -> int:
    """Lines that hold code; of docstrings, comments and blank lines none counts."""
    lines: set[int] = set()
    silent = (
        tokenize.COMMENT,
        tokenize.NL,
        tokenize.NEWLINE,
        tokenize.INDENT,
        tokenize.DEDENT,
        tokenize.ENDMARKER,
    )
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type not in silent:
            lines |= set(range(token.start[0], token.end[0] + 1))
    for node in ast.walk(ast.parse(text)):
        if is_docstring(node):
            lines -= set(range(node.lineno, (node.end_lineno or node.lineno) + 1))
    return len(lines)


def comments(text: str) -> int:
    """Comments that speak to a reader, not to a tool."""
    tokens = tokenize.generate_tokens(io.StringIO(text).readline)
    found = [token.string for token in tokens if token.type == tokenize.COMMENT]
    return sum(not re.match(r"#\s*(noqa|type:)", comment) for comment in found)


def nested_comprehensions(tree: ast.AST) -> int:
    """Comprehensions within others, and those over several sequences."""
    outer = [node for node in ast.walk(tree) if isinstance(node, COMPREHENSIONS)]
    inner = {
        id(node)
        for one in outer
        for node in ast.walk(one)
        if node is not one and isinstance(node, COMPREHENSIONS)
    }
    return len(inner) + sum(len(node.generators) > 1 for node in outer if id(node) not in inner)


def test_lines_hold_one_thought() -> None:
    texts = [text for _, text in sources()]
    total = sum(1 for text in texts for _ in nodes(ast.parse(text)))
    assert total / sum(map(code_lines, texts)) <= 6


def test_comprehensions_are_not_nested() -> None:
    texts = [text for _, text in sources()]
    nested = sum(nested_comprehensions(ast.parse(text)) for text in texts)
    assert 100 * nested / sum(map(code_lines, texts)) <= 0.1


def test_reasons_are_given() -> None:
    texts = [text for _, text in sources()]
    assert 100 * sum(map(comments, texts)) / sum(map(code_lines, texts)) >= 2


def test_no_variable_is_a_participle() -> None:
    named = []
    for path, text in sources():
        for node in ast.walk(ast.parse(text)):
            if (
                isinstance(node, ast.Name)
                and isinstance(node.ctx, ast.Store)
                and node.id in PARTICIPLES
            ):
                named.append(f"{path.relative_to(ROOT)}:{node.lineno} {node.id}")
            elif isinstance(node, ast.arg) and node.arg in PARTICIPLES:
                named.append(f"{path.relative_to(ROOT)}:{node.lineno} {node.arg}")
    assert named == []


def test_nothing_speaks_of_a_mission() -> None:
    paths = [
        path
        for path in ROOT.rglob("*")
        if path.suffix in {".py", ".jinja", ".toml", ".js", ".css"}
    ]
    word = re.compile(r"\b(mission|(?<!ignore\[)assignment)\b", re.IGNORECASE)
    assert [path for path in paths if word.search(path.read_text(encoding="utf-8"))] == []


def test_templates_hold_html() -> None:
    for path in ROOT.rglob("*.jinja"):
        text = path.read_text(encoding="utf-8")
        assert "namespace(" not in text, path
        assert max(map(len, text.splitlines()), default=0) < TEMPLATE_COLUMNS, path
