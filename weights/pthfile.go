package weights

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
)

// pthFile is a PyTorch file whose pickle has been read, its storages not yet.
type pthFile struct {
	format  string
	size    int64
	root    any
	globals map[string]bool
	storage func(*storageRef) ([]byte, error) // reads a storage's bytes: count·width of them
}

// openPthZip opens what torch.save writes since version 1.6: a zip archive with one folder, in it
//
//	data.pkl     the object; its persistent ids name storages
//	data/KEY     a storage's bytes
//	byteorder    "little" or "big"; older files have none and are little
//	version      of this layout, a number
//
// and things that do not matter here (.data/serialization_id, .format_version, .storage_alignment).
func openPthZip(z *zipArchive, size int64) (*pthFile, error) {
	folder := ""
	for _, name := range slices.Sorted(maps.Keys(z.entries)) { // of several faults always the same is told
		if z.entries[name].method != zipStored {
			return nil, fmt.Errorf("zip: %s is compressed, which a checkpoint's entries are not: "+
				"a TorchScript program, or packed again?", quoted(name))
		}
		top, rest, _ := strings.Cut(name, "/")
		switch {
		case rest != "data.pkl":
		case folder != "":
			return nil, errors.New("more than one folder has a data.pkl")
		default:
			folder = top + "/"
		}
	}
	if folder == "" {
		return nil, z.foreignZip()
	}
	if e := z.entries[folder+"data.pkl"]; e.size > maxPickle {
		return nil, fmt.Errorf("data.pkl has %d bytes, at most %d are read", e.size, maxPickle)
	}
	order, err := z.word(folder+"byteorder", "little")
	switch {
	case err != nil:
		return nil, err
	case order == "big":
		return nil, fmt.Errorf("%s says that numbers are big-endian, which is not supported", quoted(folder+"byteorder"))
	case order != "little":
		return nil, fmt.Errorf("%s says %s, wanted little or big", quoted(folder+"byteorder"), quoted(order))
	}
	version, err := z.word(folder+"version", "1")
	if err != nil {
		return nil, err
	}
	// 1 to 10 are what PyTorch's own reader takes; the layout has been the same in all of them.
	if v, err := strconv.Atoi(strings.TrimSpace(version)); err != nil || v < 1 || v > 10 {
		return nil, fmt.Errorf("%s says %s, wanted a number from 1 to 10", quoted(folder+"version"), quoted(version))
	}
	text, err := z.read(folder + "data.pkl")
	if err != nil {
		return nil, err
	}
	u := newUnpickler(bytes.NewReader(text), int64(len(text)))
	root, err := u.load()
	if err != nil {
		return nil, fmt.Errorf("data.pkl: %w", err)
	}
	if left := u.in.end - u.in.pos; left > 0 {
		return nil, fmt.Errorf("data.pkl: %d bytes after the pickle", left)
	}
	return &pthFile{"pth (zip)", size, root, u.globals, func(s *storageRef) ([]byte, error) {
		name := folder + "data/" + s.key
		e, ok := z.entries[name]
		if !ok {
			return nil, fmt.Errorf("storage %s is missing", quoted(s.key))
		}
		if e.size != s.bytes() {
			return nil, fmt.Errorf("storage %s has %d bytes, but the pickle says %d elements of %d bytes",
				quoted(s.key), e.size, s.count, s.width)
		}
		return z.read(name)
	}}, nil
}

// word returns the content of a small entry, usual if there is none.
func (z *zipArchive) word(name, usual string) (string, error) {
	e, ok := z.entries[name]
	if !ok {
		return usual, nil
	}
	if e.size > 64 {
		return "", fmt.Errorf("%s has %d bytes", quoted(name), e.size)
	}
	b, err := z.read(name)
	return string(b), err
}

// legacyMagic is 0x1950a86a20f9469cfc6c, the number that starts a file from before PyTorch 1.6.
var legacyMagic = []byte{0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19}

// openPthLegacy opens what torch.save wrote before version 1.6, and writes with _use_new_zipfile_serialization=False:
// five pickles (the magic number, 1001, a dict of the machine's properties, the object, the list of the storages'
// keys), then for each key in the list's order the number of its elements in 8 bytes, and its bytes.
func openPthLegacy(r io.ReaderAt, size int64) (*pthFile, error) {
	u := newUnpickler(r, size)
	var values [5]any
	for i, what := range [...]string{"magic number", "protocol", "machine's properties", "object", "list of storages"} {
		u.in.end = min(size, u.in.pos+maxPickle)
		v, err := u.load()
		if err != nil {
			return nil, fmt.Errorf("%s: %w", what, err)
		}
		values[i] = v
		switch i {
		case 0:
			if magic, ok := v.(bigInt); !ok || !bytes.Equal(magic, legacyMagic) {
				return nil, errors.New(
					"a pickle, but not one that PyTorch wrote: it does not start with PyTorch's magic number")
			}
		case 1:
			if v != int64(1001) {
				return nil, fmt.Errorf("protocol: %s that is not 1001", kindOf(v))
			}
		case 2:
			if err := checkMachine(v); err != nil {
				return nil, err
			}
		}
	}
	places, err := legacyStorages(r, size, u.in.pos, values[4], u.storages)
	if err != nil {
		return nil, err
	}
	return &pthFile{"pth (before 1.6)", size, values[3], u.globals, func(s *storageRef) ([]byte, error) {
		at, ok := places[s.key]
		if !ok {
			return nil, fmt.Errorf("storage %s is missing", quoted(s.key))
		}
		b := make([]byte, s.bytes())
		if err := readAt(r, b, at); err != nil {
			return nil, fmt.Errorf("storage %s: %w", quoted(s.key), err)
		}
		return b, nil
	}}, nil
}

// checkMachine refuses what a big-endian machine wrote.
func checkMachine(v any) error {
	d, ok := v.(*pyDict)
	if !ok {
		return fmt.Errorf("machine's properties: %s, wanted a dict", kindOf(v))
	}
	switch little, _ := d.get("little_endian"); little {
	case true:
		return nil
	case false:
		return errors.New("machine's properties: numbers are big-endian, which is not supported")
	}
	return errors.New("machine's properties: no little_endian")
}

// legacyStorages finds each storage's first byte. The first one's length is at byte at of the file.
func legacyStorages(r io.ReaderAt, size, at int64, keys any, refs map[string]*storageRef) (map[string]int64, error) {
	list, ok := keys.(*pyList)
	if !ok {
		return nil, fmt.Errorf("list of storages: %s", kindOf(keys))
	}
	places := make(map[string]int64, len(refs))
	for _, item := range list.items {
		key, ok := item.(string)
		if !ok {
			return nil, fmt.Errorf("list of storages: %s for a key", kindOf(item))
		}
		ref, ok := refs[key]
		if !ok {
			return nil, fmt.Errorf("storage %s is listed, but no tensor names it", quoted(key))
		}
		if _, ok := places[key]; ok {
			return nil, fmt.Errorf("storage %s is listed twice", quoted(key))
		}
		var head [8]byte
		if size-at < int64(len(head)) {
			return nil, fmt.Errorf("storage %s: unexpected end: truncated?", quoted(key))
		}
		if err := readAt(r, head[:], at); err != nil {
			return nil, fmt.Errorf("storage %s: %w", quoted(key), err)
		}
		if n := le64(head[:]); n > math.MaxInt64 || int64(n) != ref.count {
			return nil, fmt.Errorf("storage %s has %d elements, but the pickle says %d", quoted(key), n, ref.count)
		}
		at += int64(len(head))
		if ref.bytes() > size-at {
			return nil, fmt.Errorf("storage %s: %d elements of %d bytes, but %d bytes are left: truncated?",
				quoted(key), ref.count, ref.width, size-at)
		}
		places[key] = at
		at += ref.bytes()
	}
	if at != size {
		return nil, fmt.Errorf("%d bytes after the last storage", size-at)
	}
	return places, nil
}
