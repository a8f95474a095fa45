package data

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/adavit/adavit/internal/regular"
	"github.com/adavit/adavit/picture"
)

// What a tar file's index may take.
const (
	maxTarName   = 4096    // bytes of a member's name
	maxTarLabel  = 64      // bytes of a .cls member
	maxTarObject = 1 << 20 // bytes of a .json member
)

// packings are the compressed files that are taken for tar files by mistake, by their first bytes.
var packings = []struct{ magic, unpack string }{
	{"\x1f\x8b", "gunzip"}, {"BZh", "bunzip2"}, {"\xfd7zXZ\x00", "unxz"},
	{"\x28\xb5\x2f\xfd", "unzstd"}, {"\x04\x22\x4d\x18", "unlz4"},
}

// errPacked says what to do about a compressed tar file.
func errPacked(unpack string) error {
	return fmt.Errorf("a compressed tar file, in which no picture can be found without reading all before it: "+
		"unpack it to a .tar file first (%s)", unpack)
}

// tarSample is what the members of one key make.
type tarSample struct {
	picturePlace
	pictured, cls, object bool  // which members there are
	objectErr             error // what is wrong with the last one, if it is asked
}

// indexTar finds the labelled pictures of the tar file r, of that many bytes, at path, in the order in which their keys
// first come. It reads the members' headers and labels, not the pictures.
//
// Members are named as WebDataset names them: the key is the path up to the first dot of its last part, the rest says
// what it is. A picture (.jpg, .png, …) needs a label, KEY.cls with digits or, without that, KEY.json with a number
// under "label", and a label needs a picture; all other members, and names that begin with a dot or have none, do not
// count. A member that comes twice, two pictures of one key, and a file without tar's end mark (it is cut short) are
// errors.
func indexTar(path string, r io.ReadSeeker, size int64) ([]picturePlace, error) {
	if err := checkTarStart(r); err != nil {
		return nil, err
	}
	var samples []tarSample
	byKey := map[string]int{}
	tr := tar.NewReader(r)
	for {
		h, err := tr.Next()
		if err == io.EOF {
			break
		}
		if err != nil && !errors.Is(err, tar.ErrInsecurePath) { // nothing is written under these names
			return nil, fmt.Errorf("tar: %w", regular.CutShort(err))
		}
		key, kind := memberKind(h.Name)
		if kind == "" || h.Typeflag == tar.TypeDir {
			continue
		}
		if err := checkMember(h); err != nil {
			return nil, err
		}
		at, ok := byKey[key]
		if !ok {
			at = len(samples)
			byKey[key] = at
			samples = append(samples, tarSample{picturePlace: picturePlace{path: path, member: h.Name}})
		}
		offset, err := r.Seek(0, io.SeekCurrent) // tar.Reader reads no further than the header
		if err != nil {
			return nil, err
		}
		if h.Size > size-offset {
			return nil, fmt.Errorf("%q: %d bytes at %d of %d: the file is cut short", h.Name, h.Size, offset, size)
		}
		if err := samples[at].add(kind, h, offset, tr); err != nil {
			return nil, fmt.Errorf("%q: %w", h.Name, err)
		}
	}
	if err := checkTarEnd(r); err != nil {
		return nil, err
	}
	pictures := make([]picturePlace, len(samples))
	for i, s := range samples {
		switch {
		case !s.pictured:
			return nil, fmt.Errorf("%q: a label without a picture (%s)", s.member, strings.Join(picture.Endings, ", "))
		case !s.cls && !s.object:
			return nil, fmt.Errorf("%q: a picture without a label (.cls or .json); where folders "+
				"in the file are the classes, unpack it and name the folder", s.member)
		case !s.cls && s.objectErr != nil:
			return nil, fmt.Errorf("%q: its .json: %w", s.member, s.objectErr)
		}
		pictures[i] = s.picturePlace
	}
	return pictures, nil
}

// checkTarStart refuses what its first bytes show to be no tar file.
func checkTarStart(r io.ReadSeeker) error {
	head := make([]byte, 512)
	n, err := io.ReadFull(r, head)
	if n == 0 {
		return errors.New("the file is empty")
	}
	for _, p := range packings {
		if bytes.HasPrefix(head[:n], []byte(p.magic)) {
			return errPacked(p.unpack)
		}
	}
	if err != nil {
		return fmt.Errorf("tar: %w", regular.CutShort(err))
	}
	_, err = r.Seek(0, io.SeekStart)
	return err
}

// checkTarEnd checks that r stands behind tar's end mark, of zeros, and that no more than zeros follow.
func checkTarEnd(r io.ReadSeeker) error {
	block := make([]byte, 512)
	if _, err := r.Seek(-int64(len(block)), io.SeekCurrent); err != nil {
		return fmt.Errorf("tar: %w", err)
	}
	if _, err := io.ReadFull(r, block); err != nil {
		return fmt.Errorf("tar: %w", regular.CutShort(err))
	}
	if slices.Max(block) > 0 {
		return errors.New("tar: no end mark: the file is cut short")
	}
	for range 2048 { // 1 MiB; writers fill up to less
		n, err := io.ReadFull(r, block)
		if n > 0 && slices.Max(block[:n]) > 0 {
			return errors.New("tar: more data behind the end mark: tar files that are joined cannot be read")
		}
		if err != nil {
			break // the end
		}
	}
	return nil
}

// memberKind divides a member's name into its key and what it is: "picture", "cls", "json", or "" for anything else.
func memberKind(name string) (key, kind string) {
	dir, base := path.Split(name)
	stem, ending, ok := strings.Cut(base, ".")
	if !ok || stem == "" {
		return "", ""
	}
	switch ending = strings.ToLower(ending); {
	case ending == "cls" || ending == "json":
		return dir + stem, ending
	case slices.Contains(picture.Endings, "."+ending):
		return dir + stem, "picture"
	}
	return "", ""
}

// checkMember refuses a member whose bytes are not simply there.
func checkMember(h *tar.Header) error {
	if len(h.Name) > maxTarName {
		return fmt.Errorf("tar: a name of %d bytes, the limit is %d", len(h.Name), maxTarName)
	}
	if h.Typeflag != tar.TypeReg {
		return fmt.Errorf("%q: a link or another special member (type %q), want a file", h.Name, h.Typeflag)
	}
	for k := range h.PAXRecords {
		if strings.HasPrefix(k, "GNU.sparse.") {
			return fmt.Errorf("%q: a sparse file", h.Name)
		}
	}
	return nil
}

// add takes a member; content reads it.
func (s *tarSample) add(kind string, h *tar.Header, offset int64, content io.Reader) (err error) {
	switch kind {
	case "picture":
		if s.pictured {
			return fmt.Errorf("a second picture beside %q", s.member)
		}
		s.pictured, s.member, s.offset, s.size = true, h.Name, offset, h.Size
	case "cls":
		if s.cls {
			return errors.New("comes twice")
		}
		s.cls = true
		s.label, err = readLabel(content, h.Size, maxTarLabel, kind)
	case "json":
		if s.object {
			return errors.New("comes twice")
		}
		s.object = true
		var label int
		if label, s.objectErr = readLabel(content, h.Size, maxTarObject, kind); !s.cls {
			s.label = label
		}
	}
	return err
}

// readLabel reads the label of a .cls member, or the number under "label" of a .json member.
func readLabel(r io.Reader, size, limit int64, kind string) (int, error) {
	if size > limit {
		return 0, fmt.Errorf("%d bytes, the limit is %d", size, limit)
	}
	b, err := io.ReadAll(r)
	if err != nil {
		return 0, regular.CutShort(err)
	}
	if kind == "cls" {
		return parseLabel(string(bytes.TrimSpace(b)))
	}
	var object struct {
		Label json.RawMessage `json:"label"`
	}
	if err := json.Unmarshal(b, &object); err != nil {
		return 0, err
	}
	if object.Label == nil {
		return 0, errors.New(`no "label" in it`)
	}
	return parseLabel(string(object.Label))
}

// parseLabel reads a label in digits.
func parseLabel(s string) (int, error) {
	n, err := strconv.ParseUint(s, 10, 32)
	if err != nil || n >= maxClasses {
		return 0, fmt.Errorf("label %.40q, want a number from 0 to %d", s, maxClasses-1)
	}
	return int(n), nil
}
