package parquet

// pageHead is what stands before a page: a PageHeader with its DataPageHeader.
func pageHead(values, plainBytes, packedBytes int) []byte {
	var c compact
	c.begin()
	c.int32(1, 0) // a page of data
	c.int32(2, plainBytes)
	c.int32(3, packedBytes)
	c.open(5)
	c.int32(1, values)
	c.int32(2, plain)
	c.int32(3, rle) // of definition levels
	c.int32(4, rle) // of repetition levels
	c.end()
	c.end()
	return c.bytes
}

// footer is the FileMetaData of all that was written.
func (w *Writer) footer() []byte {
	var c compact
	c.begin()
	c.int32(1, 1) // version
	w.schema(&c)
	c.int64(3, w.rows)
	c.list(4, kindStruct, len(w.groups))
	for _, g := range w.groups {
		w.group(&c, g)
	}
	c.text(6, w.creator)
	c.end()
	return c.bytes
}

// schema adds the tree of elements, a root first.
func (w *Writer) schema(c *compact) {
	elements := 1
	for _, col := range w.columns {
		if elements++; col.List {
			elements += 2
		}
	}
	c.list(2, kindStruct, elements)
	c.begin()
	c.text(4, "schema")
	c.int32(5, len(w.columns))
	c.end()
	for _, col := range w.columns {
		name, repetition := col.Name, required
		if col.Optional {
			repetition = optional
		}
		if col.List {
			branch(c, name, required, true)
			branch(c, "list", repeated, false)
			name = "element"
		}
		c.begin()
		c.int32(1, int(col.Type))
		c.int32(3, repetition)
		c.text(4, name)
		if col.Type == String {
			c.int32(6, utf8Converted)
			logical(c, utf8Logical)
		}
		c.end()
	}
}

// branch adds an element with one child.
func branch(c *compact, name string, repetition int, isList bool) {
	c.begin()
	c.int32(3, repetition)
	c.text(4, name)
	c.int32(5, 1)
	if isList {
		c.int32(6, listConverted)
		logical(c, listLogical)
	}
	c.end()
}

// logical adds an element's LogicalType, a union of empty structs.
func logical(c *compact, id int16) {
	c.open(10)
	c.open(id)
	c.end()
	c.end()
}

// group adds a RowGroup.
func (w *Writer) group(c *compact, g group) {
	c.begin()
	c.list(1, kindStruct, len(g.chunks))
	size := int64(0)
	for i, k := range g.chunks {
		size += k.plain
		w.chunk(c, &w.columns[i].Column, k)
	}
	c.int64(2, size)
	c.int64(3, g.rows)
	c.end()
}

// chunk adds a ColumnChunk with its ColumnMetaData.
func (w *Writer) chunk(c *compact, col *Column, k chunk) {
	path := []string{col.Name}
	if col.List {
		path = append(path, "list", "element")
	}
	c.begin()
	c.int64(2, k.offset)
	c.open(3)
	c.int32(1, int(col.Type))
	c.list(2, kindInt32, 2)
	c.bytes = append(c.bytes, plain<<1, rle<<1) // as the protocol writes small numbers
	c.list(3, kindBinary, len(path))
	for _, name := range path {
		c.element(name)
	}
	c.int32(4, gzipped)
	c.int64(5, int64(k.values))
	c.int64(6, k.plain)
	c.int64(7, k.whole)
	c.int64(9, k.offset)
	c.end()
	c.end()
}
