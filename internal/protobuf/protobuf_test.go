package protobuf

import (
	"bytes"
	"encoding/hex"
	"testing"
)

// TestMessage holds a message of every kind of field against bytes written down by hand, and puts its fields
// together again.
func TestMessage(t *testing.T) {
	var m Message
	m.Int(1, 150)
	m.Int(2, -1)
	m.Float(3, 1.5)
	m.Double(4, -2)
	m.Text(5, "ab")
	m.Bytes(6, []byte{7})
	m.Open(16, 300)
	m = append(m, make([]byte, 300)...)
	want := "089601" + "10ffffffffffffffffff01" + "1d0000c03f" + "2100000000000000c0" + "2a026162" + "320107" + "8201ac02"
	if got := hex.EncodeToString(m[:len(m)-300]); got != want {
		t.Fatalf("got  %s\nwant %s", got, want)
	}
	fields, err := Fields(m)
	if err != nil || len(fields) != 7 || fields[0].Int != 150 ||
		string(fields[4].Bytes) != "ab" || len(fields[6].Bytes) != 300 {
		t.Fatalf("%+v, %v", fields, err)
	}
	var again Message
	for _, f := range fields {
		again.Field(f)
	}
	if !bytes.Equal(m, again) {
		t.Errorf("put together again: % x", again)
	}
	for cut := range len(m) {
		if fields, err := Fields(m[:cut]); err == nil && len(fields) == 7 {
			t.Errorf("all fields in the first %d of %d bytes", cut, len(m))
		}
	}
}
