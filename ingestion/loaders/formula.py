"""Formula: equations as they are typed in one line, such as `x^2`, `(a+b)/c` and `√(x)`.

Read are MathML and the form in which office programs keep them (ECMA-376, part 1, 22.1), whose element names differ.
"""

from lxml import etree

_MARK = {"sup": "^", "sub": "_", "lim": "_"}  # of Office: an element for what is raised alone, after its base
_MARKS = {"msup": "^", "mover": "^", "msub": "_", "munder": "_", "mfrac": "/", "msubsup": "_^", "munderover": "_^"}
_BETWEEN = {"m": "; ", "eqArr": "; ", "mtable": "; ", "mr": ", ", "mtr": ", ", "func": " "}
_LEFT_OUT = ("Pr", "annotation", "annotation-xml")  # how it looks; the same in another notation
_INVISIBLE = dict.fromkeys(range(0x2061, 0x2065))  # “apply”, “times” and the like


def linear(formula: etree._Element) -> str:
    """The formula in one line."""
    return " ".join(_written(formula).translate(_INVISIBLE).split())


def _written(element: etree._Element) -> str:
    parts = [child for child in element if isinstance(child.tag, str) and not _name(child).endswith(_LEFT_OUT)]
    if not parts:
        return element.text or ""
    name, texts = _name(element), [_written(part) for part in parts]
    said = dict(zip(map(_name, parts), texts, strict=True))
    match name:
        case "sup" | "sub" | "lim":
            text = "".join(texts)
            return _MARK[name] + _grouped(text) if text else ""
        case "f":
            return f"{_grouped(said.get('num', ''))}/{_grouped(said.get('den', ''))}"
        case "rad":
            return f"{said.get('deg', '')}√({said.get('e', '')})"
        case "msqrt" | "mroot":
            degree = texts.pop() if name == "mroot" else ""
            return f"{degree}√({''.join(texts)})"
        case "nary":
            return _set(element, "chr", "∫") + "".join(texts)
        case "d":
            return (
                _set(element, "begChr", "(") + _set(element, "sepChr", "|").join(texts) + _set(element, "endChr", ")")
            )
    if len(marks := _MARKS.get(name, "")) == len(texts) - 1 and marks:
        base = _grouped(texts[0]) if name == "mfrac" else texts[0]
        return base + "".join(mark + _grouped(text) for mark, text in zip(marks, texts[1:], strict=True))
    return _BETWEEN.get(name, "").join(texts)


def _name(element: etree._Element) -> str:
    return str(element.tag).rpartition("}")[2]


def _set(element: etree._Element, what: str, otherwise: str) -> str:
    """A character that an element of Office sets in its properties."""
    found = next((one for one in element.iter("{*}" + what) if one.getparent().getparent() is element), None)
    return otherwise if found is None else next(iter(found.attrib.values()), "")


def _grouped(text: str) -> str:
    text = text.strip()
    return text if len(text) == 1 or text.isalnum() else f"({text})"
