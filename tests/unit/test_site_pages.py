"""Notebook cells become pages: links, folded plumbing, and outputs with words for those who do not see them."""

import nbformat

from nbhelpers.course import site


def page_of(*cells, tmp_path):
    path = tmp_path / "09_example.ipynb"
    nbformat.write(nbformat.v4.new_notebook(cells=list(cells)), path)
    return site.lesson_page(path, {"Colab": "https://colab.example/NAME"})


def code(source, *outputs):
    return nbformat.v4.new_code_cell(source, outputs=list(outputs))


def shown(data, metadata=None):
    return nbformat.v4.new_output("display_data", data=data, metadata=metadata or {})


TITLE = nbformat.v4.new_markdown_cell(
    '# 9. Title\n\nWho said\n"No."?\n\nAfter this lesson you can\n\n- see [4](04_lora.ipynb).'
)


def test_head_has_the_title_the_links_and_the_opening_as_description(tmp_path):
    page = page_of(TITLE, tmp_path=tmp_path)
    assert "description: \"Who said 'No.'?\"" in page
    assert page.index("# 9. Title") < page.index("Download the notebook") < page.index("Who said\n")
    assert "[Open in Colab](https://colab.example/09_example.ipynb)" in page
    assert "see [4](04_lora.md)" in page


def test_setup_and_settings_are_folded(tmp_path):
    cells = [code("try:\n    from nbhelpers import x"), code("# @markdown A number.\nn = 1"), code("train()")]
    page = page_of(TITLE, *cells, tmp_path=tmp_path)
    assert page.count("<details>") == 2
    assert "Code of the settings" in page
    assert page.index("n = 1") < page.rindex("</details>") < page.index("train()")


def test_outputs_keep_their_words(tmp_path):
    outputs = [
        nbformat.v4.new_output("stream", name="stdout", text="1 < 2\n"),
        shown({"image/png": "aWs=\n", "text/plain": "x"}, {"image/png": {"alt": 'a "b" <c>'}}),
        shown({"image/svg+xml": "<svg><title>d</title></svg>", "text/plain": "d"}),
        shown({"text/html": "<table><tr><th></th></tr></table>", "text/plain": "t"}),
        shown({"text/html": "<style>x</style>", "text/latex": "y", "text/plain": "def f(): ..."}),
        shown({"text/plain": "<Figure>"}),
    ]
    page = page_of(TITLE, code("f()", *outputs), tmp_path=tmp_path)
    assert "1 &lt; 2</pre>" in page
    assert '<img alt="a &quot;b&quot; &lt;c&gt;" src="data:image/png;base64,aWs=">' in page
    assert "<title>d</title>" in page
    assert "<th></th>" not in page  # a header without words
    assert "<style>" not in page
    assert "def f(): ..." in page
    assert "&lt;Figure&gt;" in page
