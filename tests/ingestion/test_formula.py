"""Formulas of Office and of MathML in one line."""

import pytest
from lxml import etree

from ingestion.loaders.formula import linear


def office(xml: str) -> str:
    namespace = "http://schemas.openxmlformats.org/officeDocument/2006/math"
    return linear(etree.fromstring(f'<m:oMath xmlns:m="{namespace}">{xml}</m:oMath>'))


def part(name: str, text: str) -> str:
    return f"<m:{name}><m:r><m:rPr><m:sty/></m:rPr><m:t>{text}</m:t></m:r></m:{name}>" if text else f"<m:{name}/>"


def parts(**texts: str) -> str:
    return "".join(part(name, text) for name, text in texts.items())


@pytest.mark.parametrize(
    ("xml", "text"),
    [
        (f"<m:f><m:fPr/>{parts(num='a+b', den='c')}</m:f>", "(a+b)/c"),
        (f"<m:rad>{parts(deg='', e='x')}</m:rad>", "√(x)"),
        (f"<m:rad>{parts(deg='3', e='x')}</m:rad>", "3√(x)"),
        (f"<m:sSubSup>{parts(e='x', sub='i', sup='n+1')}</m:sSubSup>", "x_i^(n+1)"),
        (f"<m:nary><m:naryPr><m:chr m:val='∑'/></m:naryPr>{parts(sub='i=1', sup='n', e='i')}</m:nary>", "∑_(i=1)^ni"),
        (f"<m:nary>{parts(sub='', sup='', e='f')}</m:nary>", "∫f"),
        (f"<m:d>{part('e', 'x')}</m:d>", "(x)"),
        (f"<m:d><m:dPr><m:begChr m:val='['/><m:endChr m:val=''/></m:dPr>{part('e', 'x')}</m:d>", "[x"),
        (f"<m:func>{parts(fName='sin', e='x')}</m:func>", "sin x"),
        (f"<m:m><m:mr>{part('e', 'a') + part('e', 'b')}</m:mr><m:mr>{part('e', 'c')}</m:mr></m:m>", "a, b; c"),
    ],
)
def test_office(xml: str, text: str) -> None:
    assert office(xml) == text


@pytest.mark.parametrize(
    ("xml", "text"),
    [
        ("<mrow><mi>E</mi><mo>=</mo><mi>m</mi><msup><mi>c</mi><mn>2</mn></msup></mrow>", "E=mc^2"),
        ("<mfrac><mrow><mi>a</mi><mo>+</mo><mi>b</mi></mrow><mn>10</mn></mfrac>", "(a+b)/10"),
        ("<msqrt><mi>x</mi><mo>+</mo><mi>y</mi></msqrt>", "√(x+y)"),
        ("<mroot><mi>x</mi><mn>3</mn></mroot>", "3√(x)"),
        ("<munderover><mo>∑</mo><mi>i</mi><mi>n</mi></munderover><mi>f</mi><mo>\u2061</mo><mi>i</mi>", "∑_i^nfi"),
        ("<mtable><mtr><mtd>1</mtd><mtd>0</mtd></mtr><mtr><mtd>0</mtd><mtd>1</mtd></mtr></mtable>", "1, 0; 0, 1"),
        ("<semantics><mi>x</mi><annotation-xml><ci>y</ci></annotation-xml></semantics>", "x"),
        ("<msup><mi>odd</mi></msup>", "odd"),
    ],
)
def test_mathml(xml: str, text: str) -> None:
    assert linear(etree.fromstring(f"<math>{xml}</math>")) == text
