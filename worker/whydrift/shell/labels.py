"""Text from events as label values of metrics and alerts: short, UTF-8, without control characters, still distinct.

Belongs here: that one function. Not here: which labels there are (`metrics`, `sinks.alertmanager`).
"""

import hashlib
import re
from functools import lru_cache

LONGEST_LABEL = 200
_UNFIT = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
"""Control characters, and halves of surrogate pairs, which UTF-8 cannot hold."""


@lru_cache(maxsize=16_384)
def label_value(text: str) -> str:
    """`text` as a label: short, UTF-8, without control characters. What had to be changed gets a digest, to stay distinct."""
    clean = _UNFIT.sub("�", text[:LONGEST_LABEL])
    if clean == text:
        return text
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:12]
    return f"{clean[: LONGEST_LABEL - 15]}…#{digest}"


def plain_text(text: str, longest: int) -> str:
    """`text` without what UTF-8 cannot hold or a terminal would obey, cut to its beginning."""
    clean = _UNFIT.sub(" ", text)
    return clean if len(clean) <= longest else clean[: longest - 1] + "…"
