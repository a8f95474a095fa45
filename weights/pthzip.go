package weights

import (
	"compress/flate"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/adavit/adavit/internal/regular"
)

// Bounds of a zip archive. torch.save writes one entry for each storage.
const (
	maxZipEntries   = 1 << 18
	maxZipDirectory = 64 << 20 // bytes
)

// The zip format (APPNOTE.TXT 6.3.10, sections 4.3.7 to 4.3.16): marks and lengths of its fixed parts.
const (
	zipLocal, zipLocalLen            = "PK\x03\x04", 30
	zipDirectory, zipDirectoryLen    = "PK\x01\x02", 46
	zipEnd, zipEndLen                = "PK\x05\x06", 22
	zip64Locator, zip64LocatorLen    = "PK\x06\x07", 20
	zip64End, zip64EndLen            = "PK\x06\x06", 56
	zip64Extra                       = 1 // the extra field that has a 64-bit entry's numbers
	saturated16, saturated32         = 0xffff, 0xffffffff
	zipEncrypted, zipMaskedDirectory = 1 << 0, 1 << 13 // flags
	zipMaxComment                    = 0xffff
	zipStored, zipDeflated           = 0, 8 // methods
)

// zipArchive reads the archives that torch.save and NumPy write: entries that do not overlap, stored or, by NumPy's
// savez_compressed, deflated. It is stricter than archive/zip, which takes the last of two entries of one name, lets
// entries share bytes (so that a small file can hold any number of large storages), and makes room for as many entries
// as a file of directory alone has.
type zipArchive struct {
	r       io.ReaderAt
	entries map[string]zipEntry
	starts  []int64 // where the local headers are, sorted; at the end, where the directory is
	summed  bool    // entries have checksums; torch.save without them (set_crc32_options(False)) writes 0 for each
}

// zipEntry is what the directory says of an entry.
type zipEntry struct {
	header, size, packed int64  // packed: its bytes in the file
	method               uint16 // zipStored or zipDeflated
	crc                  uint32
}

// openZip reads the directory of an archive of size bytes.
func openZip(r io.ReaderAt, size int64) (*zipArchive, error) {
	start, length, count, err := zipDirectoryPlace(r, size)
	if err != nil {
		return nil, err
	}
	if count > maxZipEntries || length > maxZipDirectory {
		return nil, fmt.Errorf("zip: %d entries in a directory of %d bytes, at most %d and %d are read",
			count, length, maxZipEntries, maxZipDirectory)
	}
	dir := make([]byte, length)
	if err := readAt(r, dir, start); err != nil {
		return nil, fmt.Errorf("zip: reading the directory: %w", err)
	}
	if int64(count)*zipDirectoryLen > length {
		return nil, fmt.Errorf("zip: a directory of %d bytes cannot hold %d entries", length, count)
	}
	z := &zipArchive{r: r, entries: make(map[string]zipEntry, count), starts: make([]int64, 0, count+1)}
	for i := range count {
		if dir, err = z.add(dir, start); err != nil {
			return nil, fmt.Errorf("zip: entry %d of %d: %w", i+1, count, err)
		}
	}
	if len(dir) > 0 {
		return nil, fmt.Errorf("zip: %d bytes in the directory after its %d entries", len(dir), count)
	}
	slices.Sort(z.starts)
	z.starts = append(z.starts, start)
	for i, at := range z.starts[1:] {
		if at-z.starts[i] < zipLocalLen {
			return nil, fmt.Errorf("zip: entries at bytes %d and %d overlap", z.starts[i], at)
		}
	}
	return z, nil
}

// zipDirectoryPlace finds the directory by the record at the archive's end: its first byte, length and number of
// entries.
func zipDirectoryPlace(r io.ReaderAt, size int64) (start, length int64, count uint64, err error) {
	fail := func(format string, a ...any) (int64, int64, uint64, error) {
		return 0, 0, 0, fmt.Errorf("zip: "+format, a...)
	}
	tail := make([]byte, min(size, zip64LocatorLen+zipEndLen+zipMaxComment))
	if err := readAt(r, tail, size-int64(len(tail))); err != nil {
		return fail("reading the end: %w", err)
	}
	at := len(tail) - zipEndLen
	for ; at >= 0; at-- {
		if string(tail[at:at+4]) == zipEnd && at+zipEndLen+int(le16(tail[at+20:])) == len(tail) {
			break
		}
	}
	if at < 0 {
		return fail("no directory at the end: truncated?")
	}
	end := tail[at:]
	endAt := size - int64(len(tail)-at)
	if disk := le16(end[4:]); disk != 0 && disk != saturated16 || le16(end[8:]) != le16(end[10:]) {
		return fail("one of several volumes")
	}
	entries, bytes, offset := uint64(le16(end[10:])), uint64(le32(end[12:])), uint64(le32(end[16:]))
	if at >= zip64LocatorLen && string(tail[at-zip64LocatorLen:at-zip64LocatorLen+4]) == zip64Locator {
		locator := tail[at-zip64LocatorLen:]
		locatorAt := endAt - zip64LocatorLen
		recordAt := le64(locator[8:])
		if recordAt > uint64(locatorAt) || locatorAt-int64(recordAt) < zip64EndLen {
			return fail("zip64: its end record is said to be at byte %d, of %d before it", recordAt, locatorAt)
		}
		record := make([]byte, zip64EndLen)
		if err := readAt(r, record, int64(recordAt)); err != nil {
			return fail("zip64: reading the end record: %w", err)
		}
		if string(record[:4]) != zip64End || le64(record[4:]) != uint64(locatorAt)-recordAt-12 {
			return fail("zip64: no end record at byte %d", recordAt)
		}
		if le32(locator[4:]) != 0 || le32(locator[16:]) > 1 ||
			le32(record[16:]) != 0 || le32(record[20:]) != 0 || le64(record[24:]) != le64(record[32:]) {
			return fail("one of several volumes")
		}
		for _, pair := range [...]struct{ small, large, limit uint64 }{
			{entries, le64(record[32:]), saturated16}, {bytes, le64(record[40:]), saturated32},
			{offset, le64(record[48:]), saturated32},
		} {
			if pair.small != pair.limit && pair.small != pair.large {
				return fail("its two end records disagree (%d and %d)", pair.small, pair.large)
			}
		}
		entries, bytes, offset = le64(record[32:]), le64(record[40:]), le64(record[48:])
		endAt = int64(recordAt)
	}
	if bytes > uint64(endAt) || offset != uint64(endAt)-bytes {
		return fail("a directory of %d bytes at byte %d does not end at byte %d, where its end record is",
			bytes, offset, endAt)
	}
	return int64(offset), int64(bytes), entries, nil
}

// add takes the first entry of what is left of the directory, which begins at byte limit of the file.
func (z *zipArchive) add(dir []byte, limit int64) (rest []byte, err error) {
	if len(dir) < zipDirectoryLen || string(dir[:4]) != zipDirectory {
		return nil, errors.New("no directory record")
	}
	flags, method, crc := le16(dir[8:]), le16(dir[10:]), le32(dir[16:])
	compressed, size, header := uint64(le32(dir[20:])), uint64(le32(dir[24:])), uint64(le32(dir[42:]))
	nameLen, extraLen, commentLen := int(le16(dir[28:])), int(le16(dir[30:])), int(le16(dir[32:]))
	rest = dir[zipDirectoryLen:]
	if nameLen+extraLen+commentLen > len(rest) {
		return nil, errors.New("directory record is cut off")
	}
	name, extra := string(rest[:nameLen]), rest[nameLen:nameLen+extraLen]
	rest = rest[nameLen+extraLen+commentLen:]
	if err := checkEntryName(name); err != nil {
		return nil, err
	}
	if _, ok := z.entries[name]; ok {
		return nil, fmt.Errorf("%s appears twice", quoted(name))
	}
	if flags&(zipEncrypted|zipMaskedDirectory) != 0 {
		return nil, fmt.Errorf("%s is encrypted", quoted(name))
	}
	if method != zipStored && method != zipDeflated {
		return nil, fmt.Errorf("%s is compressed by method %d, which is not supported", quoted(name), method)
	}
	if err := zip64Numbers(extra, &size, &compressed, &header); err != nil {
		return nil, fmt.Errorf("%s: %w", quoted(name), err)
	}
	if method == zipStored && compressed != size {
		return nil, fmt.Errorf("%s is stored, but as %d bytes for %d", quoted(name), compressed, size)
	}
	// This much is known before the local header is read; read checks the rest.
	if before := uint64(limit); header > before || before-header < zipLocalLen ||
		compressed > before-header-zipLocalLen || size > math.MaxInt64 {
		return nil, fmt.Errorf("%s: %d bytes behind byte %d, but the directory begins at byte %d",
			quoted(name), compressed, header, limit)
	}
	z.entries[name] = zipEntry{int64(header), int64(size), int64(compressed), method, crc}
	z.summed = z.summed || crc != 0
	z.starts = append(z.starts, int64(header))
	return rest, nil
}

// zip64Numbers replaces those numbers that did not fit 32 bits by those of the extra field.
func zip64Numbers(extra []byte, numbers ...*uint64) error {
	var field []byte
	for len(extra) > 0 {
		if len(extra) < 4 || len(extra)-4 < int(le16(extra[2:])) {
			return errors.New("extra field is cut off")
		}
		n := 4 + int(le16(extra[2:]))
		if le16(extra) == zip64Extra {
			if field != nil {
				return errors.New("two zip64 fields")
			}
			field = extra[4:n:n]
		}
		extra = extra[n:]
	}
	for _, v := range numbers {
		if *v != saturated32 {
			continue
		}
		if len(field) < 8 {
			return errors.New("zip64 field is missing or cut off")
		}
		*v = le64(field)
		field = field[8:]
	}
	return nil
}

// checkEntryName refuses names that would mean something else to another program.
func checkEntryName(name string) error {
	if name == "" || !utf8.ValidString(name) || strings.ContainsAny(name, "\x00\\") ||
		strings.HasPrefix(name, "/") || slices.Contains(strings.Split(name, "/"), "..") {
		return fmt.Errorf("%s is no name for an entry", quoted(name))
	}
	return nil
}

// read returns an entry's bytes, whose checksum it has compared if there are checksums.
func (z *zipArchive) read(name string) ([]byte, error) {
	e, ok := z.entries[name]
	if !ok {
		return nil, fmt.Errorf("zip: no entry %s", quoted(name))
	}
	local := make([]byte, zipLocalLen+len(name)) // there are as many: the directory has the name too
	if err := readAt(z.r, local, e.header); err != nil {
		return nil, fmt.Errorf("zip: %s: %w", quoted(name), err)
	}
	if string(local[:4]) != zipLocal || le16(local[8:]) != e.method || int(le16(local[26:])) != len(name) {
		return nil, fmt.Errorf("zip: %s: its header at byte %d does not agree with the directory",
			quoted(name), e.header)
	}
	data := e.header + int64(len(local)) + int64(le16(local[28:]))
	i, _ := slices.BinarySearch(z.starts, e.header)
	if next := z.starts[i+1]; data > next || e.packed > next-data {
		return nil, fmt.Errorf("zip: %s: bytes %d to %d overlap what begins at byte %d",
			quoted(name), data, data+e.packed, next)
	}
	if second := string(local[zipLocalLen:]); second != name {
		return nil, fmt.Errorf("zip: %s: its header at byte %d says %s", quoted(name), e.header, quoted(second))
	}
	b, err := z.content(e, data)
	if err != nil {
		return nil, fmt.Errorf("zip: %s: %w", quoted(name), err)
	}
	if crc := crc32.ChecksumIEEE(b); z.summed && crc != e.crc {
		return nil, fmt.Errorf("zip: %s: checksum %08x, but the directory says %08x: damaged?",
			quoted(name), crc, e.crc)
	}
	return b, nil
}

// content returns an entry's bytes, which begin at byte at of the file. Of a deflated entry there must be as many as
// the directory says; the caller has bounded that.
func (z *zipArchive) content(e zipEntry, at int64) ([]byte, error) {
	b := make([]byte, e.size)
	if e.method == zipStored {
		return b, readAt(z.r, b, at)
	}
	r := flate.NewReader(io.NewSectionReader(z.r, at, e.packed))
	if _, err := io.ReadFull(r, b); err != nil {
		return nil, fmt.Errorf("deflated: %w", regular.CutShort(err))
	}
	if n, err := io.ReadFull(r, make([]byte, 1)); n > 0 || err != io.EOF {
		return nil, fmt.Errorf("deflated: does not end after the %d bytes that the directory says", e.size)
	}
	return b, nil
}

// readAt fills b, or fails.
func readAt(r io.ReaderAt, b []byte, at int64) error {
	if n, err := r.ReadAt(b, at); n < len(b) {
		return regular.CutShort(err)
	}
	return nil
}

func le16(b []byte) uint16 { return binary.LittleEndian.Uint16(b) }
func le32(b []byte) uint32 { return binary.LittleEndian.Uint32(b) }
func le64(b []byte) uint64 { return binary.LittleEndian.Uint64(b) }
