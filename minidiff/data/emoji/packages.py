"""The npm packages that emoji come from: which, at which version, with which hash.

What it is not: how they are fetched (data/npm.py), a reader of what the files say (`concepts`) or a drawer of them (`images`).
"""

from __future__ import annotations

from minidiff.data.npm import NpmError, Package


class EmojiError(NpmError):
    """Emoji cannot be prepared; the message says why and what to do."""


NAMES = Package(
    "cldr-annotations-full", "48.2.0",
    "DV7A+rEcgUSNTRsVGNGqBZRmAkGfwhGHO5Q1dRwzBoBnVrHWp804JP7/QJdEc66iHmx3+zLWVIMCFLm0lW7PUQ==",
    "Unicode-3.0", "Unicode, Inc.",
)  # fmt: skip
DERIVED_NAMES = Package(
    "cldr-annotations-derived-full", "48.2.0",
    "log62km+AOzI7n/NEuNNFV0mg9DWnt67EYCh1RwxZq9dyRuyteB586LT83Ke8TchEfnwI9cIk2P31zO4nTvZmw==",
    "Unicode-3.0", "Unicode, Inc.",
)  # fmt: skip
GROUPS = Package(
    "emojibase-data", "17.0.0",
    "Yvgb5AWoHViHV/gq1qr5ZAarcBip+B27/ZLRsUJkbgAEaLlZ/fof9g882LTpmEpyhBNEC0m2SEmItljHsTygjA==",
    "MIT", "Miles Johnson",
)  # fmt: skip
TWEMOJI = Package(
    "@twemoji/svg", "15.0.0",
    "ZSPef2B6nBaYnfgdTbAy4jgW95o7pi2xPGwGCU+WMTxo7J6B1lMPTWwSq/wTuiMq+N0khQ90CcvYp1wFoQpo/w==",
    "CC-BY-4.0", "Twitter, Inc and other contributors",
)  # fmt: skip
NOTO = Package(
    "@iconify-json/noto", "1.2.9",
    "DQiuXENbun41ch+XPSV55H9FaWKpHTyz46YIKtSaKYD4fIDDzL1tR6H4np/T38jfrTAeI3rcKF0mqHYeZVAuaw==",
    "Apache-2.0", "Google Inc",
)  # fmt: skip
FLUENT_FLAT = Package(
    "@iconify-json/fluent-emoji-flat", "1.2.6",
    "RY47RgPb47fYUiyrA64sIOL0+UU02s29sXpNBbIQRBUlPlfNFTKUmZDERGuxDs/7yNGWqQYvuaSYM1M4fRXlUw==",
    "MIT", "Microsoft Corporation",
)  # fmt: skip
FLUENT_3D = Package(
    "@lobehub/fluent-emoji-3d", "1.1.0",
    "Wlq2lVStTnr8BDpIJ0pEnTKO4LuDxxqTEhTvRtD1DLRF0me7ogeRQjKoehDHXuVJ2Qaecgl5wRBv60lUAG3h7g==",
    "MIT", "Microsoft Corporation",
)  # fmt: skip
PACKAGES = (NAMES, DERIVED_NAMES, GROUPS, TWEMOJI, NOTO, FLUENT_FLAT, FLUENT_3D)
