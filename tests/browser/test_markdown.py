"""Markdown: what the model writes becomes a few kinds of elements, and nothing else."""

import pytest

from tests.browser.reader import Reader

RENDER = """
const { renderProse } = await import("/widget/prose.js");
const { h, morph } = await import("/widget/dom.js");
const render = (text, marks = [], writing = false) => {
  const box = h("div");
  box.append(renderProse(text, marks, { nameOf: (index) => `note ${index}`, writing }));
  box.normalize();
  return box;
};
// The markup without what every such element has; an address's button as <to ADDRESS>.
const markup = (box) => box.innerHTML.replaceAll(/ (dir="(auto|ltr)"|tabindex="0"|type="button")/g, "")
  .replaceAll(/<button class="address" data-url="([^"]*)">/g, "<to $1>").replaceAll("</button>", "</to>");
"""
CASES = [
    ("one\ntwo\n\nthree", "<p>one two</p><p>three</p>"),
    ("one  \ntwo\\\nthree", "<p>one<br>two<br>three</p>"),
    ("**b** and *i*, __b__ and _i_", "<p><strong>b</strong> and <em>i</em>, <strong>b</strong> and <em>i</em></p>"),
    ("***both***", "<p><strong><em>both</em></strong></p>"),
    ("snake_case_name 2 * 3 * 4 **open", "<p>snake_case_name 2 * 3 * 4 **open</p>"),
    ("`a*b*` and ``a`b`` and `open", "<p><code>a*b*</code> and <code>a`b</code> and `open</p>"),
    (r"\*not\* \\ \a", r"<p>*not* \ \a</p>"),
    ("- שלום\n- one", '<ul dir="rtl"><li><p>שלום</p></li><li><p>one</p></li></ul>'),
    ("> مرحبا", '<blockquote dir="rtl"><p>مرحبا</p></blockquote>'),
    ("# One\n### Two ##", "<h3>One</h3><h5>Two</h5>"),
    ("```sh\na < b\n\n  c\n```\nafter", "<pre><code>a &lt; b\n\n  c</code></pre><p>after</p>"),
    ("```\nstill open", "<pre><code>still open</code></pre>"),
    ("~~~~\n```\n~~~~", "<pre><code>```</code></pre>"),
    ("> quoted\n> on\n\nafter", "<blockquote><p>quoted on</p></blockquote><p>after</p>"),
    ("- a\n- b\n  more\n- c", "<ul><li><p>a</p></li><li><p>b more</p></li><li><p>c</p></li></ul>"),
    ("3. a\n4. b", '<ol start="3"><li><p>a</p></li><li><p>b</p></li></ol>'),
    ("1. a\n   - b\n2. d", "<ol><li><p>a</p><ul><li><p>b</p></li></ul></li><li><p>d</p></li></ol>"),
    ("  - a\n  - b", "<ul><li><p>a</p></li><li><p>b</p></li></ul>"),
    ("- a\n\n  b\n\nc", "<ul><li><p>a</p><p>b</p></li></ul><p>c</p>"),
    ("* a\n1. b", "<ul><li><p>a</p></li></ul><ol><li><p>b</p></li></ol>"),
    ("a\n---\nb", "<p>a</p><hr><p>b</p>"),
    ("| a | b |\n| c | d |", "<pre><code>| a | b |\n| c | d |</code></pre>"),
    (
        r"|a|*b*|" + "\n|:-|--:\n" + r"| c \| d |  | `e` | f" + "\n|g\nafter",
        (
            '<div class="table"><table><tr><th scope="col">a</th><th scope="col"><em>b</em></th></tr>'
            "<tr><td>c | d</td><td>| <code>e</code> | f</td></tr><tr><td>g</td></tr></table></div><p>after</p>"
        ),
    ),
    (f"{'|a' * 41}|\n{'|-' * 41}|", f"<pre><code>{'|a' * 41}|\n{'|-' * 41}|</code></pre>"),
    ("[label](https://a.example/x_(y))", "<p><to https://a.example/x_(y)>label</to></p>"),
    (
        "see https://a.example/b. (https://c.example)",
        "<p>see <to https://a.example/b>https://a.example/b</to>. (<to https://c.example>https://c.example</to>)</p>",
    ),
    ("<https://a.example>", "<p><to https://a.example>https://a.example</to></p>"),
    ("[x](javascript:alert(1))", "<p>[x](javascript:alert(1))</p>"),
    ("[x](data:text/html,y) [y](/local)", "<p>[x](data:text/html,y) [y](/local)</p>"),
    ("![alt](https://a.example/x.png)", '<p><span class="image">[image: alt]</span></p>'),
    ("![](x)", '<p><span class="image">[image]</span></p>'),
    ("<b>no</b> <img src=x onerror=y>", "<p>&lt;b&gt;no&lt;/b&gt; &lt;img src=x onerror=y&gt;</p>"),
    ("", ""),
]


@pytest.mark.parametrize(("text", "expected"), CASES)
async def test_markdown_becomes_elements(modules: Reader, text: str, expected: str) -> None:
    assert await modules.module("dom", RENDER + "return markup(render(value));", text) == expected


async def test_markers_stand_behind_their_sentences_in_any_markup(modules: Reader) -> None:
    text = "A **bold one.** Then `code.`\n\n- Item.\n\n```\nblock\n```\n\nLast [link](https://a.example).\n\n"
    text += "| a | b |\n|---|---|\n| c | d |\n| e | f |"
    sentences = ["A **bold one.**", "Then `code.`", "- Item.", "```\nblock\n```", "Last [link](https://a.example)."]
    sentences += ["| a | b |\n|---|---|", "| c | d |", "| e", "| f |"]
    marks = []
    for number, sentence in enumerate(sentences, 1):
        start = text.index(sentence)
        marks.append({"start": start, "end": start + len(sentence), "index": number, "verdict": "supported"})
    body = RENDER + "return render(value.text, value.marks).innerText ?? '';"
    body = body.replace(".innerText", ".textContent")
    shown = await modules.module("dom", body, {"text": text, "marks": marks})
    assert shown == "A bold one.1 Then code.2Item.3block4Last link.5ab6cd7e8f9"


async def test_every_leaf_knows_where_it_stands(modules: Reader) -> None:
    """Random texts: never an error, and each shown character is the one at its offset, in order."""
    body = """
    const { parseMarkdown } = m;
    let seed = 11;
    const random = (below) => (seed = (seed * 48271) % 2147483647) % below;
    const alphabet = ["a", "b", " ", "  ", "\\n", "\\n\\n", "*", "**", "_", "`", "```\\n", "> ", "- ", "1. ", "# ",
      "[", "]", "(", ")", "!", "\\\\", "https://a.b", "🎉", "|", "<", ">", "\\r\\n", "~~~", "|-|\\n"];
    const leaves = (nodes) => nodes.flatMap((node) => Array.isArray(node) ? leaves(node) : node.leaf ? [node.leaf]
      : leaves(node.inlines ?? node.nodes ?? node.blocks ?? node.items ?? []));
    const wrong = [];
    for (let round = 0; round < 3000; round += 1) {
      const text = Array.from({ length: random(40) }, () => alphabet[random(alphabet.length)]).join("");
      let last = -1;
      for (const { text: shown, at } of leaves(parseMarkdown(text))) {
        for (let position = 0; position < shown.length; position += 1) {
          const source = text[at[position]];
          const same = source === shown[position] || (/[\\r\\n]/.test(source) && /[ \\n]/.test(shown[position]));
          if (!same || at[position] <= last) wrong.push([text, shown]);
          last = at[position];
        }
      }
    }
    return wrong.slice(0, 3);
    """
    assert await modules.module("markdown-blocks", body) == []


async def test_growing_text_ends_as_the_whole_text(modules: Reader) -> None:
    text = "# T\n\nA *b* `c`.\n\n1. x\n   - y\n2. **z**\n\n```\ncode\n```\n> q\n\n| a | b |\n|---|-|\n| c | d |\n\n"
    text += "[l](https://a.example) end"
    marks = [{"start": 5, "end": 15, "index": 1, "verdict": "partial"}]
    body = (
        RENDER
        + """
    const grown = document.createElement("div");
    const different = [];
    for (let end = 0; end <= value.text.length; end += 1) {
      const marks = value.marks.filter((mark) => mark.end <= end);
      const whole = render(value.text.slice(0, end), marks, true);
      morph(grown, render(value.text.slice(0, end), marks, true));
      if (grown.innerHTML !== whole.innerHTML) different.push(end);
    }
    return different;
    """
    )
    assert await modules.module("dom", body, {"text": text, "marks": marks}) == []


@pytest.mark.parametrize(
    "piece",
    [
        "> ",
        "*a ",
        "**a ",
        "[",
        "`a ``b ",
        "- ",
        "[a](",
        "![",
        "_a*",
        "  - ",
        "https://a ",
        "|",
        "```",
        "<h",
        "|a|\n|-|\n",
    ],
)
async def test_hostile_repetition_is_read_quickly(modules: Reader, piece: str) -> None:
    body = "const begin = performance.now(); m.parseMarkdown(value); return performance.now() - begin;"
    assert await modules.module("markdown-blocks", body, piece * (20_000 // len(piece))) < 1_000
