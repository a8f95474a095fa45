package data

import (
	"cmp"
	"fmt"
	"image"
	"io"
	"strconv"

	"github.com/adavit/adavit/internal/regular"
	"github.com/adavit/adavit/picture"
)

// files is a Dataset of image files, alone or as members of tar files. They are found once, and then read where they
// lie and decoded when they are asked for.
type files struct {
	name     string // as the user named it
	folder   string // or file, for Contents
	classes  []string
	listed   bool // by a class list
	left     leftOut
	pictures []picturePlace
}

// picturePlace says where a labelled picture lies.
type picturePlace struct {
	path         string // of its file
	member       string // its name in a tar file; "": it is the file
	offset, size int64  // of the file's or the member's bytes
	label        int
}

func (f *files) Len() int                            { return len(f.pictures) }
func (f *files) Label(i int) int                     { return f.pictures[i].label }
func (f *files) Classes() []string                   { return f.classes }
func (f *files) Size() (channels, height, width int) { return 0, 0, 0 }

// Image decodes picture i. The file is opened for each: no handles are kept, and opening costs little beside decoding.
func (f *files) Image(i int, how picture.Decoding) (image.Image, error) {
	p := &f.pictures[i]
	if p.member == "" {
		return how.File(p.path)
	}
	tar, _, err := regular.Open(p.path)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errGone, err)
	}
	defer tar.Close()
	return how.Image(f.nameOf(i), io.NewSectionReader(tar, p.offset, p.size))
}

func (f *files) sizeOf(i int) int64 { return f.pictures[i].size }

func (f *files) contents() Contents {
	return Contents{Folder: cmp.Or(f.folder, f.name), Listed: f.listed, Skipped: f.left}
}

// Pixels fails: the pictures differ in size.
func (f *files) Pixels([]byte, int) error {
	return fmt.Errorf("data set %q: its pictures have no common size, so they need a model's preprocessor", f.name)
}

func (f *files) nameOf(i int) string {
	p := &f.pictures[i]
	if p.member == "" {
		return p.path
	}
	return p.path + ": " + printable(p.member)
}

// printable is a name from a file that is not trusted, for messages.
func printable(name string) string {
	if q := strconv.Quote(name); q[1:len(q)-1] != name {
		return q
	}
	return name
}
