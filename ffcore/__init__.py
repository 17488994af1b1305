"""Training, measures and reports for Forward-Forward learning (arXiv 2408.09210 and 2311.05667)."""

from typing import TYPE_CHECKING

__all__ = ["FFClassifier"]

if TYPE_CHECKING:
    from ffcore.classifier import FFClassifier
else:

    def __getattr__(name: str) -> object:
        """Imported when asked for: the classifier brings PyTorch and scikit-learn with it."""
        if name == "FFClassifier":
            from ffcore.classifier import FFClassifier

            return FFClassifier
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
