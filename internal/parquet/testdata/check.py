"""Reads the table that TestReadBack writes with pyarrow and DuckDB: python check.py FILE"""
import math
import sys

import duckdb
import pyarrow.parquet

path, rows = sys.argv[1], 5000
table = pyarrow.parquet.read_table(path)
assert pyarrow.parquet.ParquetFile(path).metadata.num_row_groups == 3
assert [str(f.type) for f in table.schema] == ["int32", "int64", "float", "double", "string", "string"] + [
    f"list<element: {t} not null>" for t in ("int32", "float", "string")], table.schema
for read in table.to_pylist(), duckdb.sql(f"from '{path}'").fetchall():
    assert len(read) == rows
    for i, r in enumerate(read):
        r = list(r.values()) if isinstance(r, dict) else list(r)
        r[4] = r[4].rstrip(".")
        odd = i % 2 == 1
        want = [i, None if odd else -i << 40, None if odd else i / 4, math.pi * i, f"row {i}", None,
                [i] if odd else [], [0.5, i] if odd else [], ["ä", "", "long"][:i % 3] if odd else []]
        assert r == want, (i, r, want)
print(f"{rows} rows read by pyarrow {pyarrow.__version__} and DuckDB {duckdb.__version__}")
