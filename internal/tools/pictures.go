package tools

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"unicode/utf8"

	"github.com/adavit/adavit"
	"github.com/adavit/adavit/halting"
	"github.com/adavit/adavit/internal/atomicfile"
	"github.com/adavit/adavit/report"
	"github.com/adavit/adavit/vit"
)

// Pictures writes what a model did with image files into a folder: for each file the image as the model saw it, the map
// of its tokens' depths and the patches that were left in each block.
type Pictures struct {
	dir    string
	config vit.Config
	used   map[string]bool // names that were given, in small letters
}

// NewPictures makes the folder dir for pictures of what m does.
func NewPictures(dir string, m *adavit.Model) (*Pictures, error) {
	return &Pictures{dir, m.Params.Config, map[string]bool{}}, atomicfile.Writable(dir)
}

// Write draws a result that came with its pixels and returns the file's path. What lies there already is an error, and
// stays as it is.
func (p *Pictures) Write(r adavit.FileResult) (path string, err error) {
	c := p.config
	s := report.Sample{Title: shownName(r.File), Predicted: r.Top[0].Label, Probability: r.Top[0].Probability,
		Pixels: report.Interleave(r.Pixels, c.Channels, c.Height, c.Width), Width: c.Width, Height: c.Height,
		Channels: c.Channels, Depth: r.Depth[c.Special():], GridW: c.GridW(), GridH: c.GridH(),
		ClassDepth: halting.End(c.Readouts(), r.Depth), Layers: c.Layers}
	img, err := report.Panel(s, max(c.Width, c.Height, report.PanelSize))
	if err != nil {
		return "", err
	}
	path = filepath.Join(p.dir, p.name(r.File))
	if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("%s exists already; remove it, or name another folder for the pictures", path)
	}
	return path, report.WritePNG(path, img)
}

// name is a file name for the picture of an image file: its own, without its folder, and a number if another one has
// that, by file systems that do not tell large letters from small ones too.
func (p *Pictures) name(file string) string {
	const most = 200 // bytes; file systems bear 255
	base := shownName(file)
	for len(base) > most {
		_, n := utf8.DecodeLastRuneInString(base)
		base = base[:len(base)-n]
	}
	name := base + ".depths.png"
	for n := 2; p.used[strings.ToLower(name)]; n++ {
		name = fmt.Sprintf("%s.%d.depths.png", base, n)
	}
	p.used[strings.ToLower(name)] = true
	return name
}

// shownName is an image file's name without its folder.
func shownName(file string) string {
	if file == "-" {
		return "standard-input"
	}
	return filepath.Base(file)
}
