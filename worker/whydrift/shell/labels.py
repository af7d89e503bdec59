"""Text from events as label values of metrics and alerts: short, UTF-8, without control characters, still distinct.

Belongs here: that one function. Not here: which labels there are (`metrics`, `sinks.alertmanager`).
"""

import hashlib
import re
from functools import lru_cache

LONGEST_LABEL = 200
_UNFIT = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff\ufffd]")
"""Control characters; halves of surrogate pairs, which UTF-8 cannot hold; and the sign for what could not be read, which
Prometheus stores and then refuses in every query ("invalid UTF-8 rune", seen with 2.42)."""
_STAND_IN = "?"


@lru_cache(maxsize=16_384)
def label_value(text: str) -> str:
    """`text` as a label: short, UTF-8, without control characters. What had to be changed gets a digest, to stay distinct."""
    clean = _UNFIT.sub(_STAND_IN, text[:LONGEST_LABEL])
    if clean == text:
        return text
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:12]
    return f"{clean[: LONGEST_LABEL - 15]}…#{digest}"


def plain_text(text: str, longest: int) -> str:
    """`text` without what UTF-8 cannot hold or a terminal would obey, cut to its beginning."""
    clean = _UNFIT.sub(" ", text)
    return clean if len(clean) <= longest else clean[: longest - 1] + "…"
