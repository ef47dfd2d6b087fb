"""While pages are compared with their outputs, a rule is there that none of them knows.

So a rule that someone adds moves no verdict and changes no page.
"""

import os
import tempfile
from pathlib import Path

STRANGER = """
from mergehelpers import merge
from mergehelpers.merge.registry import Models, Pairs, rule

@rule()
def stranger(experts: Models) -> Pairs:
    \"\"\"The first model (no one).\"\"\"
    return iter(experts[0].items())

merge.RULES["stranger"] = merge.stranger = stranger
"""

# It lives as long as the process, which starts the kernels.
_folder = tempfile.TemporaryDirectory()
_startup = Path(_folder.name) / "profile_default" / "startup"
_startup.mkdir(parents=True)
(_startup / "stranger.py").write_text(STRANGER)
os.environ["IPYTHONDIR"] = _folder.name
