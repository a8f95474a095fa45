package report

import (
	"bufio"
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

// recordHead and recordTail are the bytes before and behind a record's content.
const (
	recordHead = 12
	recordTail = 4
)

// maxRecord bounds the content of a record that is read: what this package writes is smaller, and a length that was damaged asks for more.
const maxRecord = 1 << 26

// errRecord says that bytes are no whole record.
var errRecord = errors.New("damaged or cut off")

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

// readRecord returns the next record's content in buf, which it makes larger where it must. The error is io.EOF behind the last record, one that
// wraps errRecord where the bytes are no record, or what the reader returned.
func readRecord(r *bufio.Reader, buf []byte) ([]byte, error) {
	var head [recordHead]byte
	if n, err := io.ReadFull(r, head[:]); err != nil {
		return nil, cutOff(err, n)
	}
	length := binary.LittleEndian.Uint64(head[:])
	if binary.LittleEndian.Uint32(head[8:]) != maskedCRC(head[:8]) {
		return nil, fmt.Errorf("record's length: %w", errRecord)
	}
	if length > maxRecord {
		return nil, fmt.Errorf("record of %d bytes: %w", length, errRecord)
	}
	size := int(length) + recordTail
	buf = buf[:0]
	for len(buf) < size { // by pieces, so that a wrong length costs no more memory than the file has bytes
		n := min(size-len(buf), 1<<16)
		for cap(buf) < len(buf)+n {
			buf = append(buf[:cap(buf)], 0)[:len(buf)]
		}
		if _, err := io.ReadFull(r, buf[len(buf):len(buf)+n]); err != nil {
			return nil, cutOff(err, 1)
		}
		buf = buf[:len(buf)+n]
	}
	content := buf[:length]
	if binary.LittleEndian.Uint32(buf[length:]) != maskedCRC(content) {
		return nil, fmt.Errorf("record's content: %w", errRecord)
	}
	return content, nil
}

// cutOff tells the end of a file between records, after n = 0 bytes of one, from an end inside of one.
func cutOff(err error, n int) error {
	switch {
	case errors.Is(err, io.EOF) && n == 0:
		return io.EOF
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return fmt.Errorf("record: %w", errRecord)
	}
	return err
}
