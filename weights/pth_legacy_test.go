package weights

import (
	"bytes"
	"testing"
)

// TestMalformedLegacy lists files of the format before 1.6 that must be refused, and what the error must say.
func TestMalformedLegacy(t *testing.T) {
	good := pickleDict(goodTensor)
	for _, c := range []struct {
		name  string
		file  []byte
		fault string
	}{
		{"another magic number", bytes.Replace(legacyOf(littleEndian, good, oneKey, eightOnes),
			legacyMagic, []byte("0123456789"), 1), "magic number"},
		{"protocol 1002", bytes.Replace(legacyOf(littleEndian, good, oneKey, eightOnes),
			[]byte("M\xe9\x03"), []byte("M\xea\x03"), 1), "protocol: a whole number that is not 1001"},
		{"protocol None", bytes.Replace(legacyOf(littleEndian, good, oneKey, eightOnes),
			[]byte("M\xe9\x03"), []byte("N"), 1), "protocol: None that is not 1001"},
		{"big-endian", legacyOf("}"+pickleString("little_endian")+"\x89s", good, oneKey, eightOnes), "big-endian"},
		{"no byte order", legacyOf("}", good, oneKey, eightOnes), "no little_endian"},
		{"properties a list", legacyOf("]", good, oneKey, eightOnes), "machine's properties: a list, wanted a dict"},
		{"keys no list", legacyOf(littleEndian, good, "}", eightOnes), "list of storages: a dict"},
		{"key a number", legacyOf(littleEndian, good, "]K\x00a", eightOnes),
			"list of storages: a whole number for a key"},
		{"key unknown", legacyOf(littleEndian, good, "]"+pickleString("1")+"a", eightOnes),
			`storage "1" is listed, but no tensor names it`},
		{"key twice", legacyOf(littleEndian, good, "](h\x00h\x00e", eightOnes), "nothing is remembered as 0"},
		{"key twice in the list", legacyOf(littleEndian, good,
			"]("+pickleString("0")+pickleString("0")+"e", eightOnes+eightOnes), `storage "0" is listed twice`},
		{"key missing", legacyOf(littleEndian, good, "]", ""), `tensor "w": storage "0" is missing`},
		{"storage without a length", legacyOf(littleEndian, good, oneKey, "\x08\x00"),
			`storage "0": unexpected end: truncated?`},
		{"storage of 9", legacyOf(littleEndian, good, oneKey, "\x09"+eightOnes[1:]+"1234"),
			`storage "0" has 9 elements, but the pickle says 8`},
		{"storage of 2^63", legacyOf(littleEndian, good, oneKey, "\x08\x00\x00\x00\x00\x00\x00\x80"+eightOnes[8:]),
			`storage "0" has 9223372036854775816 elements`},
		{"storage cut", legacyOf(littleEndian, good, oneKey, eightOnes[:39]),
			"8 elements of 4 bytes, but 31 bytes are left"},
		{"storage of 2^40", legacyOf(littleEndian, pickleDict(pickleTensor(1<<40, 0, []int64{1}, []int64{1})),
			oneKey, "\x00\x00\x00\x00\x00\x01\x00\x00"), "1099511627776 elements of 4 bytes, but 0 bytes are left"},
		{"bytes at the end", legacyOf(littleEndian, good, oneKey, eightOnes+"x"), "1 bytes after the last storage"},
		{"a bad object", legacyOf(littleEndian, "\x80\x02i", oneKey, eightOnes),
			"object: pickle at byte 47: unknown opcode 0x69"},
	} {
		_, err := decodePth(c.file, "")
		wantFault(t, c.name, err, "x.pth", c.fault)
	}
}
