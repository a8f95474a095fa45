package tfevents

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
)

// TensorBoard reads files of TFRecords (tensorflow/core/lib/io/record_writer.h):
//
//	uint64 length | uint32 masked CRC32C of the length | length bytes | uint32 masked CRC32C of the bytes
//
// all of it little-endian.

// recordHead and recordTail are the bytes before and behind a record's content; maxRecord bounds that of one that is
// read: what this package writes is smaller, and a length that was damaged asks for more.
const recordHead, recordTail, maxRecord = 12, 4, 1 << 26

// errRecord says that bytes are no whole record.
var errRecord = errors.New("record that is damaged or cut off")

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// maskedCRC is the CRC32C of b, turned and shifted so that the CRC of bytes that hold CRCs is not weakened.
func maskedCRC(b []byte) uint32 {
	c := crc32.Checksum(b, castagnoli)
	return (c>>15 | c<<17) + 0xa282ead8
}

// appendRecord adds content as a record to b.
func appendRecord(b, content []byte) []byte {
	from := len(b)
	b = binary.LittleEndian.AppendUint64(b, uint64(len(content)))
	b = binary.LittleEndian.AppendUint32(b, maskedCRC(b[from:]))
	b = append(b, content...)
	return binary.LittleEndian.AppendUint32(b, maskedCRC(content))
}

// readRecord returns the next record: io.EOF behind the last one, errRecord where the bytes are none, or r's error.
func readRecord(r io.Reader) ([]byte, error) {
	var head [recordHead]byte
	if _, err := io.ReadFull(r, head[:]); errors.Is(err, io.ErrUnexpectedEOF) {
		return nil, errRecord
	} else if err != nil {
		return nil, err
	}
	length := binary.LittleEndian.Uint64(head[:])
	if binary.LittleEndian.Uint32(head[8:]) != maskedCRC(head[:8]) || length > maxRecord {
		return nil, fmt.Errorf("length: %w", errRecord)
	}
	var b bytes.Buffer // grows as bytes come: a wrong length costs no more memory than the file has bytes
	if _, err := io.CopyN(&b, r, int64(length)+recordTail); errors.Is(err, io.EOF) {
		return nil, errRecord
	} else if err != nil {
		return nil, err
	}
	content := b.Next(int(length))
	if binary.LittleEndian.Uint32(b.Bytes()) != maskedCRC(content) {
		return nil, fmt.Errorf("content: %w", errRecord)
	}
	return content, nil
}
