package weights

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"strings"
)

// zipFile is one entry of an archive that buildZip makes; the zero values make an ordinary one.
type zipFile struct {
	name, data string
	method     uint16
	flags      uint16
	crc        uint32 // added to the true one
	size       int64  // added to the true one, in the directory
	localName  string // in the local header, if not name
	at         int64  // added to the place in the directory
	extra      string // in the directory
}

// buildZip makes an archive by hand, to put faults in. mend may change the directory's end record.
func buildZip(files []zipFile, mend func(end []byte)) []byte {
	var out, dir []byte
	le := binary.LittleEndian
	for _, f := range files {
		local := f.localName
		if local == "" {
			local = f.name
		}
		at := int64(len(out)) + f.at
		crc := zipSum(f.data) + f.crc
		size := uint32(int64(len(f.data)) + f.size)
		fixed := func(b []byte) []byte {
			b = le.AppendUint16(b, 20)
			b = le.AppendUint16(b, f.flags)
			b = le.AppendUint16(b, f.method)
			b = le.AppendUint32(b, 0)
			b = le.AppendUint32(b, crc)
			b = le.AppendUint32(b, size)
			return le.AppendUint32(b, size)
		}
		out = fixed(append(out, zipLocal...))
		out = le.AppendUint16(out, uint16(len(local)))
		out = le.AppendUint16(out, 0)
		out = append(out, local+f.data...)

		dir = fixed(append(dir, zipDirectory+"\x14\x00"...))
		dir = le.AppendUint16(dir, uint16(len(f.name)))
		dir = le.AppendUint16(dir, uint16(len(f.extra)))
		dir = append(dir, make([]byte, 10)...)
		dir = le.AppendUint32(dir, uint32(at))
		dir = append(dir, f.name+f.extra...)
	}
	end := append([]byte(zipEnd), make([]byte, zipEndLen-4)...)
	le.PutUint16(end[8:], uint16(len(files)))
	le.PutUint16(end[10:], uint16(len(files)))
	le.PutUint32(end[12:], uint32(len(dir)))
	le.PutUint32(end[16:], uint32(len(out)))
	if mend != nil {
		mend(end)
	}
	return append(append(out, dir...), end...)
}

// Pieces of pickles.
const (
	globalRebuild = "ctorch._utils\n_rebuild_tensor_v2\n"
	globalFloat   = "ctorch\nFloatStorage\n"
)

func pickleString(s string) string {
	return "X" + string(binary.LittleEndian.AppendUint32(nil, uint32(len(s)))) + s
}

// pickleInt is LONG1 with 8 bytes.
func pickleInt(v int64) string {
	return "\x8a\x08" + string(binary.LittleEndian.AppendUint64(nil, uint64(v)))
}

func pickleInts(v []int64) string {
	s := "("
	for _, x := range v {
		s += pickleInt(x)
	}
	return s + "t"
}

// pickleStorage is a reference to a storage of F32.
func pickleStorage(key string, count int64) string {
	return "(" + pickleString("storage") + globalFloat + pickleString(key) +
		pickleString("cpu") + pickleInt(count) + "tQ"
}

// pickleTensor is a tensor on a storage of count elements with key "0".
func pickleTensor(count, offset int64, shape, strides []int64) string {
	return globalRebuild + "(" + pickleStorage("0", count) +
		pickleInt(offset) + pickleInts(shape) + pickleInts(strides) + "\x89" +
		"ccollections\nOrderedDict\n)R" + "tR"
}

// pickleDict is a dict of a value, as a whole pickle.
func pickleDict(values string) string { return "\x80\x02}(" + pickleString("w") + values + "u." }

// goodTensor has the eight elements that zipOf puts into storage 0.
var goodTensor = pickleTensor(8, 0, []int64{2, 4}, []int64{4, 1})

// zipOf makes a checkpoint of a pickle, a storage of 8 elements of F32, and more entries.
func zipOf(pickle string, more ...zipFile) []byte {
	files := []zipFile{{name: "a/data.pkl", data: pickle},
		{name: "a/data/0", data: strings.Repeat("\x00\x00\x80\x3f", 8)}}
	return buildZip(append(files, more...), nil)
}

// legacyOf makes a checkpoint in the old format.
func legacyOf(properties, object, keys, storages string) []byte {
	return []byte("\x80\x02\x8a\x0a" + string(legacyMagic) +
		".\x80\x02M\xe9\x03." + "\x80\x02" + properties + "." + object + "\x80\x02" + keys + "." + storages)
}

var (
	littleEndian = "}" + pickleString("little_endian") + "\x88s"
	oneKey       = "]" + pickleString("0") + "a"
	eightOnes    = "\x08\x00\x00\x00\x00\x00\x00\x00" + strings.Repeat("\x00\x00\x80\x3f", 8)
)

// zip64Of makes a good archive whose end has zip64's records too; they are handed to mend, in order.
func zip64Of(mendRecord, mendLocator func([]byte)) []byte {
	b := zipOf(pickleDict(goodTensor))
	le := binary.LittleEndian
	end := bytes.Clone(b[len(b)-zipEndLen:])
	b = b[:len(b)-zipEndLen]
	record := append([]byte(zip64End), make([]byte, zip64EndLen-4)...)
	le.PutUint64(record[4:], zip64EndLen-12)
	le.PutUint64(record[24:], 2)
	le.PutUint64(record[32:], 2)
	le.PutUint64(record[40:], uint64(le.Uint32(end[12:])))
	le.PutUint64(record[48:], uint64(le.Uint32(end[16:])))
	locator := append([]byte(zip64Locator), make([]byte, zip64LocatorLen-4)...)
	le.PutUint64(locator[8:], uint64(len(b)))
	le.PutUint32(locator[16:], 1)
	if mendRecord != nil {
		mendRecord(record)
	}
	if mendLocator != nil {
		mendLocator(locator)
	}
	le.PutUint32(end[16:], saturated32)
	return append(append(append(b, record...), locator...), end...)
}

// zipSum is what the directory says of an entry.
func zipSum(data string) uint32 { return crc32.ChecksumIEEE([]byte(data)) }
