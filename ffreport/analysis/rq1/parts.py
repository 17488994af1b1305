"""What is there of a part of a profile, and the command that trains the rest."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ffreport.analysis.rq1.contrasts import in_part
from ffreport.runs.results import OWN

if TYPE_CHECKING:
    import pandas as pd

    from ffreport.study.study import Study


def lacking(frame: pd.DataFrame, study: Study, part: str) -> str:
    """Markdown: how many networks of a frame of ``accuracy.accuracy`` are not one's own and trained
    for the planned epochs, and the command that trains those."""
    own = (frame["origin"] == OWN) & ~in_part(frame)
    how = f"`{study.profile.command('train', '--only', part)}`"
    if own.all():
        return f"Every planned network was trained here as planned, by {how}."
    verb = "was" if (~own).sum() == 1 else "were"
    return f"{(~own).sum()} of {len(frame)} {verb} not trained here as planned; {how} trains them."
