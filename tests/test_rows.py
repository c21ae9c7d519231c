"""How tests name the rows of ACCEPTANCE.md."""

from tests.rows import named_in, rows

COVERS = "covers" + ":"  # Apart, so that this file names no row itself.


def test_reads_rows_of_the_tables_only():
    text = "| row | feature |\n| --- | --- |\n| A1 | Orders (x) | seen |\ntext A2\n"
    assert rows(text) == {"A1": "Orders (x)"}


def test_a_docstring_names_several_rows_and_ranges():
    text = f'def test_a():\n    """It works. {COVERS} A37, L1-L3 R2\u20133.\n    """\n'
    assert [row for row, _ in named_in(text)] == ["A37", "L1", "L2", "L3", "R2", "R3"]
    assert {test for _, test in named_in(text)} == {"test_a"}


def test_a_comment_above_a_test_belongs_to_that_test():
    text = f"def test_a():\n    pass\n\n# {COVERS} A1\ndef test_b():\n    # {COVERS} A2\n    pass\n"
    assert list(named_in(text)) == [("A1", "test_b"), ("A2", "test_b")]
