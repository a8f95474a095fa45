package parquet

import "encoding/binary"

// compact is a message of Thrift's compact protocol that is being put together. Fields go in by rising numbers.
type compact struct {
	bytes []byte
	last  []int16 // the number of the field before, of every struct that is open
}

// Kinds of fields in the compact protocol.
const (
	kindInt32  = 5
	kindInt64  = 6
	kindBinary = 8
	kindList   = 9
	kindStruct = 12
)

// field adds the head of a field.
func (c *compact) field(id int16, kind byte) {
	last := &c.last[len(c.last)-1]
	c.bytes = append(c.bytes, byte(id-*last)<<4|kind) // fields of this package are less than 16 apart
	*last = id
}

// begin opens a struct, end closes it.
func (c *compact) begin() { c.last = append(c.last, 0) }

func (c *compact) end() {
	c.bytes, c.last = append(c.bytes, 0), c.last[:len(c.last)-1]
}

// open adds the head of a field that is a struct, and opens that.
func (c *compact) open(id int16) {
	c.field(id, kindStruct)
	c.begin()
}

func (c *compact) int32(id int16, v int) {
	c.field(id, kindInt32)
	c.bytes = binary.AppendVarint(c.bytes, int64(v))
}

func (c *compact) int64(id int16, v int64) {
	c.field(id, kindInt64)
	c.bytes = binary.AppendVarint(c.bytes, v)
}

func (c *compact) text(id int16, s string) {
	c.field(id, kindBinary)
	c.element(s)
}

// element adds a string of a list.
func (c *compact) element(s string) {
	c.bytes = append(binary.AppendUvarint(c.bytes, uint64(len(s))), s...)
}

// list adds the head of a list of n elements, which follow.
func (c *compact) list(id int16, kind byte, n int) {
	c.field(id, kindList)
	if n < 15 {
		c.bytes = append(c.bytes, byte(n)<<4|kind)
	} else {
		c.bytes = binary.AppendUvarint(append(c.bytes, 0xf0|kind), uint64(n))
	}
}
