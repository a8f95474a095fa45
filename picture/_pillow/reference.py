"""What Pillow makes of image files: python reference.py DIR > pictures.jsonl

One JSON line for each file below DIR that Pillow opens: its path, the format and the mode that Pillow names, width and
height, and the SHA-256 of the bytes of convert("RGB"), row by row; or, where it opens and cannot be read, the error.
"""

import hashlib
import json
import pathlib
import sys
import warnings

from PIL import Image

warnings.simplefilter("ignore")
root = pathlib.Path(sys.argv[1])
for path in sorted(p for p in root.rglob("*") if p.is_file()):
    line = {"path": str(path.relative_to(root))}
    try:
        with Image.open(path) as img:
            line |= {"format": img.format, "mode": img.mode}
            rgb = img.convert("RGB")
            line |= {"width": rgb.width, "height": rgb.height}
            line["sha256"] = hashlib.sha256(rgb.tobytes()).hexdigest()
    except Exception as e:
        if "format" not in line:
            continue
        line["error"] = f"{type(e).__name__}: {e}"
    print(json.dumps(line))
