"""A result of the suite `qa:`, made up."""

from typing import Any

HOSTILE = "<script>alert(1)</script><img src='http://127.0.0.1:9/x'>"


def answers(effect: float) -> dict[str, Any]:
    """Sixty answers whose token F1 is moved by `effect`, with texts that would like to be markup."""
    per_query = {
        f"q{i}": {
            "question": f"Question {i} {HOSTILE}",
            "gold": [f"gold {i} {HOSTILE}"],
            "answerable": True,
            "answer": f"Nothing rests on this. {HOSTILE}",
            "refused": i == 1,
            "failure": f"gone {HOSTILE}" if i == 2 else None,
            "sentences": [{"text": "Nothing rests on this.", "verdict": "unsupported", "score": 0.1, "quote": HOSTILE}],
            "passages": [{"title": HOSTILE, "uri": "file:///a.md", "text": HOSTILE * 3}],
            "token_f1": 0.4 + i / 150 + (effect + i / 1000 if effect else 0),
            "citation_recall": None if i % 3 else 1.0,
            "ms": 100.0 + i,
        }
        for i in range(60)
    }
    return {
        "suite": "qa:made-up",
        "fingerprint": "f",
        "leg": "scripted",
        "corpus": {"documents": 3, "fingerprint": "c"},
        "queries": 60,
        "failed": 1,
        "metrics": {"token_f1": 0.6 + effect, "citation_recall": 1.0, "ms": 129.5},
        "settings": {"chat_model": "b" if effect else "a"},
        "per_query": per_query,
    }
